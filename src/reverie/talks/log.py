"""The log of talks: one SQLite file, searched by parts of words, that several programs may write at once."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from reverie.errors import TalkLogError, UsageError, shorten
from reverie.jsonio import jsonable
from reverie.nouns import Answer
from reverie.paths import talks_file

__all__ = ["Feedback", "LoggedTalk", "LoggedTurn", "TalkLog"]

Feedback = Literal["good", "wrong"]

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS talks (
    id INTEGER PRIMARY KEY AUTOINCREMENT, begun TEXT NOT NULL, model TEXT NOT NULL, system TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS turns (
    id INTEGER PRIMARY KEY AUTOINCREMENT, talk INTEGER NOT NULL REFERENCES talks ON DELETE CASCADE,
    at TEXT NOT NULL, question TEXT NOT NULL, answer TEXT NOT NULL, known INTEGER NOT NULL, confidence REAL NOT NULL,
    model TEXT NOT NULL, details TEXT NOT NULL, feedback TEXT, correction TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS turns_of_talk ON turns (talk, id);
CREATE VIRTUAL TABLE IF NOT EXISTS said
    USING fts5 (question, answer, content=turns, content_rowid=id, tokenize=trigram);
CREATE TRIGGER IF NOT EXISTS turn_said AFTER INSERT ON turns BEGIN
    INSERT INTO said (rowid, question, answer) VALUES (new.id, new.question, new.answer);
END;
CREATE TRIGGER IF NOT EXISTS turn_unsaid AFTER DELETE ON turns BEGIN
    INSERT INTO said (said, rowid, question, answer) VALUES ('delete', old.id, old.question, old.answer);
END;
"""
_TALKS = """
SELECT talks.id, begun, talks.model, system, count(turns.id),
    coalesce((SELECT question FROM turns WHERE talk = talks.id ORDER BY id LIMIT 1), '')
FROM talks LEFT JOIN turns ON turns.talk = talks.id {where} GROUP BY talks.id ORDER BY talks.id DESC LIMIT ?
"""
_COLUMNS = "id talk at question answer known confidence model details feedback correction".split()
_SHORTEST = 3  # letters of a part of a word that the index finds


@dataclass(frozen=True)
class LoggedTalk:
    """A talk: ``begun`` in UTC (ISO 8601), ``model`` as it was asked for, ``system`` as it was told first."""

    id: int
    begun: str
    model: str
    system: str
    num_turns: int
    opening: str


@dataclass(frozen=True)
class LoggedTurn:
    """A question and its answer. ``details``: all that was told of the answer (see ``dreaming.answer_to_json``);
    ``feedback``: what somebody said of it, ``correction``: what it should have been."""

    id: int
    talk: int
    at: str
    question: str
    answer: str
    known: bool
    confidence: float
    model: str
    details: dict[str, Any]
    feedback: Feedback | None = None
    correction: str = ""


