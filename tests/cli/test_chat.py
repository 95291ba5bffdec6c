"""``reverie chat``: a talk on a terminal or one question a line, which no bad line and no Ctrl-C ends."""

from __future__ import annotations

import io
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bases import save_base
from reverie.bundles.init import InitConfig, init_bundle
from reverie.cli import main
from reverie.cli.chat import _whole
from reverie.cli.chat_commands import COMMANDS
from reverie.cli.output import Spoken, printable
from reverie.errors import BackendError
from reverie.paths import talks_file
from reverie.speakers import SaidId, SpeechRequest, ToySpeaker
from reverie.speakers.opening import SPEAKERS
from reverie.speakers.remote import Hear, Piece
from reverie.talks import LoggedTurn, TalkLog

Talk = Callable[..., tuple[int, str, str]]


class Echo(ToySpeaker):
    """Says its question's last word, after ``faults`` have been raised, each amid an answer."""

    asked: list[SpeechRequest]
    faults: list[BaseException]

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        self.asked, self.faults = [], []

    def _say(self, request: SpeechRequest, hear: Hear) -> None:
        self.asked.append(request)
        assert not isinstance(request.said, str)
        for word in (" you", " say", f" {request.said[-1].content.split()[-1]}"):
            hear(Piece(word, (SaidId(word.encode(), -0.1),)))
            if self.faults:
                raise self.faults.pop(0)
        hear(Piece(end="stop"))


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> Echo:
    """What ``--model echo:`` opens."""
    speaker = Echo("echo:")
    monkeypatch.setitem(SPEAKERS._entries, "echo", lambda spec, config: speaker)
    return speaker


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Talk:
    """talk(lines, *arguments) → exit code, stdout and stderr of a chat that is piped these lines."""

    def call(lines: list[str], *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        chosen = () if "--model" in arguments else ("--model", "echo:", "--branches", 1)
        code = main(["chat", *map(str, chosen), *map(str, arguments)])
        return code, *capsys.readouterr()

    return call


def said(request: SpeechRequest) -> list[tuple[str, str]]:
    assert not isinstance(request.said, str)
    return [(turn.role, turn.content) for turn in request.said]


def test_what_was_said_before_is_read_until_it_is_forgotten(echo: Echo, talk: Talk) -> None:
    lines = ["Call me Ann", "Who am I", "/new", "/system Be short", "Again", "/system", "Last"]
    code, out, err = talk(lines, "--system", "Be kind")
    assert code == 0
    assert [line for line in out.splitlines() if line.startswith("you say")] == [
        "you say Ann", "you say I", "you say Again", "you say Last",
    ]  # fmt: skip
    assert said(echo.asked[1]) == [
        ("system", "Be kind"), ("user", "Call me Ann"), ("assistant", "you say Ann"), ("user", "Who am I"),
    ]  # fmt: skip
    assert said(echo.asked[2]) == [("system", "Be short"), ("user", "Again")]
    assert said(echo.asked[3])[0] == ("user", "Again")
    assert err.splitlines() == [
        "what was said is forgotten",
        "the model is told this before everything",
        "the model is told nothing beforehand",
    ]


@pytest.mark.usefixtures("echo")
def test_json_is_one_object_a_line_and_an_error_is_one_too(talk: Talk) -> None:
    code, out, err = talk(["first one", "", "second"], "--json")
    first, bad, second = map(json.loads, out.splitlines())
    assert (first["question"], first["answer"], first["model"]) == ("first one", "you say one", "echo:")
    assert first.keys() > {"known", "confidence", "dreams", "evidence", "seconds"}
    assert bad == {
        "question": "",
        "error": 'the question is empty; ask one, such as "What happens when you drop an egg?"',
    }
    assert second["answer"] == "you say second"
    assert err.count("\n") == 1
    assert code == 1  # for scripts: not every line has its answer


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "the question is empty"),
        ("a " * 500_000, "the question has 1000000 characters; ask one of at most 200000"),
        ("a " * 50_000, "do not fit into the 4096 of echo:"),
        ("an \udcff egg", "the question holds what is no text (UTF-8)"),
        ("/qiut", "unknown command '/qiut'. Did you mean '/quit'?"),
        ("/", "unknown command '/'"),
        ("/save", "/save needs the name of a file"),
        ("/save /proc/nowhere/talk.jsonl", "No such file or directory: /proc/nowhere"),
        ("/dreams", "nothing was asked yet"),
        ("/why", "nothing was asked yet"),
        ("/retry", "nothing was asked yet"),
        ("/undo", "there is no turn to take back"),
        ("/good", "nothing is kept of this answer"),
        ("/temp warm", "/temp needs a number, got 'warm'"),
        ("/temp 99", "temperature between 0 and 10"),
        ("/tokens 0", "max_ids is at least 1"),
        ("/branches 99", "branches lie between 0 and 64"),
        ("/stream maybe", "/stream is on or off, got 'maybe'"),
        ("/expert", "/expert needs names"),
        ("/memory", "/memory needs what to recall"),
        ("/image /nowhere.png", "/nowhere.png"),
        ("/load /nowhere.jsonl", "No such file or directory: /nowhere.jsonl"),
    ],
)
@pytest.mark.usefixtures("echo")
def test_a_bad_line_is_told_in_one_line_and_the_talk_goes_on(talk: Talk, line: str, told: str) -> None:
    code, out, err = talk([line, "still there"])
    assert code == 1
    assert out.startswith("you say there\n")
    assert err.startswith("reverie: ")
    assert told in err
    assert err.count("\n") == 1
    assert len(err) < 400


