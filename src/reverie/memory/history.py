"""What one relation of a node was, is and will be, in the order of time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import inf

from reverie.memory.store import Store
from reverie.memory.times import Times, settled
from reverie.nouns import Fact

__all__ = ["History", "history_of"]


@dataclass(frozen=True)
class History:
    relation: str  # as the facts have it
    one: bool  # whether it holds one value at a time
    why: str  # see RelationMode
    facts: tuple[Fact, ...]  # as they are said now, the earliest first; ``holds``: now
    before: tuple[Fact, ...]  # what was said of it before, and was changed or deleted since
    others: tuple[str, ...]  # all relations of the node


def history_of(store: Store, times: Times, node: int, relation: str, now: float | None = None) -> History:
    """The history of ``relation``, spelled in any case, from ``node``; without facts where there is none."""
    now = time.time() if now is None else now
    times.refresh(store)
    asked = relation.strip().casefold()
    own = [edge for edge in store.edges_of(node) if edge.subject == node]
    closed = [edge for edge in store.closed_of(node) if edge.relation.casefold() == asked]
    edges = [edge for edge in own if edge.relation.casefold() == asked]
    modes = {mode.name: mode for mode in store.relation_modes()}
    mode = next((modes[edge.relation] for edge in (*edges, *closed)), None)
    numbers = [modes[edge.relation].id for edge in edges]
    standing = times.settle(store, [edge.id for edge in edges], numbers, (now, now))
    facts = settled({fact.id: fact for fact in store.facts([edge.id for edge in edges])}, standing).values()
    names = {one.id: one.name for one in store.nodes([end for e in closed for end in (e.subject, e.object)], gone=True)}
    before = [
        Fact(
            *(names[edge.subject], edge.relation, names[edge.object], edge.source),
            confidence=edge.confidence,
            time=edge.time,
            origin=edge.origin,
            id=edge.id,
            valid_from=edge.valid_from,
            valid_to=edge.valid_to,
            holds=False,
        )
        for edge in closed
    ]
    return History(
        relation=mode.name if mode else relation,
        one=bool(mode and mode.one),
        why=mode.why if mode else "",
        facts=tuple(sorted(facts, key=lambda fact: (-inf if fact.valid_from is None else fact.valid_from, fact.time))),
        before=tuple(before),
        others=tuple(dict.fromkeys(edge.relation for edge in own)),
    )
