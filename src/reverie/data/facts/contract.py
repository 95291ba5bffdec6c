"""What readers make of files: rows of facts and nodes, in the order of the file.

A reader is a generator function; the registry knows it by the name that ``reverie memory import --format`` takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from reverie.data.facts.dates import check_period

__all__ = ["NODE_KINDS", "BadRow", "FactRow", "NodeRow", "OnBad", "Reader", "Row"]

NODE_KINDS = ("entity", "action", "outcome", "passage", "picture")


@dataclass(frozen=True)
class NodeRow:
    """A node that is more than a name: a passage with its text, a picture with its file, an entity with aliases."""

    name: str
    kind: str = "entity"
    text: str = ""  # the words of a passage, the caption of a picture
    aliases: tuple[str, ...] = ()
    source: str = ""
    title: str = ""  # of a passage: the document that is its source
    position: int | None = None  # and its place there, from 0; None: of no document

    def __post_init__(self) -> None:
        _check_names(self.name, *self.aliases)
        _check_kinds(self.kind)


@dataclass(frozen=True)
class FactRow:
    """(subject, relation, object) in words, and where it comes from. Its nodes are made where they are missing."""

    subject: str
    relation: str
    object: str
    subject_kind: str = "entity"
    object_kind: str = "entity"
    source: str = ""  # who says so: a corpus, a person, the model itself
    confidence: float = 1.0  # in [0, 1]
    time: float | None = None  # seconds since 1970 (UTC); None: the moment of writing
    origin: str = ""  # the dream or document within the source
    valid_from: float | None = None  # seconds since 1970 from which it holds; None: not said
    valid_to: float | None = None  # up to which it does

    def __post_init__(self) -> None:
        _check_names(self.subject, self.relation, self.object)
        _check_kinds(self.subject_kind, self.object_kind)
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"confidence lies between 0 and 1, got {self.confidence}")
        if self.time is not None and not math.isfinite(self.time):
            raise ValueError(f"time is in seconds since 1970, got {self.time}")
        check_period(self.valid_from, self.valid_to)


Row = NodeRow | FactRow


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be read. ``line`` counts from 1; where a file has no lines, it counts its records."""

    line: int
    problem: str


OnBad = Callable[[BadRow], None]


class Reader(Protocol):
    """Yields the rows of ``path``, always in the same order; tells ``on_bad`` of each malformed one and goes on.

    Raises DataError where the file as a whole is not of this format.
    """

    def __call__(self, path: Path, on_bad: OnBad) -> Iterator[Row]: ...


def _check_names(*names: str) -> None:
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ValueError("a name must not be empty")
        if "\0" in name:
            raise ValueError("a name must not hold NUL characters")


def _check_kinds(*kinds: str) -> None:
    for kind in kinds:
        if kind not in NODE_KINDS:
            raise ValueError(f"a node's kind is one of {', '.join(NODE_KINDS)}, got {kind!r}")
