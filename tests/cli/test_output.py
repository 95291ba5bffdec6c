"""What a command prints: nothing in it steers a terminal, whatever a fact, a caption or a file's name holds."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from reverie.cli import main
from reverie.cli.output import Output, _console, printable

BAD = "\x1b[31m\x07\x9b2J\r\u202egnp.\u2066!"
SAID = " [31m  2J  gnp. !"


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_control_characters_and_turned_writing_become_spaces() -> None:
    assert printable(f"egg {BAD}\tfood\n") == f"egg {SAID}\tfood\n"
    assert printable("naïve 漢字 \u200d🙂 שלום") == "naïve 漢字 \u200d🙂 שלום"


def test_a_terminal_gets_the_colours_of_the_house_and_none_of_a_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    console = _console(terminal)
    console.print(Text(BAD, style="bold red"))
    table = Table(BAD)
    table.add_row(BAD)
    console.print(table)
    console.print(BAD, markup=False, highlight=False)
    shown = terminal.getvalue()
    assert "\x1b[1;31m" in shown  # the house's own
    for letter in "\x07\x9b\r\u202e\u2066":
        assert letter not in shown
    assert "\x1b[31m" not in shown


def test_notes_are_clean_and_json_says_the_same_in_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    with Output(as_json=True) as out:
        out.note(BAD)
        out.result({"said": BAD}, lambda console: None)
    printed, noted = capsys.readouterr()
    assert printable(printed) == printed
    assert json.loads(printed)["said"] == BAD
    assert printable(noted) == noted
    assert "2J" in noted


def test_a_fact_from_memory_steers_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address = ["--memory", str(tmp_path / "kg.db")]
    assert main(["memory", "add", "egg", "IsA", f"food{BAD}", *address]) == 0
    assert main(["memory", "show", "egg", *address]) == 0
    assert main(["memory", "recall", "What is an egg?", "--embedder", "none", *address]) == 0
    said = capsys.readouterr().out
    assert said.count("[31m") == 3
    assert printable(said) == said