def test_a_server_that_is_away_for_a_while_ends_nothing(echo: Echo, talk: Talk) -> None:
    echo.faults = [BackendError("nobody answers at http://there")]
    code, out, err = talk(["one", "two"], "--stream")
    assert (code, err) == (1, "reverie: nobody answers at http://there\n")
    assert out.startswith("you\nyou say two\n")
    assert said(echo.asked[1]) == [("user", "two")]


def test_ctrl_c_ends_an_answer_and_leaves_its_turn_out(echo: Echo, talk: Talk) -> None:
    echo.faults = [KeyboardInterrupt()]
    code, out, err = talk(["one", "two", "three"], "--stream")
    assert (code, err) == (1, "reverie: stopped by Ctrl-C: this turn is left out of the talk\n")
    assert out.startswith("you\nyou say two\n")
    assert said(echo.asked[-1]) == [("user", "two"), ("assistant", "you say two"), ("user", "three")]


def test_ctrl_c_twice_ends_a_talk_that_is_piped(echo: Echo, talk: Talk) -> None:
    echo.faults = [KeyboardInterrupt(), KeyboardInterrupt()]
    code, _, err = talk(["one", "two", "three"])
    assert code == 130
    assert err.splitlines()[-1] == "reverie: stopped by Ctrl-C."
    assert len(echo.asked) == 2


def test_our_engine_goes_on_after_an_answer_was_broken_off(
    talk: Talk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = init_bundle(save_base(tmp_path / "base", chat=True), tmp_path / "bundle", InitConfig(dtype="fp32"))
    told, show = list[str](), Spoken._show

    def once(spoken: Spoken) -> None:
        told.append(spoken._text)
        if len(told) == 1:
            raise KeyboardInterrupt
        show(spoken)

    command = ("--model", bundle, "--no-memory", "--branches", 2, "--max-ids", 8, "--json")
    alone = talk(["Tell me of the ball"], *command)[1]
    monkeypatch.setattr(Spoken, "_show", once)
    code, out, _ = talk(["What rolls off", "Tell me of the ball"], *command[:-1], "--stream")
    assert code == 1
    expected = printable(f"{told[0]} {json.loads(alone)['answer']}")
    assert " ".join(out.split()).startswith(" ".join(expected.split()))


@pytest.mark.usefixtures("echo")
def test_a_talk_is_saved_as_json_lines_and_over_nothing_else(talk: Talk, tmp_path: Path) -> None:
    file, other = tmp_path / "talk.jsonl", tmp_path / "other"
    other.write_text("mine")
    lines = ["first one", f"/save {file}", "second", f"/save {file}", f"/save {other}", "/quit", "never"]
    code, out, err = talk(lines, "--system", "Be kind")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(row["role"], row["content"]) for row in rows] == [
        ("system", "Be kind"),
        ("user", "first one"), ("assistant", "you say one"),
        ("user", "second"), ("assistant", "you say second"),
    ]  # fmt: skip
    assert rows[2].keys() == {"role", "content", "known", "confidence", "model"}
    assert f"1 turns in {file}\n2 turns in {file}\n" in err
    assert f"{other} is there already" in err
    assert other.read_text() == "mine"
    assert "never" not in out
    assert code == 1


