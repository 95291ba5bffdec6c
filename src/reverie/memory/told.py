"""Nodes and facts in JSON's own types, as the command line and the server tell them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reverie.memory.contract import Edge, Node, Recalled
    from reverie.memory.store import Store

__all__ = ["fields_of", "node_fields", "recalled_fields"]


def fields_of(value: Any) -> dict[str, Any]:
    return dict(vars(value))


def recalled_fields(found: Recalled) -> dict[str, Any]:
    from reverie.nouns import Fact

    return {
        "question": found.question,
        "facts": [fields_of(fact) for fact in found.facts],
        "chains": [
            {"score": chain.score, "facts": [fields_of(fact) for fact in chain.facts]} for chain in found.chains
        ],
        "nodes": [
            fields_of(node) | {"score": score} | (fields_of(found.places[node.id]) if node.id in found.places else {})
            for node, score in found.nodes
        ],
        "told": [
            {"fact" if isinstance(one, Fact) else "node": one.id, "probability": probability}
            for one, probability in found.told
        ],
        "answered": found.answered,
        "seconds": found.seconds,
        "details": found.details,
    }


def node_fields(store: Store, node: Node, moment: float | None, limit: int) -> dict[str, Any]:
    edges = store.edges_of(node.id, moment)
    shown = edges[:limit]
    before = [old for edge in shown for old in store.history(edge.id) if old.until is not None]
    ends = {end for edge in (*shown, *before) for end in (edge.subject, edge.object)}
    names = {one.id: one.name for one in store.nodes(sorted(ends), gone=True)}

    def told(edge: Edge) -> dict[str, Any]:
        return fields_of(edge) | {"subject": names[edge.subject], "object": names[edge.object]}

    return fields_of(node) | {
        "num_facts": len(edges),
        "out": [told(edge) for edge in shown if edge.subject == node.id],
        "in": [told(edge) for edge in shown if edge.subject != node.id],
        "history": [told(old) for old in before],
    }
