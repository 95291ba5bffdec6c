"""Questions that were not known reach the gap log, and no answer fails for it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from reverie.dreaming.gap_notes import GapNotes
from reverie.dreaming.question import Question
from reverie.memory.attempts import GapLog
from reverie.nouns import Answer
from reverie.paths import default_memory
from reverie.talks import LoggedTurn

UNKNOWN = Answer("I don't know.", False, 0.2, "local", model="smol", guess="Tom")


def noted(address: str) -> list[str]:
    with GapLog(address) as log:
        return [f"{one.question} {one.answer} {one.why} {one.correction}".strip() for one in log.all()]


def test_what_is_not_known_or_called_wrong_is_noted_where_the_memory_lies() -> None:
    notes = GapNotes()
    assert not Path(default_memory()).exists()
    notes.answered(Question("Who leads Alma?"), Answer("Jane", True, 0.9, "local"))
    assert not Path(default_memory()).exists()  # nothing is made before it is needed
    notes.answered(Question("Who leads Alma?"), UNKNOWN)
    notes.wrong(LoggedTurn(1, 1, "", "Who?", "Tom", True, 0.9, "smol", {}, "wrong", "Jane"))
    assert noted(default_memory()) == ["Who leads Alma? Tom unknown", "Who? Tom wrong Jane"]


@pytest.mark.parametrize("off", ["off", "NO", "0"])
def test_it_can_be_switched_off(off: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    GapNotes(False).answered(Question("Who?"), UNKNOWN)
    monkeypatch.setenv("REVERIE_GAPS", off)
    GapNotes(str(tmp_path / "kg.db")).answered(Question("Who?"), UNKNOWN)
    assert not Path(default_memory()).exists()
    assert not (tmp_path / "kg.db").exists()


def test_a_memory_that_refuses_costs_a_line_and_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken = tmp_path / "kg.db"
    broken.write_text("no database")
    notes = GapNotes(str(broken))
    with caplog.at_level(logging.WARNING):
        notes.answered(Question("Who?"), UNKNOWN)
        notes.answered(Question("Who?"), UNKNOWN)
    (line,) = caplog.messages
    assert "gaps are not noted" in line
    assert broken.read_text() == "no database"
