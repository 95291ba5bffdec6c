"""Where lessons come from: a file or folder of JSON lines, the standard input, or what was said of a server's answers.

A stream gives ``Item`` and ``Bad`` in order; what cannot be read is named by its line, and the rest goes on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from reverie.errors import DataError, UsageError, shorten
from reverie.learning.items import Bad, Item, parse_item
from reverie.talks import LoggedTurn, TalkLog

__all__ = ["FEEDBACK", "Told", "open_stream", "parse_lines"]

FEEDBACK = "feedback"  # what people said of answers, from the log of talks
_MOST = 1_000_000  # bytes of a line

Told = Iterator[Item | Bad]


def open_stream(name: str, stdin: IO[bytes] | None = None) -> Told:
    """The lessons of ``name``: a file or folder, ``-`` for the standard input, ``feedback`` for the server's.

    Raises UsageError for what is not there, and DataError where it cannot be read.
    """
    if name == "-":
        return parse_lines(stdin or sys.stdin.buffer, "standard input")
    if name == FEEDBACK and not Path(name).exists():
        return _feedback()
    path = Path(name)
    if path.is_dir():
        files = sorted(path.rglob("*.jsonl"))
        if not files:
            raise UsageError(f"the folder {shorten(name)} holds no *.jsonl file to learn from")
        return (one for file in files for one in _file(file))
    if not path.is_file():
        raise UsageError(f"no lessons at {shorten(name)}: give a JSONL file, a folder of them, - or {FEEDBACK}")
    return _file(path)


def parse_lines(lines: Iterable[bytes], name: str) -> Told:
    """A lesson a line; empty lines are left out."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{name}, line {number}"
        try:
            yield parse_item(_object(line), place, source=f"lessons: {name}")
        except DataError as error:
            yield Bad(place, str(error))


def _file(path: Path) -> Told:
    try:
        with path.open("rb") as file:
            yield from parse_lines(file, path.name)
    except OSError as error:
        raise DataError(f"the lessons {path} cannot be read: {error.strerror or error}") from error


def _object(line: bytes) -> dict[str, Any]:
    if len(line) > _MOST:
        raise DataError(f"it has {len(line)} bytes; a lesson has at most {_MOST}")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"no JSON: {shorten(str(error), 80)}") from error
    if not isinstance(value, dict):
        raise DataError("no JSON object")
    return value


def _feedback() -> Told:
    with TalkLog() as log:
        turns = log.all_turns(judged=True)
    for turn in turns:
        place = f"turn {turn.id} of talk {turn.talk}"
        try:
            yield parse_item(_judged(turn), place, source=f"feedback: turn {turn.id}")
        except DataError as error:
            yield Bad(place, str(error))


def _judged(turn: LoggedTurn) -> dict[str, Any]:
    """A lesson as an object. What was only guessed is judged as the guess."""
    said = turn.details.get("guess") or turn.answer
    if turn.feedback == "good":
        return {"question": turn.question, "answer": said, "thumb": "up"}
    if turn.correction.strip():
        return {"question": turn.question, "wrong": said, "answer": turn.correction}
    return {"question": turn.question, "answer": said, "thumb": "down"}
