"""A merge that is undone: all is as it was, but for what was written since."""

from __future__ import annotations

from typing import Any

import pytest

from reverie.data import FactRow, NodeRow
from reverie.errors import UsageError
from reverie.memory.store import Store

ROWS = [
    FactRow("NYC", "PartOf", "USA", confidence=0.5),
    FactRow("New York City", "PartOf", "USA", confidence=0.9),  # joined with the first
    FactRow("New York City", "Near", "NYC"),  # ends: it would lead to itself
    FactRow("bridge", "In", "New York City", valid_from=1e9),
    NodeRow("New York City", aliases=("Big Apple",), text="a city"),
    NodeRow("NYC", aliases=("Gotham",)),
]


def told(store: Store) -> dict[str, Any]:
    """Everything that a reader can see, but for when it was written."""
    edges = store.edges(store.edge_arrays().ids.tolist())
    names = ("nyc", "new york city", "big apple", "gotham", "usa")
    return {
        "edges": [{**vars(edge), "since": 0} for edge in edges],
        "nodes": [node for batch in store.node_batches() for node in batch],
        "names": {name: [node.id for node in store.find(name)] for name in names},
    }


def test_everything_is_as_it_was(store: Store) -> None:
    store.write(ROWS)
    before = told(store)
    into, other = store.find("nyc")[0].id, store.find("new york city")[0].id
    store.merge(into, [other])
    assert told(store) != before
    done = store.undo_merge()
    assert (done.into, done.nodes, done.edges, done.kept, done.renamed) == (into, (other,), 4, 0, False)
    assert told(store) == before
    changes = store.changes(0)
    assert sorted(changes.added.ids.tolist()) == [1, 2, 3, 4]
    assert other in changes.nodes.tolist()
    with pytest.raises(UsageError, match="no merge can be undone"):
        store.undo_merge()
    store.merge(into, [other])  # again, as if nothing had been
    assert store.undo_merge().edges == 4
    assert told(store) == before


def test_merges_are_undone_last_first(store: Store) -> None:
    store.write([FactRow("a", "is", "x"), FactRow("b", "is", "y"), FactRow("c", "is", "z")])
    a, b, c = (store.find(name)[0].id for name in "abc")
    first = told(store)
    store.merge(b, [c])
    second = told(store)
    store.merge(a, [b])
    store.undo_merge()
    assert told(store) == second
    store.undo_merge()
    assert told(store) == first


def test_what_was_written_since_stays_and_is_told(store: Store) -> None:
    store.write(ROWS)
    into, other = store.find("nyc")[0].id, store.find("new york city")[0].id
    store.merge(into, [other])
    store.write([FactRow("NYC", "Has", "subway"), FactRow("bridge", "In", "NYC", confidence=0.2, valid_from=1e9)])
    store.write([NodeRow("NYC", aliases=("The Five Boroughs",))])
    done = store.undo_merge()
    assert (done.edges, done.kept, done.renamed) == (3, 2, True)
    assert [node.name for node in store.find("the five boroughs")] == ["NYC"]
    assert store.find("NYC")[0].aliases == ("Gotham", "The Five Boroughs")
    assert [node.name for node in store.find("big apple")] == ["New York City"]
    assert {edge.relation for edge in store.edges_of(into)} == {"PartOf", "Near", "In", "Has"}


def test_a_merge_whose_node_is_gone_is_not_undone(store: Store) -> None:
    store.write(ROWS)
    into, other = store.find("nyc")[0].id, store.find("new york city")[0].id
    store.merge(into, [other])
    store.delete_node(into)
    with pytest.raises(UsageError, match="the merge into 'NYC' cannot be undone: it is gone since"):
        store.undo_merge()
