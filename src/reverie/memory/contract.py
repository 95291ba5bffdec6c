"""What the rooms of the memory hand to one another.

The **store** (SQL) is the truth; **topology** (who is joined to whom) and **vectors** (what is like what) are made from
it and can be thrown away. Both follow the store through its change number ``seq``, which grows with every write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from reverie.nouns import Fact

__all__ = ["Chain", "Changes", "Edge", "EdgeArrays", "Embedder", "Node", "Place", "Recalled", "Written"]


@dataclass(frozen=True)
class Node:
    id: int  # > 0
    kind: str  # one of data.NODE_KINDS
    name: str
    text: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where a node's text comes from: ``source`` says it; of a passage, the document's title and its place there."""

    source: str
    title: str = ""
    position: int | None = None  # from 0


@dataclass(frozen=True)
class Edge:
    """One version of one edge. ``until`` is None while it holds; a later version or a deletion closes it."""

    id: int  # > 0; the same for all versions of (subject, relation, object, source)
    subject: int
    relation: str
    object: int
    source: str
    origin: str
    confidence: float
    time: float  # when the fact was said, seconds since 1970
    since: float  # when this version was written
    until: float | None = None
    valid_from: float | None = None  # when it began to hold, seconds since 1970; None: nobody said
    valid_to: float | None = None  # when it ceased to


@dataclass(frozen=True)
class EdgeArrays:
    """Living edges as columns of equal length, ascending by id, as they stood at change ``seq``."""

    ids: np.ndarray  # int64 (E,)
    subjects: np.ndarray  # int64 (E,): node ids
    objects: np.ndarray  # int64 (E,)
    relations: np.ndarray  # int32 (E,): numbers of relations, as Store.relations() names them
    confidences: np.ndarray  # float32 (E,) in [0, 1]
    seq: int


@dataclass(frozen=True)
class Changes:
    """What happened after a change number: an edge that was changed is in ``removed`` and in ``added``."""

    added: EdgeArrays
    removed: np.ndarray  # int64: edge ids
    nodes: np.ndarray  # int64: ids of nodes that are new or have new words
    gone: np.ndarray  # int64: ids of nodes that are deleted or merged away
    seq: int


@dataclass(frozen=True)
class Written:
    """What one durable write did."""

    edges: np.ndarray  # int64: the edge id of each FactRow, in order
    nodes: np.ndarray  # int64: the node id of each NodeRow, in order
    new_edges: int
    changed_edges: int
    new_nodes: int
    seq: int


class Embedder(Protocol):
    """Turns words into unit vectors. ``name`` says which, so that an index of another is not mistaken for its own."""

    name: str
    size: int

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """float32 (len(texts), size), rows of length 1."""
        ...


@dataclass(frozen=True)
class Chain:
    """A reasoning chain: facts, each of which shares a node with the next. ``score`` in [0, 1]."""

    facts: tuple[Fact, ...]
    score: float


@dataclass(frozen=True)
class Recalled:
    """What the memory has to say about a question, best first."""

    question: str
    facts: tuple[Fact, ...] = ()
    chains: tuple[Chain, ...] = ()
    nodes: tuple[tuple[Node, float], ...] = ()  # with scores in [0, 1]; passages among them
    seconds: float = 0.0
    details: dict[str, float] = field(default_factory=dict)  # seconds of each part
    places: dict[int, Place] = field(default_factory=dict)  # node → where it comes from, of nodes with a text

    told: tuple[tuple[Fact | Node, float], ...] = ()  # with the probabilities that they hold the answer
    answered: bool = True  # whether one of them is probable enough

    def holding(self) -> Recalled:
        """The same without facts, and chains of facts, that do not hold at the moment that was asked about."""
        return replace(
            self,
            facts=tuple(fact for fact in self.facts if fact.holds),
            chains=tuple(chain for chain in self.chains if all(fact.holds for fact in chain.facts)),
            told=tuple((one, sure) for one, sure in self.told if not isinstance(one, Fact) or one.holds),
        )

    @property
    def ranked(self) -> list[Fact | tuple[Node, float]]:
        """Facts and nodes that have a text (with their probabilities) in one list, best first, without the facts that
        only say which passage names what; none where nothing is probable enough to hold the answer."""
        told = self.told if self.answered else ()
        return [one if isinstance(one, Fact) else (one, sure) for one, sure in told]
