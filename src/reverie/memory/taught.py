"""Questions whose answers somebody gave: facts of a memory as any others, found again by the words of the question.

A question is a node; ``ANSWERED`` leads to its answer, ``DENIED`` to what it is not. It has one answer at a time: the
newest that was said holds, older ones stay as history. They are undone as facts are: by deleting them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reverie.data import FactRow, NodeRow, Row
from reverie.memory.spelling import key_of
from reverie.nouns import Fact

if TYPE_CHECKING:
    from reverie.memory.contract import Node
    from reverie.memory.memory import Memory

__all__ = ["ANSWERED", "DENIED", "Taught", "question_key", "taught", "taught_rows", "teach"]

ANSWERED, DENIED = "is answered by", "is not answered by"
_SHORT = re.compile(r"\b(what|who|where|when|why|how|it|that|there)['’]s\b", re.I)
_EMPTY = frozenset(("the", "a", "an", "please"))


@dataclass(frozen=True)
class Taught:
    """What a memory was told of a question: ``answer`` as it stands now, and answers that somebody called ``wrong``."""

    answer: Fact | None = None
    wrong: tuple[Fact, ...] = ()


def question_key(question: str) -> str:
    """What two spellings of one question share: its words in their order, without case, accents and articles."""
    words = key_of(_SHORT.sub(r"\1 is", question)).split()
    return " ".join(word for word in words if word not in _EMPTY) or " ".join(words)


def taught_rows(question: str, answer: str, wrong: str, source: str, confidence: float, origin: str) -> list[Row]:
    """The rows that teach a memory an answer, and what it is not; either may be "". Raises ValueError."""
    key, name = question_key(question), " ".join(question.split())
    if not key:
        raise ValueError("the question has no words")
    rows: list[Row] = [NodeRow(name, aliases=(key,) if key != name else (), source=source)]
    about: dict[str, Any] = {"source": source, "confidence": confidence, "origin": origin}
    for relation, said in ((ANSWERED, answer), (DENIED, wrong)):
        if said:  # with its time, so that what is said again is the newest
            rows.append(FactRow(name, relation, said, time=time.time(), **about))
    return rows


def teach(memory: Memory, rows: Sequence[Row]) -> list[int]:
    """Write ``taught_rows``; the ids of the facts. A question that was spelled otherwise before keeps that name."""
    store = memory.store
    asked = {row.name for row in rows if isinstance(row, NodeRow)}
    names = {name: found[0].name for name in asked if (found := _nodes(memory, name))}
    known = [row for row in rows if not (isinstance(row, NodeRow) and row.name in names)]
    mended = [
        FactRow(**vars(row) | {"subject": names.get(row.subject, row.subject)}) if isinstance(row, FactRow) else row
        for row in known
    ]
    written = store.write(mended)
    if any(isinstance(row, FactRow) and row.relation == ANSWERED for row in rows):
        store.declare_relation(ANSWERED, True)
    return [int(edge) for edge in written.edges]


def taught(memory: Memory, question: str, as_of: tuple[float, float] | float | None = None) -> Taught:
    """What ``memory`` was told of ``question``, spelled as it is here or with other small words."""
    edges = [
        edge
        for node in _nodes(memory, question)
        for edge in memory.store.edges_of(node.id)
        if edge.subject == node.id and edge.relation in (ANSWERED, DENIED)
    ]
    if not edges:
        return Taught()
    facts = memory.times.holding(memory.store, edges, as_of)
    answers = [fact for fact in facts if fact.relation == ANSWERED]
    denied = tuple(fact for fact in facts if fact.relation == DENIED)
    newest = max(answers, key=lambda fact: (fact.time, fact.id), default=None)
    return Taught(newest, tuple(fact for fact in denied if newest is None or fact.object != newest.object))


def _nodes(memory: Memory, question: str) -> list[Node]:
    key = question_key(question)
    return memory.store.find(key) if key else []
