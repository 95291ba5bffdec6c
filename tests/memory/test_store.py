"""The store, on SQLite and PostgreSQL alike: upserts, history, merges, changes, and what it refuses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from reverie.data import FactRow, NodeRow, Row
from reverie.errors import DataError, MemoryStoreError, UsageError
from reverie.memory.contract import EdgeArrays
from reverie.memory.store import Store, fold


def fact(subject: str, object_: str, confidence: float = 1.0, **more: Any) -> FactRow:
    return FactRow(subject, more.pop("relation", "is"), object_, confidence=confidence, **more)


def living(store: Store) -> dict[int, tuple[str, str, str]]:
    return {one.id: (one.subject, one.relation, one.object) for one in store.facts(store.edge_arrays().ids)}


def test_a_written_fact_can_be_read_in_every_way(store: Store) -> None:
    said = FactRow("Egg", "is a", "food", source="book", confidence=0.75, time=12.5, origin="page 3")
    written = store.write([said, NodeRow("Egg", text="An egg.", aliases=("hen's egg",))])
    assert (written.new_edges, written.changed_edges, written.new_nodes, written.seq) == (1, 0, 2, 1)
    egg = store.node(int(written.nodes[0]))
    assert egg is not None
    assert (egg.name, egg.kind, egg.text, egg.aliases) == ("Egg", "entity", "An egg.", ("hen's egg",))
    (edge,) = store.edges_of(egg.id)
    assert edge == store.edge(int(written.edges[0]))
    assert (edge.subject, edge.relation, edge.source, edge.origin) == (egg.id, "is a", "book", "page 3")
    assert (edge.confidence, edge.time, edge.until) == (0.75, 12.5, None)
    (told,) = store.facts([edge.id, 99])
    assert (told.subject, told.relation, told.object, told.source) == ("Egg", "is a", "food", "book")
    assert (told.confidence, told.time, told.origin, told.id) == (0.75, 12.5, "page 3", edge.id)
    assert store.relations() == ["is a"]
    arrays = store.edge_arrays()
    assert [arrays.ids.tolist(), arrays.subjects.tolist(), arrays.objects.tolist()] == [
        [edge.id],
        [egg.id],
        [edge.object],
    ]
    assert arrays.relations.tolist() == [0]
    assert arrays.confidences.dtype == np.float32
    assert arrays.confidences.tolist() == [0.75]
    assert arrays.seq == store.seq() == 1


def test_an_empty_memory_is_sound_and_empty(store: Store) -> None:
    assert store.seq() == 0
    assert store.edge_arrays().ids.tolist() == []
    assert list(store.node_batches()) == list(store.names()) == []
    assert store.changes(0).seq == 0
    assert store.find("nobody") == store.edges_of(7) == store.history(7) == []
    assert store.node(1) is None
    assert store.edge(1) is None
    assert store.stats()["edges"] == 0


def test_an_equal_row_changes_nothing(store: Store) -> None:
    rows: list[Row] = [fact("a", "b", 0.5, time=3.0), NodeRow("a", text="words", aliases=("A one",))]
    first = store.write(rows)
    again = store.write([*rows, fact("a", "b", 0.5)])  # no time given: the one that stands
    assert (again.new_edges, again.changed_edges, again.new_nodes, again.seq) == (0, 0, 0, first.seq)
    assert again.edges.tolist() == [*first.edges, *first.edges]


def test_a_changed_row_is_a_new_version_of_the_same_edge(store: Store) -> None:
    first = store.write([fact("a", "b", 0.5, time=3.0)])
    second = store.write([fact("A ", "b", 0.9, origin="later")])
    assert second.edges.tolist() == first.edges.tolist()
    assert (second.new_edges, second.changed_edges) == (0, 1)
    old, new = store.history(int(first.edges[0]))
    assert (old.confidence, old.time, old.origin, new.confidence, new.origin) == (0.5, 3.0, "", 0.9, "later")
    assert old.until == new.since > old.since
    assert new.time == new.since
    assert new.until is None


def test_sources_keep_their_own_edges(store: Store) -> None:
    written = store.write([fact("a", "b", source="x"), fact("a", "b", source="y")])
    assert len(set(written.edges.tolist())) == 2
    assert store.stats()["edges_by_source"] == {"x": 1, "y": 1}


def test_the_last_of_several_rows_with_one_key_holds(store: Store) -> None:
    written = store.write([fact("a", "b", 0.1), fact("a", "b", 0.2)])
    assert written.edges[0] == written.edges[1]
    assert written.new_edges == 1
    edge = store.edge(int(written.edges[0]))
    assert edge is not None
    assert edge.confidence == 0.2


def test_names_are_found_in_any_spelling_and_by_alias(store: Store) -> None:
    store.write([NodeRow("New  York", aliases=("NYC", "Big Apple")), NodeRow("New York", kind="passage", text="…")])
    assert [node.kind for node in store.find("ＮＥＷ york")] == ["entity", "passage"]
    assert [node.name for node in store.find("nyc")] == ["New  York"]
    assert store.find("new york", "passage")[0].text == "…"
    assert store.find("york") == []
    store.write([fact("nyc", "city")])  # the node of that alias
    assert {one[0] for one in living(store).values()} == {"New  York"}


def test_an_alias_in_the_same_batch_means_its_node(store: Store) -> None:
    written = store.write([fact("nyc", "city"), NodeRow("New York", aliases=("NYC",))])
    assert written.new_nodes == 2
    assert [one.subject for one in store.facts(written.edges)] == ["New York"]


def test_an_alias_of_two_nodes_means_neither(store: Store) -> None:
    store.write([NodeRow("dog (animal)", aliases=("dog",)), NodeRow("dog (sausage)", aliases=("dog",))])
    written = store.write([fact("dog", "pet")])
    assert written.new_nodes == 2
    assert [node.name for node in store.find("DOG")] == ["dog", "dog (animal)", "dog (sausage)"]


def test_node_rows_add_aliases_and_replace_texts(store: Store) -> None:
    store.write([fact("a", "b")])
    first = store.write([NodeRow("a", text="one", aliases=("x",), source="s")])
    store.write([NodeRow("A", text="two", aliases=("X", "y"))])
    store.write([NodeRow("a", aliases=())])  # no text: the old one stays
    (node,) = store.nodes(first.nodes.tolist())
    assert (node.name, node.text, node.aliases) == ("a", "two", ("x", "y"))
    store.write([NodeRow("b", text="said", source="book")])
    assert sorted(name for batch in store.names() for _, name, _ in batch) == ["a", "b", "x", "y"]
    assert list(store.names(after_seq=store.seq())) == []
    assert {number for batch in store.names(after_seq=first.seq) for number, _, _ in batch} == {1, 2}


def test_a_cursor_goes_with_its_write(store: Store) -> None:
    assert store.cursor("import") == 0
    store.write([fact("a", "b")], cursor=("import", 1))
    store.write([fact("a", "b")], cursor=("import", 2))  # nothing new, and still counted
    with pytest.raises(DataError):
        store.write([fact("a", "c"), fact("a", "\ud800")], cursor=("import", 3))
    assert store.cursor("import") == 2
    assert store.seq() == 1


def test_a_deleted_edge_is_history_and_comes_back_under_its_number(store: Store) -> None:
    edge = int(store.write([fact("a", "b"), fact("a", "c")]).edges[0])
    assert store.delete_edges([edge, edge, 99]) == 1
    assert store.edge(edge) is None
    assert store.facts([edge]) == []
    (closed,) = store.history(edge)
    assert closed.until is not None
    before = store.seq()
    again = store.write([fact("a", "b", 0.25)])
    assert again.edges.tolist() == [edge]
    assert [version.confidence for version in store.history(edge)] == [1.0, 0.25]
    assert store.changes(before).added.ids.tolist() == [edge]
    assert store.delete_edges([]) == 0


def test_a_deleted_node_takes_its_edges_and_its_name(store: Store) -> None:
    written = store.write([fact("a", "b"), fact("c", "a"), fact("b", "c")])
    (node,) = store.find("a")
    assert store.delete_node(node.id) == 2
    assert store.node(node.id) is None
    assert store.find("a") == []
    assert store.nodes([node.id], gone=True)[0].name == "a"  # for whoever reads history
    assert list(living(store)) == [int(written.edges[2])]
    assert store.find("a") == []
    fresh = store.write([fact("a", "b")])
    assert fresh.new_nodes == 1
    assert fresh.edges[0] not in written.edges
    with pytest.raises(MemoryStoreError, match=f"has no node {node.id}"):
        store.delete_node(node.id)


def test_as_of_shows_what_stood_then(store: Store) -> None:
    first = store.write([fact("a", "b", 0.5), fact("a", "c")])
    one, two = (int(edge) for edge in first.edges)
    start = store.edges([one])[0].since
    store.write([fact("a", "b", 0.9)])
    store.delete_edges([two])
    store.write([fact("b", "c")])
    then = store.edge_arrays(as_of=start)
    assert (then.ids.tolist(), then.confidences.tolist(), then.seq) == ([one, two], [0.5, 1.0], first.seq)
    assert store.edge_arrays(as_of=start - 1).ids.tolist() == []
    assert store.edge_arrays(as_of=time.time() + 10).ids.tolist() == store.edge_arrays().ids.tolist()
    (a,) = store.find("a")
    assert [(edge.id, edge.confidence) for edge in store.edges_of(a.id, as_of=start)] == [(one, 0.5), (two, 1.0)]
    assert [edge.id for edge in store.edges_of(a.id)] == [one]


def test_merge_moves_edges_joins_equal_ones_and_drops_loops(store: Store) -> None:
    written = store.write(
        [
            fact("Bob", "man", 0.5),
            fact("Robert", "man", 0.9, origin="letter"),  # meets the first
            fact("Robert", "London", relation="lives in"),  # moves
            fact("Bob", "Robert", relation="same as"),  # would become a loop
            fact("Robert", "Robert", relation="knows"),  # was one before
            fact("Ann", "Rob", relation="knows"),
            NodeRow("Robert", text="A name.", aliases=("Bobby",)),
        ]
    )
    bob, robert, rob = (store.find(name)[0].id for name in ("Bob", "Robert", "Rob"))
    before = store.seq()
    assert store.merge(bob, [robert, rob, bob]) == 3
    (merged,) = store.find("bobby")
    assert (merged.id, merged.name, merged.text) == (bob, "Bob", "A name.")
    assert merged.aliases == ("Robert", "Bobby", "Rob")
    assert sorted(living(store).values()) == [
        ("Ann", "knows", "Bob"),
        ("Bob", "is", "man"),
        ("Bob", "knows", "Bob"),
        ("Bob", "lives in", "London"),
    ]
    kept = store.edge(int(written.edges[0]))
    assert kept is not None
    assert (kept.confidence, kept.origin) == (0.9, "letter")
    assert [version.subject for version in store.history(int(written.edges[2]))] == [robert, bob]
    changes = store.changes(before)
    assert changes.gone.tolist() == [robert, rob]
    assert changes.nodes.tolist() == [bob]
    later = store.write([fact("robert", "baker"), NodeRow("ROB", text="New words.")])
    assert later.nodes.tolist() == [bob]
    assert later.new_nodes == 1
    assert [one.subject for one in store.facts(later.edges)] == ["Bob"]
    with pytest.raises(MemoryStoreError, match=f"no node {robert}"):
        store.merge(bob, [robert])
    assert store.merge(bob, [bob]) == 0


def test_merge_of_nodes_that_meet_in_each_other(store: Store) -> None:
    """Two others whose moved edges have the same key: one edge is left, the higher confidence with it."""
    store.write([fact("x", "z", 0.2), fact("y", "z", 0.7), fact("z", "x"), fact("z", "y", 0.3), fact("into", "w")])
    ids = {name: store.find(name)[0].id for name in "xyz"}
    (into,) = store.find("into")
    store.merge(into.id, [ids["x"], ids["y"]])
    found = {store.facts([edge.id])[0].object: edge.confidence for edge in store.edges_of(ids["z"])}
    assert sorted(living(store).values()) == [("into", "is", "w"), ("into", "is", "z"), ("z", "is", "into")]
    assert found == {"z": 0.7, "into": 1.0}


def test_a_key_that_two_edges_had_returns_as_the_last_of_them(store: Store) -> None:
    first = int(store.write([fact("into", "z")]).edges[0])
    store.delete_edges([first])
    second = int(store.write([fact("other", "z")]).edges[0])
    store.merge(store.find("into")[0].id, [store.find("other")[0].id])
    assert living(store) == {second: ("into", "is", "z")}
    before = store.seq()
    assert store.write([fact("into", "z", 0.5)]).edges.tolist() == [second]
    assert store.changes(before).removed.tolist() == [second]
    store.delete_edges([second])
    assert store.write([fact("into", "z")]).edges.tolist() == [second]


def test_changes_tell_a_follower_everything(store: Store) -> None:
    first = store.write([fact("a", "b"), fact("b", "c")])
    store.write([fact("a", "b", 0.5)])
    third = store.write([fact("c", "d"), NodeRow("a", text="new words")])
    changes = store.changes(first.seq)
    assert changes.added.ids.tolist() == sorted([int(first.edges[0]), int(third.edges[0])])
    assert changes.removed.tolist() == [int(first.edges[0])]
    assert changes.seq == third.seq
    assert {node.name for node in store.nodes(changes.nodes.tolist())} == {"a", "d"}
    assert changes.gone.tolist() == []
    with pytest.raises(MemoryStoreError, match="has changes 0 to 3, asked for those after 4"):
        store.changes(4)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (FactRow("a", "r" * 501, "b"), "row 2: 501 characters are too many"),
        (FactRow("a", "r", "\udc80"), "row 2 holds half a character"),
        (NodeRow("a", text="x\0y"), "row 2 holds a NUL character"),
        ("a is b", "row 2 is no FactRow and no NodeRow"),
    ],
)
def test_a_row_that_no_database_takes_stops_the_whole_write(store: Store, row: Any, problem: str) -> None:
    with pytest.raises(DataError, match=problem) as raised:
        store.write([fact("good", "row"), row])
    assert "\n" not in str(raised.value)
    assert store.seq() == 0


def test_very_long_names_are_kept_whole(store: Store) -> None:
    long = "é" * 5000
    store.write([fact(long, long + "x")])
    assert [node.name for node in store.find(long.upper())] == [long]


def test_threads_write_and_read_beside_one_another(store: Store) -> None:
    def work(number: int) -> None:
        for step in range(5):
            done = store.write([fact(f"t{number}", f"s{step}"), fact("all", f"s{step}")])
            assert len(store.facts(done.edges)) == 2
            store.changes(max(0, done.seq - 2))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(store.edge_arrays().ids) == 4 * 5 + 5


def test_two_stores_on_one_memory_see_each_other(store: Store, address: str) -> None:
    with Store.open(address, create=False) as other:
        ours = store.write([fact("a", "b")])
        theirs = other.write([fact("a", "b"), fact("a", "c")])
        assert theirs.edges[0] == ours.edges[0]
        assert theirs.new_nodes == 1
        assert store.seq() == other.seq() == 2
        assert store.changes(1).added.ids.tolist() == [int(theirs.edges[1])]


def test_a_half_done_write_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write([fact("a", "b")])

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("reverie.memory.upsert.Change.finish", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.write([fact("a", "c"), fact("a", "b", 0.5)])
    assert living(store) == {1: ("a", "is", "b")}
    assert store.write([fact("a", "c")]).seq == 2


def test_stats_count_what_is_there(store: Store) -> None:
    store.write([fact("a", "b", source="x"), NodeRow("p", kind="passage", text="…")])
    store.write([fact("a", "b", 0.5, source="x")])
    stats = store.stats()
    assert stats["nodes"] == 3
    assert stats["nodes_by_kind"] == {"entity": 2, "passage": 1}
    assert stats["edges_by_source"] == {"x": 1}
    assert (stats["edges"], stats["closed_versions"], stats["changes"], stats["relations"]) == (1, 1, 2, 1)
    assert stats["bytes"] > 0


def test_vectors_are_kept_found_and_dropped_with_their_words(store: Store) -> None:
    written = store.write([fact("a", "b"), fact("b", "c"), fact("c", "d")])
    rng = np.random.default_rng(0)
    ids = [1, 2, 3, 4]
    vectors = rng.normal(size=(4, 8)).astype(np.float32)
    assert store.get_vectors("toy")[1].shape == (0, 0)
    assert store.nearest("toy", vectors[0], 2)[0].tolist() == []
    store.put_vectors("toy", [*ids, 99], np.concatenate([vectors, vectors[:1]]))
    store.put_vectors("toy", written.edges.tolist(), vectors[:3], of="edge")
    found, kept = store.get_vectors("toy")
    assert found.tolist() == ids
    assert np.array_equal(kept, vectors)
    assert kept.dtype == np.float32
    near, cosines = store.nearest("toy", vectors[2], 3)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    wanted = np.argsort(-(unit @ unit[2]))[:3]
    assert near.tolist() == [ids[place] for place in wanted]
    assert np.allclose(cosines, (unit @ unit[2])[wanted], atol=1e-6)
    store.put_vectors("toy", [1], -vectors[:1])
    assert np.array_equal(store.get_vectors("toy")[1][0], -vectors[0])
    store.write([NodeRow("b", text="other words")])
    store.delete_edges([int(written.edges[1])])
    assert store.get_vectors("toy")[0].tolist() == [1, 3, 4]
    assert store.get_vectors("toy", of="edge")[0].tolist() == [int(written.edges[0]), int(written.edges[2])]
    store.delete_node(3)
    assert store.get_vectors("toy")[0].tolist() == [1, 4]
    for bad in (vectors[:2], np.full((1, 8), np.nan), np.zeros((1, 3)), np.zeros(8)):
        with pytest.raises(UsageError):
            store.put_vectors("toy", [1], bad)
    with pytest.raises(UsageError, match="8 finite numbers, got 3"):
        store.nearest("toy", np.ones(3), 1)


# a store is a dictionary with a past ----------------------------------------------------------------------------

_NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
_STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("write"),
            st.lists(st.tuples(_NAMES, _NAMES, st.sampled_from([0.25, 0.5, 1.0])), min_size=1, max_size=4),
        ),
        st.tuples(st.just("delete edge"), st.tuples(_NAMES, _NAMES)),
        st.tuples(st.just("delete node"), _NAMES),
        st.tuples(st.just("merge"), st.tuples(_NAMES, _NAMES)),
    ),
    max_size=12,
)


@given(steps=_STEPS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_course_of_writes_leaves_what_a_dictionary_would(steps: list[Any], tmp_path_factory: Any) -> None:
    with Store.open(tmp_path_factory.mktemp("course") / "kg.db") as store:
        model: dict[tuple[str, str], float] = {}
        means: dict[str, str] = {}  # name → the name of its living node
        moments: list[tuple[float, dict[tuple[str, str], float]]] = []
        follower: dict[int, float] = {}
        followed = 0
        for verb, what in steps:
            seq = store.seq()
            if verb == "write":
                store.write([fact(a, b, value) for a, b, value in what])
                for a, b, value in what:
                    model[means.setdefault(a, a), means.setdefault(b, b)] = value
            elif verb == "delete edge" and what in model:
                store.delete_edges([_edge_of(store, what)])
                del model[what]
            elif verb == "delete node" and what in means.values():
                store.delete_node(store.find(what)[0].id)
                model = {key: value for key, value in model.items() if what not in key}
                means = {name: node for name, node in means.items() if node != what}
            elif verb == "merge" and {*what} <= {*means.values()} and what[0] != what[1]:
                into, other = what
                store.merge(store.find(into)[0].id, [store.find(other)[0].id])
                means = {name: into if node == other else node for name, node in means.items()}
                moved: dict[tuple[str, str], float] = {}
                for (a, b), value in model.items():
                    key = (into if a == other else a, into if b == other else b)
                    if key[0] != key[1] or a == b:
                        moved[key] = max(value, moved.get(key, 0.0))
                model = moved
            assert _model(store, store.edge_arrays()) == model
            changes = store.changes(followed)
            for gone in changes.removed.tolist():
                follower.pop(gone, None)
            follower.update(zip(changes.added.ids.tolist(), changes.added.confidences.tolist()))
            followed = changes.seq
            arrays = store.edge_arrays()
            assert follower == dict(zip(arrays.ids.tolist(), arrays.confidences.tolist()))
            if store.seq() > seq:
                with store._database.reading() as connection:
                    moment = connection.execute(text("SELECT max(time) FROM writes")).scalar_one()
                moments.append((moment, dict(model)))
        for moment, stood in moments:
            assert len(store.edge_arrays(as_of=moment).ids) == len(stood)
        assert store.check() == []


def _edge_of(store: Store, key: tuple[str, str]) -> int:
    return next(one.id for one in store.facts(store.edge_arrays().ids) if (one.subject, one.object) == key)


def _model(store: Store, arrays: EdgeArrays) -> dict[tuple[str, str], float]:
    return {(one.subject, one.object): one.confidence for one in store.facts(arrays.ids)}


@given(st.text(min_size=1, max_size=20))
def test_folding_twice_is_folding_once(name: str) -> None:
    assert fold(fold(name)) == fold(name)
    assert fold(f"  {name}  ") == fold(name)


def test_reading_batches_covers_every_node_once(store: Store) -> None:
    store.write([fact(f"n{number}", f"m{number}") for number in range(25)])
    batches: Iterator[list[Any]] = store.node_batches(size=7)
    seen = [node.id for batch in batches for node in batch]
    assert seen == sorted(set(seen))
    assert len(seen) == 50
