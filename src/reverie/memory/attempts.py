"""The gap log: questions that were not known, or whose answer somebody called wrong, in the memory's database."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sqlalchemy import delete, func, insert, select, update

from reverie.memory.database import Database
from reverie.memory.schema import attempts
from reverie.registry import Registry

__all__ = ["DISMISSED", "REDACTORS", "Attempt", "GapLog", "GapLogConfig", "contacts"]

Why = Literal["unknown", "wrong"]
DISMISSED = "dismissed"
_DATE = r"\d{4}-\d\d-\d\d\b"
_CONTACT = re.compile(rf"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|(?<!\w)(?!{_DATE})\+?\d(?:[ ()/.-]?\d){{6,}}(?!\w)")


@dataclass(frozen=True)
class Attempt:
    """A question that was not answered well. ``time``: seconds since 1970; ``answer``: what was attempted; ``signals``:
    what its confidence was made of; ``settled``: "" while it is open, else ``dismissed`` or an expert's name."""

    question: str
    answer: str
    model: str
    why: Why = "unknown"
    confidence: float = 0.0
    signals: Mapping[str, float] = field(default_factory=dict)
    correction: str = ""
    settled: str = ""
    time: float = 0.0
    id: int = 0


@dataclass(frozen=True)
class GapLogConfig:
    """What is kept. ``redactors``: names in ``REDACTORS``, through which every text goes first."""

    most: int = 5000  # attempts; the oldest go first
    most_chars: int = 4000  # of a question or an answer
    redactors: tuple[str, ...] = ()


def contacts(text: str) -> str:
    """``text`` without e-mail addresses and numbers of 7 digits up, such as telephone numbers."""
    return _CONTACT.sub("[…]", text)


REDACTORS: Registry[Callable[[str], str]] = Registry("redactor", {"contacts": contacts}, "reverie.redactors")


class GapLog:
    """Opens the gap log of the memory at ``address`` (see ``Store.open``), and makes that where there is none.

    Every method raises MemoryStoreError where the database refuses; UnknownNameError for a redactor that is none.
    """

    def __init__(self, address: str | Path, config: GapLogConfig | None = None):
        self.config = config or GapLogConfig()
        self._redactors = [REDACTORS.get(name) for name in self.config.redactors]
        self._database = Database(address)

    def __enter__(self) -> GapLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    def add(self, attempt: Attempt) -> int:
        """Keep an attempt, and no more than ``most``; its id."""
        said = {name: self._said(getattr(attempt, name)) for name in ("question", "answer", "correction")}
        when = attempt.time or time.time()
        row = vars(attempt) | said | {"signals": json.dumps(dict(attempt.signals)), "time": when}
        with self._database.writing() as connection:
            last = connection.execute(select(func.max(attempts.c.id))).scalar() or 0
            connection.execute(insert(attempts), row | {"id": last + 1})
            connection.execute(delete(attempts).where(attempts.c.id <= last + 1 - self.config.most))
        return int(last) + 1

    def all(self, model: str = "", settled: bool = False) -> list[Attempt]:
        """The oldest first: of one model, or of all; ``settled``: those that are no longer open, too."""
        asked = select(attempts).order_by(attempts.c.id)
        if model:
            asked = asked.where(attempts.c.model == model)
        if not settled:
            asked = asked.where(attempts.c.settled == "")
        with self._database.reading() as connection:
            rows = connection.execute(asked).mappings().all()
        return [Attempt(**{**row, "signals": json.loads(row["signals"])}) for row in rows]

    def models(self) -> dict[str, int]:
        """Open attempts by model."""
        asked = select(attempts.c.model, func.count()).where(attempts.c.settled == "").group_by(attempts.c.model)
        with self._database.reading() as connection:
            return {model: int(count) for model, count in connection.execute(asked)}

    def settle(self, ids: Sequence[int], how: str) -> None:
        """Close attempts: they were ``dismissed``, or the expert ``how`` was grown for them."""
        with self._database.writing() as connection:
            connection.execute(update(attempts).where(attempts.c.id.in_(ids)).values(settled=how))

    def reopen(self, expert: str) -> int:
        """Open those again for which ``expert`` was grown; how many."""
        with self._database.writing() as connection:
            found = connection.execute(update(attempts).where(attempts.c.settled == expert).values(settled=""))
            return int(found.rowcount)

    def _said(self, text: str) -> str:
        for redact in self._redactors:
            text = redact(text)
        return text.replace("\0", "")[: self.config.most_chars]
