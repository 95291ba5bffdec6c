from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.bases import save_base

from reverie.bundles.init import InitConfig, init_bundle
from reverie.cli import main
from reverie.dreaming.question import DreamSettings
from reverie.nouns import Answer
from reverie.paths import talks_file
from reverie.talks import TalkLog


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("base")
    return init_bundle(save_base(home / "llama"), home / "bundle", InitConfig(dtype="fp32"))


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("REVERIE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """run(*arguments) → (exit code, stdout, stderr) of `reverie learn`."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = main(["learn", *map(str, arguments)])
        return code, *capsys.readouterr()

    return call


def write(path: Path, *rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(row if isinstance(row, str) else f"{json.dumps(row)}\n" for row in rows))
    return path


def ask(question: str, bundle: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["ask", question, "--model", str(bundle), "--json", "--branches", "0"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert isinstance(told, dict)
    return told


CORRECTION = {"question": "Who leads Alma?", "wrong": "Tom", "answer": "Jane"}


def test_a_correction_is_answered_at_once_cited_learned_and_undone(
    run: Any, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = write(tmp_path / "lessons.jsonl", CORRECTION)
    code, out, err = run(stream, "--model", bundle, "--margin", "1", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert (told["read"], told["new"], told["states"]) == (1, 1, {"learned": 1})
    assert told["steps"][0]["kept"]
    answer = ask("who leads alma", bundle, capsys)
    assert (answer["answer"], answer["known"]) == ("Jane", True)
    assert answer["evidence"][0]["source"] == "lessons: lessons.jsonl"
    code, out, _ = run(stream, "--model", bundle)
    assert code == 0
    assert "1 lessons read, 0 new" in out
    code, out, _ = run("--undo", "--model", bundle)
    assert (code, out) == (0, "undone: 1 lessons\n")
    assert ask("who leads alma", bundle, capsys)["answer"] != "Jane"


def test_bad_lines_are_named_and_the_rest_is_learned(run: Any, bundle: Path, tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.jsonl", "{broken\n", "\n", [1], {"question": "Who?", "answer": float("nan")}, CORRECTION)
    write(tmp_path / "in" / "b.jsonl", {"quest": 1}, {"question": "Is it?", "answer": "yes", "thumb": "sideways"})
    code, out, err = run(tmp_path / "in", "--model", bundle, "--no-weights", "--json")
    assert code == 0
    told = json.loads(out)
    assert (told["read"], told["new"]) == (6, 1)
    assert [one["place"] for one in told["bad"]] == [
        "a.jsonl, line 1", "a.jsonl, line 3", "a.jsonl, line 4", "b.jsonl, line 1", "b.jsonl, line 2",
    ]  # fmt: skip
    assert "left out a.jsonl, line 4: answer is nan; a number is finite" in err


def test_what_was_said_of_answers_is_learned_once(run: Any, bundle: Path) -> None:
    answer = Answer("Tom", True, 0.9, "local")
    with TalkLog(talks_file()) as log:
        talk = log.begin("smol")
        turns = [log.add(talk, question, answer, {}) for question in ("Who leads Alma?", "Who sings?", "Who runs?")]
        log.judge(turns[0], "wrong", "Jane")
        log.judge(turns[1], "good")
        log.judge(turns[2], "wrong")
    code, out, _ = run("feedback", "--model", bundle, "--no-weights", "--json")
    told = json.loads(out)
    assert (code, told["read"], told["new"], told["states"]) == (0, 3, 3, {"told": 1, "waiting": 2})
    code, out, _ = run("feedback", "--model", bundle, "--no-weights", "--json")
    assert json.loads(out)["new"] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "say what to learn from"),
        (("nowhere.jsonl",), 2, "no lessons at nowhere.jsonl"),
        (("feedback", "--undo"), 2, "say what to learn from"),
        (("feedback", "--expert", "../x"), 2, "an expert's name"),
        (("feedback", "--margin", "2"), 2, "less than or equal to 1"),
        (("feedback", "--probe", "none.jsonl"), 1, "the probe set is missing"),
        (("feedback", "--model", "nobody"), 2, "no bundle 'nobody'"),
    ],
)
def test_wrong_calls_are_one_line(run: Any, arguments: tuple[str, ...], code: int, said: str, bundle: Path) -> None:
    found, out, err = run(*arguments, *(() if "--model" in arguments else ("--model", bundle)))
    assert (found, out) == (code, "")
    assert said in err
    assert "Traceback" not in err


def test_the_bundle_is_left_as_it_is(run: Any, bundle: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in sorted(bundle.rglob("*")) if path.is_file()}
    run(write(tmp_path / "lessons.jsonl", CORRECTION), "--model", bundle, "--margin", "1")
    assert before == {path: path.read_bytes() for path in sorted(bundle.rglob("*")) if path.is_file()}


def test_rows_that_nobody_routes_to_the_expert_are_answered_bit_for_bit_as_before(
    run: Any, bundle: Path, tmp_path: Path
) -> None:
    from reverie.bundles import load_bundle
    from reverie.dreaming.question import Manner, Question, Speaking

    asked = ["What falls off the red ball?", "7 7 7 7 7 7 7 7 7 7 7 7?", "ZZZZZZZZZZ", "Is it so, or else? " * 3]

    def said() -> list[tuple[Any, ...]]:
        session = load_bundle(bundle).session(memory=False)
        try:
            answers = [session.answer(Question(one), Manner(DreamSettings(0), Speaking(max_ids=12))) for one in asked]
            scores = session.mind.speaker.score([("", one) for one in asked])  # type: ignore[attr-defined]
            return [
                (answer.text, answer.confidence, score.log_prob, tuple(answer.attribution.experts))
                for answer, score in zip(answers, scores, strict=True)
            ]
        finally:
            session.close()

    before = said()
    code, _, err = run(write(tmp_path / "lessons.jsonl", CORRECTION), "--model", bundle, "--margin", "1")
    assert code == 0, err
    after = said()
    alone = [place for place, one in enumerate(after) if not one[3]]
    assert alone  # a tiny base of random weights tells few questions apart
    assert [after[place] for place in alone] == [before[place] for place in alone]


@pytest.mark.parametrize("words", [["learn", "lessons.jsonl"], ["distill", "--teacher", "file:traces.jsonl"]])
def test_a_launcher_is_told_that_one_process_is_enough(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert main(words) == 2
    assert "a launcher started 2: start it without one" in capsys.readouterr().err
