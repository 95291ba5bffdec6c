"""The notebook of a learner: every lesson once, what became of it, and how much it surprised; one SQLite file.

It is what a kill loses nothing of: a lesson is written down before anything is made of it. What was learned stays as
the replay buffer: bounded, the most surprising lessons longest.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reverie.errors import DataError, shorten
from reverie.learning.items import Item

__all__ = ["Lesson", "Notebook", "State"]

#: ``waiting`` for a step of the weights; ``learned``; ``refused`` by the guard; ``replaced`` by a newer lesson about
#: the same; ``held`` back from the weights, to judge them by; ``told`` to memory alone; ``forgotten`` by the replay
#: buffer; ``undone``
State = Literal["waiting", "learned", "refused", "replaced", "held", "told", "forgotten", "undone"]
_GONE = "('replaced', 'forgotten', 'undone')"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS lessons (
    id INTEGER PRIMARY KEY AUTOINCREMENT, digest TEXT NOT NULL UNIQUE, key TEXT NOT NULL, skill TEXT NOT NULL,
    kind TEXT NOT NULL, question TEXT NOT NULL, answer TEXT NOT NULL, wrong TEXT NOT NULL, triplet TEXT,
    source TEXT NOT NULL, place TEXT NOT NULL, confidence REAL NOT NULL, state TEXT NOT NULL,
    why TEXT NOT NULL DEFAULT '', remembered TEXT, call INTEGER NOT NULL, step INTEGER,
    surprise REAL NOT NULL DEFAULT 1.0
);
CREATE INDEX IF NOT EXISTS by_key ON lessons (key, id);
CREATE INDEX IF NOT EXISTS by_state ON lessons (skill, state, id);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
_ITEM = "kind question answer wrong triplet source place skill confidence".split()


@dataclass(frozen=True)
class Lesson:
    """A lesson in the notebook. ``remembered``: the facts in memory that say it, None before memory was told."""

    id: int
    item: Item
    state: State
    why: str
    remembered: tuple[int, ...] | None
    call: int
    step: int | None
    surprise: float


class Notebook:
    """Opens the notebook at ``path``, and makes it where there is none. Raises DataError where it cannot be used."""

    def __init__(self, path: Path):
        self.path = path
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(path, timeout=10, isolation_level=None)
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = FULL")
            self._base.executescript(_SCHEMA)

    def close(self) -> None:
        self._base.close()

    def add(self, item: Item, call: int) -> tuple[int, bool, list[Lesson]]:
        """Write a lesson down: its id, whether it is new, and the older ones that it contradicts, which it replaces."""
        with self._writing() as base:
            asked = "SELECT id, state, place FROM lessons WHERE digest = ?"
            if found := base.execute(asked, (item.digest,)).fetchone():
                number, was, place = found
                if not (was == "undone" or (was == "replaced" and place != item.place)):
                    return int(number), False, []
                base.execute("DELETE FROM lessons WHERE id = ?", (number,))  # it is said again: it is the newest now
            against = self._replaced(base, item)
            triplet = json.dumps(item.triplet) if item.triplet else None
            state: State = "waiting" if item.trains else "told"
            row = (item.digest, item.key, item.skill, item.kind, item.question, item.answer, item.wrong, triplet)
            done = base.execute(
                "INSERT INTO lessons (digest, key, skill, kind, question, answer, wrong, triplet, source, place, "
                f"confidence, state, call) VALUES ({', '.join('?' * 13)})",
                (*row, item.source, item.place, item.confidence, state, call),
            )
            return int(done.lastrowid or 0), True, against

    def _replaced(self, base: sqlite3.Connection, item: Item) -> list[Lesson]:
        """The older lessons that say something else of the same, which count no longer."""
        if not item.answer:
            return []
        others = [
            one
            for one in self._lessons(f"WHERE key = ? AND answer != '' AND state NOT IN {_GONE}", item.key)
            if " ".join(one.item.answer.split()).casefold() != " ".join(item.answer.split()).casefold()
        ]
        why = _otherwise(item.place)
        base.executemany(
            "UPDATE lessons SET state = 'replaced', why = ? WHERE id = ?", [(why, one.id) for one in others]
        )
        return others

    def untold(self) -> list[Lesson]:
        """Lessons that memory was not told of yet, the oldest first."""
        with self._explained():
            return self._lessons(f"WHERE remembered IS NULL AND state NOT IN {_GONE} ORDER BY id")

    def remembered(self, lesson: int, facts: Sequence[int]) -> None:
        with self._writing() as base:
            base.execute("UPDATE lessons SET remembered = ? WHERE id = ?", (json.dumps([*facts]), lesson))

    def skills(self) -> list[str]:
        """The skills that lessons wait for."""
        with self._explained():
            rows = self._base.execute("SELECT DISTINCT skill FROM lessons WHERE state = 'waiting' ORDER BY skill")
            return [str(row[0]) for row in rows]

    def some(self, skill: str, state: State, limit: int = -1) -> list[Lesson]:
        """Lessons of a skill in that state, the oldest first."""
        with self._explained():
            return self._lessons("WHERE skill = ? AND state = ? ORDER BY id LIMIT ?", skill, state, limit)

    def of_call(self, call: int) -> list[Lesson]:
        with self._explained():
            return self._lessons("WHERE call = ? ORDER BY id", call)

    def get(self, ids: Sequence[int]) -> list[Lesson]:
        with self._explained():
            return [one for each in ids for one in self._lessons("WHERE id = ?", each)]

    def settle(self, ids: Sequence[int], state: State, step: int | None = None, why: str = "") -> None:
        """What became of lessons; those that were replaced meanwhile stay so."""
        with self._writing() as base:
            base.executemany(
                "UPDATE lessons SET state = ?, step = ?, why = ? WHERE id = ? AND state != 'replaced'",
                [(state, step, why, one) for one in ids],
            )

    def undo(self, ids: Sequence[int]) -> None:
        """These lessons count no longer, and what they replaced counts again."""
        with self._writing() as base:
            for one in ids:
                (place,) = base.execute("SELECT place FROM lessons WHERE id = ?", (one,)).fetchone()
                base.execute("UPDATE lessons SET state = 'undone', remembered = NULL WHERE id = ?", (one,))
                base.execute(
                    "UPDATE lessons SET why = '', state = CASE WHEN step IS NULL THEN 'waiting' ELSE 'learned' END "
                    "WHERE state = 'replaced' AND why = ?",
                    (_otherwise(place),),
                )

    def surprised(self, surprises: dict[int, float]) -> None:
        """How many nats an id lessons cost now: what their replay is drawn by."""
        with self._writing() as base:
            changed = [(nats, one) for one, nats in surprises.items()]
            base.executemany("UPDATE lessons SET surprise = ? WHERE id = ?", changed)

    def bound(self, skill: str, most: int) -> int:
        """Keep at most so many learned lessons of a skill for replay: the least surprising go, of these the oldest. How
        many went."""
        with self._writing() as base:
            done = base.execute(
                "UPDATE lessons SET state = 'forgotten', why = 'the replay buffer is full' WHERE id IN "
                "(SELECT id FROM lessons WHERE skill = ? AND state = 'learned' ORDER BY surprise DESC, id DESC "
                "LIMIT -1 OFFSET ?)",
                (skill, most),
            )
            return done.rowcount

    def count(self) -> dict[str, int]:
        """How many lessons are in each state."""
        with self._explained():
            rows = self._base.execute("SELECT state, count(*) FROM lessons GROUP BY state ORDER BY state")
            return dict(rows.fetchall())

    def counter(self, name: str) -> int:
        with self._explained():
            found = self._base.execute("SELECT value FROM counters WHERE name = ?", (name,)).fetchone()
            return int(found[0]) if found else 0

    def count_up(self, name: str, value: int) -> None:
        with self._writing() as base:
            base.execute("INSERT OR REPLACE INTO counters (name, value) VALUES (?, ?)", (name, value))

    def _lessons(self, where: str, *values: object) -> list[Lesson]:
        asked = f"SELECT id, state, why, remembered, call, step, surprise, {', '.join(_ITEM)} FROM lessons {where}"
        return [_lesson(*row) for row in self._base.execute(asked, values)]

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._explained():
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield self._base
                self._base.execute("COMMIT")
            except BaseException:  # Ctrl-C too
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise DataError(f"the notebook of lessons {self.path}: {shorten(reason or '', 200)}") from error


def _otherwise(place: str) -> str:
    return f"{place} says otherwise"


def _lesson(id: int, state: State, why: str, remembered: str | None, call: int, step: int | None, surprise: float,
            *about: object) -> Lesson:  # fmt: skip
    fields = dict(zip(_ITEM, about, strict=True))
    triplet = json.loads(str(fields["triplet"])) if fields["triplet"] else None
    item = Item(**fields | {"triplet": tuple(triplet) if triplet else None})  # type: ignore[arg-type]
    told = None if remembered is None else tuple(json.loads(remembered))
    return Lesson(id, item, state, why, told, call, step, surprise)
