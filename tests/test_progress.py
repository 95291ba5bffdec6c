"""How long work tells how far it is: lines in a file, bars on a terminal."""

from __future__ import annotations

import io
import time

import pytest

from reverie.progress import shown_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_file_gets_plain_lines_with_what_is_said_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_FIRST_S", "_EVERY_S"):
        monkeypatch.setattr(f"reverie.progress.{name}", 0.02)
    file = io.StringIO()
    with shown_progress(file) as report:
        report("reading", 0, 0)
        time.sleep(0.1)
        for step in range(5):
            report(f"training  loss {9 - step}", step, 8)
            time.sleep(0.05)
    lines = file.getvalue().splitlines()
    assert lines[0].startswith("reading: 0, ")
    assert any(line.startswith("training  loss 6: 3 of 8, ") for line in lines)


def test_a_terminal_gets_one_bar_for_one_kind_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    with shown_progress(terminal) as report:
        report("training  loss 9", 1, 8)
        report("training  loss 4", 8, 8)
    last = terminal.getvalue().split("\x1b[?25h")[0].splitlines()[-1]
    assert "training  loss 4" in last
    assert "loss 9" not in last
    assert "8/8" in last