class TalkLog:
    """Opens the log at ``path``, by default the user's own, and makes it where there is none.

    Any thread may use it. Every method raises TalkLogError where the file cannot be read or written, and UsageError
    for a talk or turn that is not there; what was begun then is undone.
    """

    def __init__(self, path: Path | None = None):
        self.path = talks_file() if path is None else path
        self._lock = threading.Lock()
        with self._explained():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(self.path, timeout=10, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._base.close()
                raise

    def __enter__(self) -> TalkLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._base.close()

    def begin(self, model: str, system: str = "") -> int:
        """The id of a new talk."""
        with self._writing() as base:
            row = base.execute("INSERT INTO talks (begun, model, system) VALUES (?, ?, ?)", (_now(), model, system))
            return row.lastrowid or 0

    def add(self, talk: int, question: str, answer: Answer, details: Mapping[str, Any]) -> int:
        """Keep a turn of ``talk``; its id."""
        self.talk(talk)
        told = json.dumps(jsonable(details), ensure_ascii=False, allow_nan=False)
        kept = (talk, _now(), question, answer.text, answer.known, answer.confidence, answer.model, told)
        columns = "talk, at, question, answer, known, confidence, model, details"
        with self._writing() as base:
            row = base.execute(f"INSERT INTO turns ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", kept)
            return row.lastrowid or 0

    def judge(self, turn: int, feedback: Feedback, correction: str = "") -> LoggedTurn:
        """Keep what somebody said of a turn, and return it; the last word counts."""
        if feedback not in ("good", "wrong"):
            raise UsageError(f"feedback is good or wrong, got {shorten(repr(feedback))}")
        with self._writing() as base:
            changed = base.execute(
                "UPDATE turns SET feedback = ?, correction = ? WHERE id = ?", (feedback, correction, turn)
            )
            _there(changed.rowcount, "turn", turn)
        return self._turns("WHERE id = ?", (turn,))[0]

    def remove_turn(self, turn: int) -> None:
        """Forget one turn; what was said before and after it stays."""
        with self._writing() as base:
            _there(base.execute("DELETE FROM turns WHERE id = ?", (turn,)).rowcount, "turn", turn)

    def remove(self, talk: int) -> None:
        """Forget a talk with all its turns."""
        with self._writing() as base:
            base.execute("DELETE FROM turns WHERE talk = ?", (talk,))
            _there(base.execute("DELETE FROM talks WHERE id = ?", (talk,)).rowcount, "talk", talk)

    def talk(self, talk: int) -> LoggedTalk:
        """One by its id."""
        found = self._talks("WHERE talks.id = ?", (talk, 1))
        _there(len(found), "talk", talk)
        return found[0]

    def talks(self, limit: int = 20) -> list[LoggedTalk]:
        """The newest first."""
        return self._talks("", (limit,))

    def turns(self, talk: int) -> list[LoggedTurn]:
        """All of a talk, the oldest first."""
        self.talk(talk)
        return self._turns("WHERE talk = ? ORDER BY id", (talk,))

    def all_turns(self, judged: bool = False) -> list[LoggedTurn]:
        """Of every talk, the oldest first; ``judged``: only those that somebody said something of."""
        return self._turns("WHERE feedback IS NOT NULL ORDER BY id" if judged else "ORDER BY id", ())

    def search(self, words: str, limit: int = 20) -> list[LoggedTurn]:
        """Turns whose question and answer hold all of ``words``, also as parts of words, in any case; newest first."""
        parts = words.split()
        if not parts:
            raise UsageError("say what to look for")
        indexed = [part.replace('"', '""') for part in parts if len(part) >= _SHORTEST]
        found = "id IN (SELECT rowid FROM said WHERE said MATCH ?)"
        where = [found] * bool(indexed) + ["instr(lower(question || ' ' || answer), lower(?))"] * (
            len(parts) - len(indexed)
        )
        asked = [" AND ".join(f'"{part}"' for part in indexed)] * bool(indexed)
        asked += [part for part in parts if len(part) < _SHORTEST]
        return self._turns(f"WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?", (*asked, limit))

    def _talks(self, where: str, values: tuple[Any, ...]) -> list[LoggedTalk]:
        with self._reading() as base:
            return [LoggedTalk(*row) for row in base.execute(_TALKS.format(where=where), values)]

    def _turns(self, where: str, values: tuple[Any, ...]) -> list[LoggedTurn]:
        with self._reading() as base:
            return [_turn(*row) for row in base.execute(f"SELECT {', '.join(_COLUMNS)} FROM turns {where}", values)]

    def _prepare(self) -> None:
        (version,) = self._base.execute("PRAGMA user_version").fetchone()
        self._base.execute("PRAGMA foreign_keys = ON")
        if version > _VERSION:
            raise TalkLogError(f"the log of talks {self.path} is of a newer Reverie: update this one")
        if version < _VERSION:
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as base:
            base.execute("BEGIN IMMEDIATE")
            try:
                yield base
                base.execute("COMMIT")
            except BaseException:  # Ctrl-C too
                if base.in_transaction:
                    base.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._explained():
            yield self._base

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OverflowError as error:
            raise UsageError("a number of talks or turns is below 2 ** 63") from error
        except (sqlite3.Error, OSError, json.JSONDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise TalkLogError(
                f"the log of talks {self.path}: {shorten(reason or '', 200)}; move it away, or talk with --no-log"
            ) from error


def _turn(*row: Any) -> LoggedTurn:
    fields = dict(zip(_COLUMNS, row, strict=True))
    return LoggedTurn(**fields | {"known": bool(fields["known"]), "details": json.loads(fields["details"])})


def _there(count: int, kind: str, number: int) -> None:
    if not count:
        raise UsageError(f"there is no {kind} {number}; reverie logs lists the talks")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