def test_dreams_of_the_last_answer_are_shown_when_they_are_asked_for(talk: Talk) -> None:
    code, out, err = talk(["What happens if you leave ice in the sun?", "/dreams"], "--model", "toy:", "--branches", 2)
    assert (code, err) == (0, "")
    assert "likelihood" in out


def test_help_lists_what_a_talk_understands(echo: Echo, talk: Talk) -> None:
    code, out, err = talk(["/help"])
    assert (code, out) == (0, "")
    assert all(f"\n/{name} " in f"\n{err}" for name in (*COMMANDS, "quit"))
    assert not echo.asked


def test_settings_change_amid_a_talk(echo: Echo, talk: Talk) -> None:
    lines = ["one", "/temp 0.5", "/tokens 7", "/branches 2", "/expert none", "two", "/expert causal=0.5", "/info"]
    code, _, err = talk(lines, "--seed", 3)
    assert code == 0
    assert [(one.sampling.temperature, one.max_ids) for one in (echo.asked[0], echo.asked[-1])] == [(0, 256), (0.5, 7)]
    assert "2 branches, temperature 0.5, seed 3" in err
    assert "causal=0.5" in err


def test_a_turn_is_taken_back_and_asked_again(echo: Echo, talk: Talk) -> None:
    assert talk(["one", "two", "/retry", "/undo", "three"], "--branches", 0)[0] == 0
    first, again, last = echo.asked[1:]
    assert said(again) == said(first)
    assert again.seed != first.seed
    assert again.sampling.temperature > 0 == first.sampling.temperature
    assert said(last) == [("user", "one"), ("assistant", "you say one"), ("user", "three")]
    assert [len(turns_of(talk.id)) for talk in TalkLog().talks()] == [2]


