"""`reverie distill`: from a teacher's answers to an expert or a new bundle, with a report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.bases import toy_base, toy_words

from reverie.bundles import load_bundle
from reverie.bundles.distilled import read_prompts
from reverie.bundles.init import InitConfig, init_bundle
from reverie.cli import main
from reverie.errors import DataError, UsageError
from reverie.speakers.contract import Message
from reverie.teachers.traces import Trace, Traces, read_traces
from reverie.training.varied_prompts import MOST_PROMPTS, varied_prompts

QUICK = [
    "loop.steps=4", "loop.eval_every=2", "loop.tensorboard=false", "loop.num_threads=1", "loop.warmup_steps=1",
    "loop.checkpoint_every=1", "asking.max_ids=8", "data.batch_size=2", "asking.cache=false", "samples=1",
    "fresh.hidden_size=32", "fresh.intermediate_size=48", "fresh.num_layers=1", "fresh.text_size=300",
    "fresh.num_heads=2", "fresh.max_positions=128", "data.lora.rank=2",
]  # fmt: skip

Run = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVERIE_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    toy_base("llama").save_pretrained(folder / "base")
    toy_words().save_pretrained(folder / "base")
    return init_bundle(folder / "base", folder / "bundle", InitConfig(dtype="fp32"))


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    """What somebody answered, without probabilities."""
    with Traces(tmp_path / "said.jsonl") as written:
        for number in range(8):
            text = f"It is number {number} of ten. An oak is a kind of tree."
            written.append(Trace(f"What is {number}?", text, teacher="somebody"))
    return tmp_path / "said.jsonl"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> dict[str, Any]:
        code = main(["distill", *map(str, arguments), *QUICK, "--json"])
        out, err = capsys.readouterr()
        assert code == 0, err
        told: dict[str, Any] = json.loads(out)
        return told

    return call


def failed(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["distill", *map(str, arguments), *QUICK]) in (1, 2)
    err = capsys.readouterr().err.strip().splitlines()
    assert err[-1].startswith("reverie: ")
    return err[-1]


def test_a_teacher_here_makes_an_expert_that_a_library_takes(
    run: Run, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    told = run("--teacher", f"bundle:{base}", "--prompts", 4, "--model", base, "--output", out, "--expert", "echo")
    assert Path(told["product"]) == out / "expert"
    assert told["asked"]["prompts"] == 4
    assert sorted(path.name for path in out.iterdir() if path.is_file() and path.name[0] != ".") == [
        "asked.json", "curve.png", "prompts.jsonl", "recipe.json", "report.json", "report.md", "traces.jsonl"
    ]  # fmt: skip
    assert any(one.top for trace in read_traces(out / "traces.jsonl") for one in trace.ids)
    assert main(["experts", "add", str(out / "expert"), "--model", str(base)]) == 0
    assert "echo" in capsys.readouterr().out
    report = (out / "report.md").read_text()
    assert "| nats a byte of the teacher's answers |" in report
    assert "| before |" in report


def test_words_alone_make_a_new_bundle_that_answers(
    run: Run, traces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ("--model", "NEW", "--output", tmp_path / "out", "--memory", tmp_path / "kg.db")
    told = run("--teacher", f"file:{traces}", *settings)
    assert told["figures"]["loss"] > 0
    mined = json.loads((tmp_path / "out" / "mined.json").read_text())
    assert mined["facts"] == mined["new"] > 0
    assert mined["sources"] == ["teacher:somebody"]
    bundle = load_bundle(told["product"])
    assert bundle.words is not None
    assert main(["ask", "What is 3?", "--model", told["product"], "--branches", "0", "--no-memory"]) == 0


def test_a_new_bundle_may_have_its_teachers_tokenizer(run: Run, base: Path, tmp_path: Path) -> None:
    chat = tmp_path / "chat"
    words = toy_words()
    words.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    toy_base("llama").save_pretrained(tmp_path / "base")
    words.save_pretrained(tmp_path / "base")
    init_bundle(tmp_path / "base", chat, InitConfig(dtype="fp32"))
    settings = ("--prompts", 3, "--model", "NEW", "--output", tmp_path / "out", "tokenizer=teacher")
    told = run("--teacher", f"bundle:{chat}", *settings)
    ours, theirs = load_bundle(told["product"]).words, load_bundle(chat).words
    assert ours is not None
    assert theirs is not None
    assert ours.encode("the ball rolls") == theirs.encode("the ball rolls")


def test_a_rerun_repeats_without_the_teacher(run: Run, traces: Path, tmp_path: Path) -> None:
    settings = ("--teacher", f"file:{traces}", "--model", "NEW", "--output", tmp_path / "out")
    first = run(*settings)
    traces.unlink()
    assert run(*settings)["figures"] == first["figures"]
    again = run("--teacher", f"file:{tmp_path / 'out' / 'traces.jsonl'}", "--model", "NEW", "--output", tmp_path / "b")
    assert again["figures"]["loss"] == pytest.approx(first["figures"]["loss"], rel=1e-4)


def test_a_training_that_was_stopped_goes_on(run: Run, traces: Path, tmp_path: Path) -> None:
    settings = ("--teacher", f"file:{traces}", "--model", "NEW", "--output", tmp_path / "out")
    stopped = run(*settings, "loop.max_minutes=1e-9")
    assert stopped["product"] is None
    assert "saved step 1 of 4" in stopped["message"]
    assert Path(run(*settings)["product"]).is_dir()


def test_a_dry_run_asks_nobody(run: Run, base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    told = run("--teacher", f"bundle:{base}", "--prompts", 5, "--model", "NEW", "--output", out, "--dry-run")
    assert told["prompts"] == 5
    assert told["most_ids"] >= 5
    assert not out.exists()


def test_another_distillation_needs_another_folder(
    run: Run, traces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ("--teacher", f"file:{traces}", "--model", "NEW", "--output", tmp_path / "out")
    run(*settings)
    assert "data.temperature was 1.0 and is 2.0 now" in failed(capsys, *settings, "data.temperature=2")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "who teaches?"),
        (("--teacher", "bundle:nowhere", "--prompts", "2", "--model", "NEW"), "nowhere"),
        (("--teacher", "smol", "--model", "NEW"), "no teacher"),
        (("--teacher", "toy:a", "--prompts", "0", "--model", "NEW"), "from 1 to"),
        (("--teacher", "toy:a", "--model", "NEW"), "Give --prompts"),
        (("--teacher", "toy:a", "--prompts", "none.txt", "--model", "NEW"), "there is no file none.txt"),
        (("--teacher", "toy:a", "--prompts", "2", "--model", "nobody"), "nobody"),
    ],
)
def test_bad_input_is_one_line(
    arguments: tuple[str, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in failed(capsys, *arguments, "--output", tmp_path / "out")


def test_traces_that_are_damaged_are_named_by_their_line(
    traces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = traces.read_text().splitlines()
    traces.write_text("\n".join([*lines[:2], lines[2][:30], *lines[3:]]))
    assert "line 3" in failed(capsys, "--teacher", f"file:{traces}", "--model", "NEW", "--output", tmp_path / "out")


def test_one_answer_is_too_few(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.jsonl"
    path.write_text('{"prompt": "Hello?", "answer": "Yes."}\n')
    said = failed(capsys, "--teacher", f"file:{path}", "--model", "NEW", "--output", tmp_path / "out")
    assert "2 are the least" in said


def test_prompts_are_read_from_lines_and_rows(tmp_path: Path) -> None:
    plain, rows, empty = tmp_path / "a.txt", tmp_path / "b.jsonl", tmp_path / "c.txt"
    plain.write_text("Why?\n\n Who? \nWhy?\n")
    assert read_prompts(plain) == ["Why?", "Who?"]
    rows.write_text('{"question": "Why?"}\n{"prompt": [{"role": "user", "content": "Who?"}]}\n')
    assert read_prompts(rows) == ["Why?", (Message("user", "Who?"),)]
    empty.write_text("\n")
    with pytest.raises(DataError, match="no prompt"):
        read_prompts(empty)
    rows.write_text('{"question": "Why?"}\n{"answer": "b"}\n')
    with pytest.raises(DataError, match="line 2"):
        read_prompts(rows)
    empty.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="UTF-8"):
        read_prompts(empty)


def test_varied_prompts_are_different_and_of_many_subjects() -> None:
    few = varied_prompts(40)
    assert few == varied_prompts(200)[:40]
    assert len(set(varied_prompts(MOST_PROMPTS))) == MOST_PROMPTS
    assert len({prompt.split()[0] for prompt in few}) > 10
    assert varied_prompts(10, seed=1) != varied_prompts(10)
    for count in (0, MOST_PROMPTS + 1):
        with pytest.raises(UsageError, match="from 1 to"):
            varied_prompts(count)
