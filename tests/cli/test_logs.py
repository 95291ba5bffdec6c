"""``reverie logs``: talks listed, shown, found, deleted and exported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reverie.cli import main
from reverie.nouns import Answer
from reverie.talks import TalkLog


@pytest.fixture
def kept() -> int:
    """A talk of two turns, the first of them judged."""
    with TalkLog() as log:
        talk = log.begin("nano")
        first = log.add(talk, "Does an egg break?", Answer("Yes.", True, 0.9, "local", model="nano"), {})
        log.add(talk, "Who is Ann?", Answer("I don't know this yet.", False, 0.1, "local", model="nano"), {})
        log.judge(first, "wrong", "it depends")
    return talk


def test_talks_are_listed_shown_and_found(kept: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs"]) == 0
    assert "2 turns  Does an egg break?" in capsys.readouterr().out
    assert main(["logs", "show", str(kept)]) == 0
    shown = capsys.readouterr().out
    assert "> Does an egg break?\nYes.\nconfidence 0.90 (known), by nano; wrong: it depends\n" in shown
    assert "confidence 0.10 (not known), by nano\n" in shown
    assert main(["logs", "search", "egg", "brea", "--json"]) == 0
    (turn,) = json.loads(capsys.readouterr().out)["turns"]
    assert (turn["talk"], turn["question"], turn["feedback"]) == (kept, "Does an egg break?", "wrong")


def test_turns_are_exported_and_over_nothing_else(
    kept: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "judged.jsonl"
    assert main(["logs", "export", str(file), "--judged"]) == 0
    (row,) = map(json.loads, file.read_text().splitlines())
    assert (row["question"], row["correction"], row["talk"]) == ("Does an egg break?", "it depends", kept)
    assert main(["logs", "export", str(file)]) == 2
    assert f"{file} is there already" in capsys.readouterr().err


def test_a_talk_is_deleted_once(kept: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", "delete", str(kept)]) == 0
    assert "with 2 turns is deleted" in capsys.readouterr().err
    assert main(["logs", "delete", str(kept)]) == 2
    assert f"there is no talk {kept}; reverie logs lists the talks" in capsys.readouterr().err
    assert main(["logs"]) == 0
    assert "There are no talks yet" in capsys.readouterr().out