def test_an_answer_stays_where_a_further_one_is_ended_amid(
    echo: Echo, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def second_ended(request: SpeechRequest, hear: Hear) -> None:
        echo.faults = [KeyboardInterrupt()] if len(echo.asked) == 1 else []
        Echo._say(echo, request, hear)

    monkeypatch.setattr(echo, "_say", second_ended)
    assert talk(["one", "/retry", "two"], "--branches", 0)[0] == 1
    assert said(echo.asked[-1]) == [("user", "one"), ("assistant", "you say one"), ("user", "two")]
    assert [one.question for one in turns_of(TalkLog().talks()[0].id)] == ["one", "two"]


def test_a_talk_is_kept_gone_on_with_and_judged(echo: Echo, talk: Talk) -> None:
    talk(["one", "/wrong it is 1", "/new", "two", "/good"], "--system", "Be kind")
    older, newer = reversed(TalkLog().talks())
    assert [(one.feedback, one.correction) for one in TalkLog().all_turns(judged=True)] == [
        ("wrong", "it is 1"), ("good", ""),
    ]  # fmt: skip
    assert (older.opening, older.system, older.model, newer.num_turns) == ("one", "Be kind", "echo:", 1)
    assert talk([], "--continue", "three")[0] == 0
    assert said(echo.asked[-1]) == [
        ("system", "Be kind"), ("user", "two"), ("assistant", "you say two"), ("user", "three"),
    ]  # fmt: skip
    assert talk(["four"], "--talk", older.id)[0] == 0
    assert said(echo.asked[-1])[1:] == [("user", "one"), ("assistant", "you say one"), ("user", "four")]
    assert [len(turns_of(one)) for one in (older.id, newer.id)] == [2, 2]
    assert turns_of(newer.id)[-1].details["answer"] == "you say three"


@pytest.mark.usefixtures("echo")
def test_nothing_is_kept_where_that_is_said_and_a_wrong_talk_is_told(talk: Talk) -> None:
    assert talk(["one"], "--no-log")[0] == 0
    assert talk(["one"], "--continue")[2] == "reverie: there is no talk to go on with yet\n"
    assert talk(["one"], "--talk", 7)[2] == "reverie: there is no talk 7; reverie logs lists the talks\n"
    assert talk(["one"], "--talk", 7, "--no-log")[2] == "reverie: --no-log goes with neither --continue nor --talk\n"


@pytest.mark.usefixtures("echo")
def test_a_log_that_fails_ends_no_talk(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    talks_file().parent.mkdir(parents=True, exist_ok=True)
    talks_file().write_bytes(b"no database at all")
    code, out, err = talk(["one"])
    assert (code, out[:11]) == (0, "you say one")
    assert err.startswith(f"reverie: the log of talks {talks_file()}: file is not a database")
    talks_file().unlink()

    def tiny(log: TalkLog) -> None:  # as a full disk is
        prepare(log)
        log._base.execute("PRAGMA max_page_count = 1")

    prepare = TalkLog._prepare
    monkeypatch.setattr(TalkLog, "_prepare", tiny)
    code, out, err = talk(["long " * 300] * 9)
    assert (code, out.count("you say")) == (0, 9)
    assert err.count("database or disk is full") == err.count("no more of it is kept") == 1


def test_one_question_stands_below_what_is_piped_in(echo: Echo, talk: Talk) -> None:
    code, out, _ = talk(["a line", "of notes"], "Summarise this")
    assert (code, out[:12]) == (0, "you say this")
    assert said(echo.asked[-1]) == [("user", "a line\nof notes\n\nSummarise this")]
    talk([], "And alone")
    assert said(echo.asked[-1]) == [("user", "And alone")]


def test_a_saved_talk_is_loaded_and_a_damaged_one_told(echo: Echo, talk: Talk, tmp_path: Path) -> None:
    file, bad, odd = tmp_path / "talk.jsonl", tmp_path / "bad", tmp_path / "odd"
    talk(["one", f"/save {file}"], "--system", "Be kind")
    bad.write_text('{"role": "user"}\n')
    odd.write_text('{"role": "user", "content": "a"}\n')
    code, _, err = talk([f"/load {file}", f"/load {bad}", f"/load {odd}", "two"])
    assert code == 1
    assert said(echo.asked[-1]) == [
        ("system", "Be kind"), ("user", "one"), ("assistant", "you say one"), ("user", "two"),
    ]  # fmt: skip
    assert "bad, line 1: no object with role and content" in err
    assert "odd: a talk is questions of a user and answers of an assistant in turn" in err


def test_a_guess_beside_an_answer_is_saved_and_loaded(echo: Echo, talk: Talk, tmp_path: Path) -> None:
    file, again = tmp_path / "talk.jsonl", tmp_path / "again.jsonl"
    rows = [{"role": "user", "content": "who?"}, {"role": "assistant", "content": "I am not sure.", "guess": "Ada."}]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    code, _, err = talk([f"/load {file}", f"/save {again}", "/quit"])
    assert code == 0, err
    assert [json.loads(line) for line in again.read_text().splitlines()] == rows


def test_several_lines_are_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    rest = iter(["two", 'three"""', "five"])
    monkeypatch.setattr("builtins.input", lambda _: next(rest))
    assert _whole('"""one') == "one\ntwo\nthree"
    assert _whole("four\\") == "four\nfive"
    assert _whole('"""all in one"""') == "all in one"
    assert _whole("as it is") == "as it is"


def turns_of(talk: int) -> list[LoggedTurn]:
    return TalkLog().turns(talk)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_on_a_terminal_it_prompts_goes_on_after_ctrl_c_and_ends_with_ctrl_d() -> None:
    master, slave = os.openpty()
    command = [sys.executable, "-m", "reverie", "chat", "--model", "toy:", "--max-ids", "4"]
    done = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    seen = ""

    def until(text: str, again: Callable[[], None] = lambda: None) -> None:
        nonlocal seen
        ends = time.monotonic() + 60
        while text not in seen and time.monotonic() < ends:
            if select.select([master], [], [], 2)[0]:
                seen += os.read(master, 4096).decode()
            else:
                again()
        assert text in seen, seen
        seen = seen.partition(text)[2]

    try:
        until("Ctrl-D ends the talk")
        until("> ")
        os.write(master, b"/new\n")
        until("what was said is forgotten")
        until("> ")
        # a signal that comes between the prompt and readline's waiting is heard at the next one
        done.send_signal(2)
        until("Ctrl-D or /quit ends the talk", lambda: done.send_signal(2))
        until("> ")
        os.write(master, b"Tell me of the egg\n")
        until("by toy:")
        until("> ")
        os.write(master, b"\x04")
        assert done.wait(60) == 0
    finally:
        done.kill()
        done.wait()
        os.close(master)
