"""What a question recalled, as candidates to be judged: for each, what it says and how it was reached."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from reverie.memory.contract import Node, Place
from reverie.memory.judging import Candidate
from reverie.memory.linking import bare_name
from reverie.memory.relation_patterns import MENTIONS, relation_words
from reverie.memory.terms import terms
from reverie.nouns import Fact

if TYPE_CHECKING:
    from reverie.memory.propagation import Propagation
    from reverie.memory.store import Store

__all__ = ["candidates_of"]


def candidates_of(
    spread: Propagation,
    said: Collection[str],
    facts: Mapping[int, Fact],
    nodes: Sequence[tuple[Node, float]],
    places: Mapping[int, Place],
    documents: Mapping[int, int],
    likeness: Mapping[int, float],
    store: Store,
) -> list[tuple[Fact | Node, Candidate]]:
    """``facts`` by their place in ``spread``, but for those that say which passage names what, and ``nodes`` with a
    text; ``said``: the terms of the question; ``likeness`` of nodes to it."""
    told = {place: fact for place, fact in facts.items() if fact.relation != MENTIONS}
    texts = [(node, score) for node, score in nodes if node.text]
    ways = {place: _way(spread, spread.near_end(place)) for place in told}
    starts = {node.id: _way(spread, node.id) for node, _ in texts}
    names = _names(store, said, [start for start, _ in (*ways.values(), *starts.values())])
    found: list[tuple[Fact | Node, Candidate]] = [
        (fact, _of_fact(spread, place, fact, ways[place], names)) for place, fact in told.items()
    ]
    for node, score in texts:
        start, steps = starts[node.id]
        title = places[node.id].title if node.id in places else ""
        name = _called(title or node.name, said) if start == node.id else names.get(start, "")
        found.append(
            (
                node,
                Candidate(
                    "passage", f"{title} {node.name} {node.text}", node.text, node.name, name, score, 0.0, steps,
                    likeness.get(node.id, 0.0), documents.get(node.id, 0),
                ),
            )
        )  # fmt: skip
    return found


def _of_fact(spread: Propagation, place: int, fact: Fact, way: tuple[int, int], names: Mapping[int, str]) -> Candidate:
    onward = spread.is_onward(place)
    near, far = (fact.subject, fact.object) if onward else (fact.object, fact.subject)
    start, steps = way
    words = f"{fact.subject} {relation_words(fact.relation)} {fact.object}"
    return Candidate("fact", words, far, near, names.get(start, ""), fact.score, spread.how_asked(place), steps)


def _way(spread: Propagation, node: int) -> tuple[int, int]:
    """The linked node from which ``node`` was reached (0: from none), over how many edges."""
    if node in spread.links:
        return node, 0
    steps = 0
    for place in reversed(spread.path(node)):
        ends = int(spread.subjects[place]), int(spread.objects[place])
        node = ends[1] if ends[0] == node else ends[0]
        steps += 1
        if node in spread.links:
            return node, steps
    return 0, steps


def _names(store: Store, said: Collection[str], nodes: Iterable[int]) -> dict[int, str]:
    return {node.id: _called(node.name, said) for node in store.nodes(sorted({node for node in nodes if node}))}


def _called(name: str, said: Collection[str]) -> str:
    """A name without what stands in parentheses, unless the question says that, too."""
    return name if all(term in said for term in terms(name)) else bare_name(name)
