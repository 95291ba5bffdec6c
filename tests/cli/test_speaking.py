"""``ask``, ``dream`` and ``info`` with models that speak: a tiny base, the toy speaker, and nano joined with one."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import reverie
from bases import save_base
from reverie.bundles.init import InitConfig, init_bundle
from reverie.cli import main
from reverie.cli.output import Output, Spoken
from reverie.cli.showing import show_evidence
from reverie.dreaming.question import Speaking
from reverie.errors import BackendError
from reverie.nouns import SAYS, Answer, Fact
from reverie.speakers import Message, SaidId, SpeechRequest, ToySpeaker
from reverie.speakers.opening import SPEAKERS
from reverie.speakers.remote import Hear, Piece
from toy_servers import MODEL, Ollama, OpenAI, serving

Run = Callable[..., tuple[int, str, str]]

GREETING = "Tell me of the red ball."
AHEAD = "What happens if you leave ice cream in the sun?"


@pytest.fixture(scope="module")
def smol(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a base that talks and knows nothing."""
    home = tmp_path_factory.mktemp("bases")
    return init_bundle(save_base(home / "smol", chat=True), home / "bundle", InitConfig(dtype="fp32"))


@pytest.fixture
def pulled(smol: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As if smol had been pulled."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "smol").symlink_to(smol)
    monkeypatch.setenv("REVERIE_HOME", str(tmp_path))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run_it(*arguments: object) -> tuple[int, str, str]:
        code = main(list(map(str, arguments)))
        return code, *capsys.readouterr()

    return run_it


@pytest.fixture
def told(run: Run) -> Callable[..., dict[str, Any]]:
    def call(*arguments: object) -> dict[str, Any]:
        code, out, err = run(*arguments, "--json")
        assert (code, err) == (0, "")
        loaded: dict[str, Any] = json.loads(out)
        return loaded

    return call


class Scripted(ToySpeaker):
    """Says " one two three four", and may be stopped after a word or break off before the first."""

    asked: list[SpeechRequest]
    fault: BaseException | None = None

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        self.asked = []

    def _say(self, request: SpeechRequest, hear: Hear) -> None:
        self.asked.append(request)
        for word in (" one", " two", " three", " four"):
            if hear(Piece(word, (SaidId(word.encode(), -0.1),))):
                return
            if self.fault is not None and word == " three":
                raise self.fault
        hear(Piece(end="stop"))


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """What ``--model scripted:`` opens."""
    speaker = Scripted("scripted:")
    monkeypatch.setitem(SPEAKERS._entries, "scripted", lambda spec, config: speaker)
    return speaker


def test_free_words_are_drawn_as_asked_for_and_otherwise_as_the_base_is(
    smol: Path, told: Callable[..., dict[str, Any]]
) -> None:
    session = reverie.load(smol, memory=False)
    usual = session.ask(GREETING, branches=0, speaking=Speaking(max_ids=12))
    command = ("ask", GREETING, "--model", smol, "--no-memory", "--branches", 0, "--max-ids", 12)
    assert told(*command)["answer"] == usual.text
    sampling = {"temperature": 0.9, "top_k": 7, "top_p": 0.9, "min_p": 0.01, "repetition_penalty": 1.3}
    flags = [text for name, value in sampling.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    drawn = session.ask(
        GREETING,
        branches=0,
        temperature=0.9,
        seed=5,
        speaking=Speaking("You are a poet.", 12, sampling, (" x",)),
    )
    answer = told(*command, *flags, "--seed", 5, "--system", "You are a poet.", "--stop", " x")
    assert answer["answer"] == drawn.text
    assert answer["answer"] != usual.text
    assert (answer["model"], answer["why"]) == ("smol", "")


def test_every_option_reaches_the_speaker(scripted: Scripted, told: Callable[..., dict[str, Any]]) -> None:
    answer = told(
        *("ask", GREETING, "--model", "scripted:", "--branches", 1, "--system", "Be short.", "--max-ids", 9),
        *("--top-k", 3, "--stop", " four", "--stop", "five"),
    )
    assert answer["answer"] == "one two three"
    request = scripted.asked[0]
    assert request.said == (Message("system", "Be short."), Message("user", GREETING))
    assert (request.max_ids, request.stop) == (9, (" four", "five"))
    assert (request.sampling.top_k, request.sampling.temperature) == (3, 1.0)  # of likeliest words nothing is filtered


@pytest.mark.usefixtures("scripted")
@pytest.mark.parametrize("flag", ["--stream", "--no-stream"])
def test_words_are_said_once_whether_they_come_one_by_one_or_not(run: Run, flag: str) -> None:
    code, out, err = run("ask", GREETING, "--model", "scripted:", flag)
    assert (code, err) == (0, "")
    assert out.startswith("one two three four\nconfidence ")
    assert out.count("two") == 1
    assert ", by scripted:, " in out


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (["\n ", "a", " b", " \n", "\n"], "a b"),
        (["a", "\n\n", "b \x1b[31m"], "a\n\nb  [31m"),
        (["whole, for who shows the answer"], ""),
        ([], ""),
    ],
)
def test_blanks_at_the_ends_of_a_stream_are_not_shown_and_a_whole_answer_is_left_alone(
    pieces: list[str], shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Output(False) as out, Spoken(out) as spoken:
        for piece in pieces:
            spoken(piece)
    assert capsys.readouterr().out == (f"{shown}\n" if shown else "")


def test_what_was_said_before_ctrl_c_stays(scripted: Scripted, run: Run) -> None:
    scripted.fault = KeyboardInterrupt()
    code, out, err = run("ask", GREETING, "--model", "scripted:", "--stream")
    assert (code, out, err) == (130, "one two three\n", "reverie: stopped by Ctrl-C.\n")
    scripted.fault = BackendError("the server broke off")
    code, out, err = run("ask", GREETING, "--model", "scripted:", "--stream")
    assert (code, out, err) == (1, "one two three\n", "reverie: the server broke off\n")


def test_a_dream_in_words_is_shown_line_by_line_and_in_json(run: Run, told: Callable[..., dict[str, Any]]) -> None:
    code, out, _ = run("dream", AHEAD, "--model", "toy:", "--branches", 2)
    assert code == 0
    assert "undecided, by toy:" in out
    lines = [line.split(maxsplit=1) for line in out.splitlines() if line.strip()]
    assert [line[0] for line in lines if line[0] in ("Situation", "Action", "Result")] == [
        "Situation",
        "Action",
        "Result",
    ]
    assert ["Action", "You leave ice cream in the sun."] in [[one.strip() for one in line] for line in lines]
    assert "★" not in out
    answer = told("dream", AHEAD, "--model", "toy:", "--branches", 2)
    assert answer["model"] == "toy:"
    assert {part["image"] for dream in answer["dreams"] for part in dream["triplets"][0].values()} == {None}


def test_a_strip_of_words_is_saved(run: Run, tmp_path: Path) -> None:
    code, _, err = run("ask", AHEAD, "--model", "toy:", "--branches", 2, "--save", tmp_path / "out")
    assert code == 0
    assert err == f"strip.png in {tmp_path / 'out'}\n"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["strip.png"]


@pytest.mark.usefixtures("pulled")
def test_nano_pictures_what_it_was_taught_and_smol_says_the_rest(run: Run, told: Callable[..., dict[str, Any]]) -> None:
    egg = told("ask", "What happens if I drop an egg?", "--branches", 1)
    assert (egg["model"], egg["known"]) == ("nano", True)
    assert egg["why"] == 'nano was taught this, as "what happens when you drop an egg?"'
    code, out, _ = run("ask", AHEAD, "--branches", 2, "--stream")
    assert code == 0
    assert ", by smol, " in out
    assert "smol was asked: nano says: 'cream' and 'sun' are not among what was taught" in " ".join(out.split())
    dreamed = told("dream", AHEAD, "--branches", 1)
    assert (dreamed["model"], len(dreamed["dreams"])) == ("smol", 1)
    assert told("dream", "What happens if I drop an egg?", "--branches", 1)["model"] == "nano"


@pytest.mark.usefixtures("pulled")
def test_info_says_what_auto_means(told: Callable[..., dict[str, Any]], run: Run) -> None:
    info = told("info")
    assert info["auto"] == "nano+smol"
    assert info["models"] == {"packaged": ["nano"], "pulled": ["smol"]}
    assert "nano+smol: who answers without --model" in run("info")[1]


def test_where_nothing_was_pulled_auto_is_nano(told: Callable[..., dict[str, Any]], run: Run) -> None:
    assert told("info")["auto"] == "nano"
    assert "packaged nano; pulled none" in run("info")[1]
    code, out, err = run("ask", "What happens when you drop an egg?", "--branches", 1, "--system", "Be short.")
    assert code == 0
    assert ", by nano, " in out
    assert err == "nano only says what it dreamed: how free words are to be said changes nothing\n"


@pytest.mark.parametrize("kind", [Ollama, OpenAI])
def test_a_model_of_a_server_answers_dreams_and_talks_and_its_faults_are_one_line(
    kind: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(*arguments: object) -> list[dict[str, Any]]:
        code, out, _ = run(*arguments, *named, "--json")  # on stderr the test's server may complain of who hung up
        assert code == 0
        return [json.loads(line) for line in out.splitlines()] if arguments[0] == "chat" else [json.loads(out)]

    with serving(kind) as server:
        model = f"ollama:{MODEL}@{server.url}" if kind is Ollama else f"{server.url}/v1#{MODEL}"
        named = ("--model", model, "--max-ids", 8)
        assert answer("ask", GREETING)[0]["dreams"] == []
        assert answer("ask", AHEAD, "--branches", 2)[0]["dreams"]
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{GREETING}\nAnd the egg\n"))
        assert len(answer("chat")) == 2
        server.fault = "html"
        code, out, err = run("ask", GREETING, *named)
        assert (code, out, len(re.findall("^reverie: .*does not answer as", err, re.MULTILINE))) == (1, "", 1)


def test_facts_that_are_cited_come_first_with_their_numbers() -> None:
    facts = [Fact(f"thing {number}", "IsA", "thing", "user") for number in range(1, 9)]
    facts[6] = Fact("page.txt 3", SAYS, "long " * 100, "page.txt", reason="a passage")
    shown = io.StringIO()
    answer = Answer("So it is. [2][7]", True, 0.9, "local", evidence=tuple(facts))
    show_evidence(Console(file=shown, width=400), answer.evidence, answer.text)
    title, *lines = shown.getvalue().strip().splitlines()
    assert title == "From memory:"
    assert [line.strip().split(" (")[0] for line in lines[:3]] == [
        "[2] thing 2 — IsA → thing",
        f"[7] page.txt 3: “{('long ' * 100)[:159]}…”",
        "[1] thing 1 — IsA → thing",
    ]
    assert len(lines) == 5


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["ask", "why " * 250_000], 2, "the question has 1000000 characters; ask one of at most 200000"),
        (["ask", "why so? " * 500, "--model", "nano"], 2, "the question has 4000 characters; ask one of at most 2000"),
        (["ask", "Tell me. " * 4000], 2, "do not fit into the 4096 of toy:"),
        (["ask", GREETING, "--stop", ""], 2, "a stop text is not empty"),
        (["ask", GREETING, "--top-p", "1.5"], 2, "top_p lies above 0 and at most at 1"),
        (["ask", GREETING, "--repetition-penalty", "0"], 2, "repetition_penalty lies between 0.001 and 1e6"),
        (["ask", GREETING, "--max-ids", "0"], 2, "Invalid value for '--max-ids'"),
        (["ask", GREETING, "--image", "egg.png"], 2, "toy: was taught no pictures"),
        (["ask", GREETING, "--expert", "poet"], 2, "toy: has no experts, and 'poet' is asked for"),
        (["ask", GREETING, "--memory", "gone.db"], 2, "there is no memory at gone.db; make one with --remember"),
        (["dream", AHEAD, "--map", "SFF"], 2, "toy: was taught no pictures"),
        (["dream", AHEAD, "--expert", "poet"], 2, "toy: has no experts"),
        (["dream", GREETING], 2, "the question asks for nothing to dream of"),
        (["ask", GREETING, "--model", "nano+nobody"], 2, "no bundle 'nobody'"),
        (["ask", GREETING, "--model", "ollama:"], 2, "names no model"),
        (["ask", GREETING, "--model", "http://127.0.0.1:9/v1#a"], 1, "nobody answers at http://127.0.0.1:9/v1"),
    ],
)
def test_bad_input_is_one_clear_line(
    run: Run, arguments: list[str], code: int, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given, out, err = run(*arguments, *([] if "--model" in arguments else ["--model", "toy:"]))
    assert (given, out) == (code, "")
    assert err.count("\n") == 1
    assert line in err
    assert len(err) < 400
    assert not list(tmp_path.iterdir())
