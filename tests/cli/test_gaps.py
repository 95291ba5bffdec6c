"""``reverie gaps`` on nano, from the questions that it could not answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reverie.cli.app import main
from reverie.memory.attempts import Attempt, GapLog
from reverie.paths import default_memory

QUESTIONS = [f"What happens if you {do} the {thing}?" for do in ("zork", "blip", "quell") for thing in ("grue", "yeti")]


@pytest.fixture
def log() -> None:
    with GapLog(default_memory()) as opened:
        for number, question in enumerate(QUESTIONS * 2):
            opened.add(Attempt(question, "It floats.", "nano", "wrong" if number else "unknown", 0.2, {"near": 1.0}))


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert main(["gaps", *words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert isinstance(said, dict)
    return said


def test_questions_that_were_not_known_are_listed_shown_exported_and_dismissed(
    log: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "gaps.png"
    listed = told(capsys, "list", "--map", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")
    gap, *others = listed["gaps"]  # type: ignore[misc]
    assert gap["count"] + sum(one["count"] for one in others) + listed["alone"] == 12
    shown = told(capsys, "show", gap["id"])
    assert len(shown["attempts"]) == gap["count"]  # type: ignore[arg-type]
    file = tmp_path / "asked.jsonl"
    assert told(capsys, "export", str(file), "--gap", gap["id"])["questions"] == gap["count"]
    assert json.loads(file.read_text().splitlines()[0])["signals"] == {"near": 1.0}
    assert told(capsys, "dismiss", gap["name"])["questions"] == gap["count"]
    assert gap["id"] not in [one["id"] for one in told(capsys, "list")["gaps"]]  # type: ignore[attr-defined]


def test_what_is_not_there_is_one_line(log: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gaps", "show", "g99"]) == 2
    assert "there is no gap 'g99'" in capsys.readouterr().err
    assert main(["gaps", "list", "--model", "nemo"]) == 2
    assert "no bundle 'nemo'" in capsys.readouterr().err


def test_an_empty_log_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gaps", "list"]) == 0
    assert "no gap of nano yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "say where lessons come from"),
        (["--teacher", "documents", "--name", "x"], "documents gives no lessons where there is no gap"),
        (["--teacher", "bogus:1", "--name", "x"], "unknown source of lessons 'bogus'"),
        (["--teacher", "toy:", "--name", "x", "--lessons", "5"], "at least 24 lessons, got lessons=5"),
        (["--teacher", "toy:"], "there is no gap of nano yet"),
    ],
)
def test_what_cannot_grow_is_one_line(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grow", *words]) == 2
    assert line in capsys.readouterr().err
