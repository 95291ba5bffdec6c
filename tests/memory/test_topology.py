"""The topology against networkx, brute force and itself built from scratch."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverie.data import FactRow, NodeRow
from reverie.memory import kernels, plain
from reverie.memory import topology as module
from reverie.memory.contract import Changes, EdgeArrays
from reverie.memory.store import Store
from reverie.memory.topology import Subgraph, Topology

Edge = tuple[int, int, int, float]  # id, subject, object, weight
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
NOBODY = np.zeros(0, np.int64)

nodes = st.integers(1, 9)
weights = st.sampled_from([0.0, 0.25, 0.5, 0.5, 0.75, 1.0])
graphs = st.lists(st.tuples(nodes, nodes, weights), max_size=24).map(
    lambda rows: [(3 * i + 2, a, b, w) for i, (a, b, w) in enumerate(rows)]
)


def arrays(edges: Iterable[Edge], seq: int = 0) -> EdgeArrays:
    rows = sorted(edges)
    ids, subjects, objects, confidences = ([row[i] for row in rows] for i in range(4))
    return EdgeArrays(
        np.array(ids, np.int64),
        np.array(subjects, np.int64),
        np.array(objects, np.int64),
        np.array([number % 3 for number in ids], np.int32),
        np.array(confidences, np.float32),
        seq,
    )


def build(edges: Iterable[Edge], num_nodes: int = 9) -> Topology:
    return Topology.build(arrays(edges), num_nodes)


def entries(edges: Iterable[Edge], node: int, direction: str = "both") -> list[tuple[int, int, float]]:
    """(other end, edge, weight) of a node, heaviest first."""
    found = []
    for number, subject, object_, weight in edges:
        if subject == node and (direction != "in" or object_ == node):
            found.append((object_, number, weight))
        elif object_ == node and direction != "out":
            found.append((subject, number, weight))
    return sorted(found, key=lambda entry: (-entry[2], entry[1]))


def told(topology: Topology, node: int, k: int = 99, direction: str = "both") -> list[tuple[int, int, float]]:
    found = topology.neighbours(node, k, direction)  # type: ignore[arg-type]
    return list(zip(found.nodes.tolist(), found.edges.tolist(), found.weights.tolist()))


def edges_in(graph: Subgraph) -> set[Edge]:
    ends = graph.nodes[graph.subjects].tolist(), graph.nodes[graph.objects].tolist()
    return set(zip(graph.edges.tolist(), *ends, graph.weights.tolist()))


def same(left: Topology, right: Topology) -> None:
    """Both answer alike."""
    assert left.num_edges == right.num_edges
    for node in range(12):
        assert told(left, node) == told(right, node)
    assert edges_in(left.expand([1, 2], 3)) == edges_in(right.expand([1, 2], 3))
    a, b = (dict(one.pagerank({1: 1.0, 5: 2.0}, tolerance=1e-9)) for one in (left, right))
    assert a == pytest.approx(b, abs=1e-6)


@QUICK
@given(graphs, st.lists(st.integers(0, 12), min_size=1, max_size=3), st.integers(0, 3), st.integers(0, 4))
def test_without_compiled_code_the_same_comes_out(edges: list[Edge], start_nodes: list[int], hops: int, k: int) -> None:
    compiled, bare = build(edges), Topology.build(arrays(edges), 9, compiled=False)
    for one in (compiled, bare):  # some rows are as they were made, some changed since
        one._apply(Changes(arrays([(999, 1, 4, 0.5), (1000, 11, 1, 0.75)]), np.array([2, 8]), NOBODY, NOBODY, 1))
    left, right = compiled.expand(start_nodes, hops, k), bare.expand(start_nodes, hops, k)
    for name, value in vars(left).items():
        assert getattr(right, name).tolist() == value.tolist()
        assert getattr(right, name).dtype == value.dtype
    same(compiled, bare)
    shares = dict.fromkeys(start_nodes, 1.0)
    for hub in (None, 1.5):
        a, b = (dict(one.pagerank(shares, tolerance=1e-9, hub=hub)) for one in (compiled, bare))
        assert a == pytest.approx(b, abs=1e-5)


def test_rows_are_laid_out_alike_with_and_without_compiled_code() -> None:
    rng = np.random.default_rng(3)
    subjects, objects = rng.integers(0, 30, (2, 400)).astype(np.int32)
    weights = (rng.integers(1, 9, 400) / 8).astype(np.float32)
    order = np.argsort(-weights, kind="stable").astype(np.int32)
    for made, wanted in zip(
        plain.fill(order, subjects, objects, weights, 31), kernels.fill(order, subjects, objects, weights, 31)
    ):
        assert made.tolist() == wanted.tolist()
        assert made.dtype == wanted.dtype


# rows -----------------------------------------------------------------------------------------------------------


@QUICK
@given(graphs, nodes, st.integers(0, 5), st.sampled_from(["out", "in", "both"]))
def test_neighbours_are_the_heaviest_edges_of_a_node(edges: list[Edge], node: int, k: int, direction: str) -> None:
    assert told(build(edges), node, k, direction) == entries(edges, node, direction)[:k]


@QUICK
@given(graphs, st.lists(nodes, min_size=1, max_size=3), st.integers(0, 3), st.integers(0, 4))
def test_expand_goes_breadth_first_over_the_heaviest_edges(
    edges: list[Edge], start_nodes: list[int], hops: int, k: int
) -> None:
    graph = build(edges).expand(start_nodes, hops, k)
    depths = dict.fromkeys(start_nodes, 0)
    wanted, frontier = set(), list(depths)
    for hop in range(hops):
        for other, number, _ in [entry for node in frontier for entry in entries(edges, node)[:k]]:
            wanted.add(number)
            depths.setdefault(other, hop + 1)
        frontier = [node for node, depth in depths.items() if depth == hop + 1]
    assert dict(zip(graph.nodes.tolist(), graph.depths.tolist())) == depths
    assert len(graph.nodes) == len(depths)
    assert edges_in(graph) == {edge for edge in edges if edge[0] in wanted}
    assert len(graph.edges) == len(wanted)
    assert graph.relations.tolist() == [number % 3 for number in graph.edges.tolist()]
    assert [array.dtype for array in vars(graph).values()] == "int64 int8 int64 int32 int32 int32 float32".split()


def test_a_graph_without_edges_and_unknown_nodes_have_no_neighbours() -> None:
    for topology in (build([], 0), build([(1, 1, 2, 0.5)])):
        for node in (-5, 0, 7, 10**12):
            assert told(topology, node) == []
            assert topology.expand([node], 2).nodes.tolist() == [node]
            assert topology.pagerank({node: 2.0}) == [(node, pytest.approx(1.0))]
            assert topology.walks([node], 2, 3, np.random.default_rng(0)).tolist() == [[node] * 3] * 2
            assert topology.sample([node], 5, np.random.default_rng(0)).nodes.tolist() == [node]
        assert len(topology.expand([]).nodes) == len(topology.pagerank({})) == 0
        assert topology.walks([], 3, 2, np.random.default_rng(0)).shape == (0, 2)


# pagerank -------------------------------------------------------------------------------------------------------


def exact(edges: list[Edge], start_nodes: dict[int, float], damping: float, hub: float = math.inf) -> np.ndarray:
    """Solves scores = (start + what arrives) * (1 - what goes on)."""
    matrix = np.zeros((10, 10))
    for _, subject, object_, weight in edges:
        matrix[subject, object_] += weight
        if subject != object_:
            matrix[object_, subject] += weight
    totals = matrix.sum(axis=1)
    passed = np.where(totals > 0, damping * np.minimum(1, hub / np.maximum(totals, 1e-9)), 0)
    steps = passed[:, None] * matrix / np.maximum(totals, 1e-9)[:, None]
    start = np.zeros(10)
    for node, weight in start_nodes.items():
        start[node] = weight / sum(start_nodes.values())
    return np.linalg.solve(np.eye(10) - steps.T, start) * (1 - passed)


@QUICK
@given(
    graphs,
    st.dictionaries(nodes, st.sampled_from([0.5, 1.0, 3.0]), min_size=1, max_size=3),
    st.sampled_from([0.0, 0.5, 0.85]),
    st.sampled_from([None, 0.5, 1.5]),
)
def test_pagerank_comes_as_close_to_the_exact_scores_as_asked(
    edges: list[Edge], start_nodes: dict[int, float], damping: float, hub: float | None
) -> None:
    wanted = exact(edges, start_nodes, damping, hub or math.inf)
    topology = build(edges)
    found = dict(topology.pagerank(start_nodes, damping=damping, tolerance=1e-9, hub=hub))
    assert found == pytest.approx({node: wanted[node] for node in found}, abs=2e-6)
    assert {int(node) for node in np.flatnonzero(wanted > 1e-6)} <= set(found)
    assert topology.pagerank(start_nodes, top=2) == topology.pagerank(start_nodes)[:2]


def test_pagerank_is_that_of_networkx() -> None:
    drawn = nx.barabasi_albert_graph(300, 3, seed=4)
    rng = np.random.default_rng(0)
    edges = [(i + 1, a + 1, b + 1, float(np.float32(1 - rng.random()))) for i, (a, b) in enumerate(drawn.edges)]
    graph = nx.Graph()
    graph.add_weighted_edges_from((a, b, w) for _, a, b, w in edges)
    wanted = nx.pagerank(graph, alpha=0.85, personalization={7: 1.0, 200: 2.0}, tol=1e-12, max_iter=500)
    found = dict(Topology.build(arrays(edges)).pagerank({7: 1.0, 200: 2.0}, tolerance=1e-8, top=300))
    assert found == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("wrong", [{"damping": 1.0}, {"damping": -0.1}, {"tolerance": 0.0}, {"hub": 0.0}])
def test_pagerank_refuses_what_has_no_answer(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="need damping in"):
        build([]).pagerank({1: 1.0}, **wrong)


# chance ---------------------------------------------------------------------------------------------------------


@QUICK
@given(graphs, st.lists(nodes, min_size=1, max_size=3), st.integers(1, 5), st.integers(0, 9))
def test_walks_follow_edges_and_repeat_with_their_seed(
    edges: list[Edge], start_nodes: list[int], length: int, seed: int
) -> None:
    topology, bias = build(edges), {1: 0.5, 4: 1.0, 99: 1.0}
    visited, taken = topology.walks_with_edges(start_nodes, 7, length, np.random.default_rng(seed), bias)
    assert visited.shape == (7, length)
    assert taken.shape == (7, length - 1)
    ends = {number: (subject, object_) for number, subject, object_, weight in edges if weight > 0}
    for walk, steps in zip(visited.tolist(), taken.tolist()):
        assert walk[0] in start_nodes
        for a, b, edge in zip(walk, walk[1:], steps):
            if edge < 0:
                assert a == b
                assert not any(weight for _, _, weight in entries(edges, a))
            else:
                assert sorted(ends[edge]) == sorted((a, b))
    assert (topology.walks(start_nodes, 7, length, np.random.default_rng(seed), bias) == visited).all()


def test_walks_take_edges_by_weight_and_relevance() -> None:
    topology = build([(1, 1, 2, 0.9), (2, 3, 1, 0.3)])
    ends = topology.walks([1], 4000, 2, np.random.default_rng(0))[:, 1]
    assert np.mean(ends == 2) == pytest.approx(0.75, abs=0.03)
    ends = topology.walks([1], 4000, 2, np.random.default_rng(0), {3: 0.4})[:, 1]
    assert np.mean(ends == 2) == pytest.approx(0.9 * 0.05 / (0.9 * 0.05 + 0.3 * 0.45), abs=0.03)


@QUICK
@given(graphs, st.lists(nodes, min_size=1, max_size=3), st.integers(0, 9), st.integers(0, 9))
def test_a_sample_is_connected_has_all_edges_between_its_nodes_and_repeats_with_its_seed(
    edges: list[Edge], start_nodes: list[int], size: int, seed: int
) -> None:
    topology = build(edges)
    graph = topology.sample(start_nodes, size, np.random.default_rng(seed))
    found = graph.nodes.tolist()
    assert edges_in(graph) == {edge for edge in edges if edge[1] in found and edge[2] in found}
    reached = nx.Graph((a, b) for _, a, b, weight in edges if weight > 0)
    reached.add_nodes_from(start_nodes)
    around = set().union(*(nx.node_connected_component(reached, node) for node in start_nodes))
    assert set(found) <= around
    assert len(found) == min(len(around), max(size, len(set(start_nodes))))
    for node, depth in zip(found, graph.depths.tolist()):
        assert depth >= min(
            nx.shortest_path_length(reached, a, node) for a in start_nodes if nx.has_path(reached, a, node)
        )
    assert topology.sample(start_nodes, size, np.random.default_rng(seed)).nodes.tolist() == found


def test_a_sample_draws_by_weight() -> None:
    topology, rng = build([(1, 1, 2, 0.9), (2, 3, 1, 0.3)]), np.random.default_rng(0)
    drawn = [topology.sample([1], 2, rng).nodes[1] for _ in range(2000)]
    assert np.mean(np.array(drawn) == 2) == pytest.approx(0.75, abs=0.04)


# following ------------------------------------------------------------------------------------------------------


changes = st.lists(
    st.tuples(st.lists(st.tuples(st.integers(1, 40), nodes, nodes, weights), max_size=6), st.sets(st.integers(1, 75))),
    max_size=5,
)


@QUICK
@given(graphs, changes, st.booleans())
def test_changes_give_what_building_anew_gives(
    edges: list[Edge], steps: list[tuple[list[Edge], set[int]]], compact: bool
) -> None:
    topology, living = build(edges), {edge[0]: edge for edge in edges}
    for seq, (added, removed) in enumerate(steps, 1):
        fresh = {edge[0]: edge for edge in added}
        living = {number: edge for number, edge in living.items() if number not in removed} | fresh
        before, rows = told(topology, 1), topology._now
        topology._apply(Changes(arrays(fresh.values(), seq), np.array(sorted(removed), np.int64), NOBODY, NOBODY, seq))
        if compact:
            topology._compact()
        assert topology.seq == seq
        same(topology, build(living.values()))
        now, topology._now = topology._now, rows  # a reader that still holds the old rows
        assert told(topology, 1) == before
        topology._now = now


def words(edges: Iterable[tuple[int, int, float]]) -> list[FactRow]:
    return [FactRow(f"node {a}", "to", f"node {b}", source="test", confidence=w) for a, b, w in edges]


@pytest.fixture
def filled(tmp_path: Path) -> Iterable[Store]:
    rng = np.random.default_rng(3)
    with Store.open(tmp_path / "kg.db") as store:
        store.write(words((a, b, 0.5) for a, b in rng.integers(1, 40, (200, 2)).tolist() if a != b))
        yield store


def like(topology: Topology, store: Store) -> None:
    """It says what the store says."""
    made = Topology.build(store.edge_arrays())
    assert topology.seq == made.seq
    assert topology.num_edges == made.num_edges
    for node in range(made.num_nodes + 2):
        assert told(topology, node) == told(made, node)


def test_it_follows_writes_deletions_and_merges(store: Store) -> None:
    topology = Topology.open(store)
    assert topology.refresh(store) == 0
    store.write(words([(1, 2, 0.5), (2, 3, 0.7), (3, 3, 0.2), (1, 3, 0.1)]))
    assert topology.refresh(store) == 4
    like(topology, store)
    written = store.write(words([(1, 2, 0.9), (4, 1, 0.3)]))
    topology.refresh(store)
    like(topology, store)
    store.delete_edges(written.edges[:1].tolist())
    one, three = (store.find(f"node {number}")[0].id for number in (1, 3))
    store.merge(one, [three])
    topology.refresh(store)
    like(topology, store)
    store.delete_node(one)
    assert topology.refresh(store) > 0
    like(topology, store)
    assert topology.refresh(store) == 0


def test_it_opens_from_its_folder_and_catches_up(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    like(Topology.open(filled), filled)
    folder = filled.path.with_name("kg.topology")  # type: ignore[union-attr]
    assert (folder / "manifest.json").exists()
    filled.write(words([(90, 1, 0.4), (2, 91, 0.4)]))
    filled.delete_edges([3, 4])
    monkeypatch.setattr(Topology, "build", None)  # nothing is built anew
    opened = Topology.open(filled)
    monkeypatch.undo()
    like(opened, filled)
    opened.save(folder)
    like(Topology.open(filled), filled)


def test_a_stale_one_is_saved_again(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    Topology.open(filled)
    path = filled.path.with_name("kg.topology") / "manifest.json"  # type: ignore[union-attr]
    before = json.loads(path.read_text())["seq"]
    filled.write(words([(90, 1, 0.4), (2, 91, 0.4)]))
    like(Topology.open(filled), filled)
    assert json.loads(path.read_text())["seq"] == before
    monkeypatch.setattr(module, "_STALE", (0, 10**9))
    like(Topology.open(filled), filled)
    assert json.loads(path.read_text())["seq"] == before + 1


@pytest.mark.parametrize("name", ["manifest.json", "others.npy", "offsets.npy", "ids.npy"])
@pytest.mark.parametrize("how", ["cut", "changed", "deleted", "empty"])
def test_a_damaged_file_is_made_anew(filled: Store, name: str, how: str) -> None:
    Topology.open(filled)
    path = filled.path.with_name("kg.topology") / name  # type: ignore[union-attr]
    whole = path.read_bytes()
    if how == "deleted":
        path.unlink()
    else:
        changed = whole[:-20] + b"\xff" * 8 + whole[-12:]
        path.write_bytes({"cut": whole[: len(whole) // 2], "changed": changed, "empty": b""}[how])
    like(Topology.open(filled), filled)
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "manifest",
    [[], {"format": 0}, {"format": 1}, {"format": 1, "crc32": None}, {"format": 1, "crc32": {"offsets": "x"}}],
)
def test_a_foreign_manifest_is_replaced(filled: Store, manifest: object) -> None:
    Topology.open(filled)
    path = filled.path.with_name("kg.topology") / "manifest.json"  # type: ignore[union-attr]
    path.write_text(json.dumps(manifest))
    like(Topology.open(filled), filled)
    assert json.loads(path.read_text())["num_edges"] > 0


def test_a_topology_of_another_database_is_not_believed(filled: Store, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    Topology.open(filled, folder)
    with Store.open(tmp_path / "other.db") as other:
        for a in range(200):
            other.write(words([(a, a + 1, 1.0)]))
        like(Topology.open(other, folder), other)
    like(Topology.open(filled, folder), filled)


@pytest.mark.parametrize("first", [3, 0])
def test_nor_one_of_a_database_that_began_alike(tmp_path: Path, first: int) -> None:
    """The same rows, written in other batches: what the one had after its first change, the other had, too."""
    rows, folder = words((a, a + 1, 1.0) for a in range(20)), tmp_path / "shared"
    with Store.open(tmp_path / "one.db") as one, Store.open(tmp_path / "other.db") as other:
        one.write(rows[:first] or [NodeRow("nobody")])
        other.write(rows)
        like(Topology.open(one, folder), one)
        like(Topology.open(other, folder), other)


def test_it_follows_a_database_that_was_put_back(filled: Store, tmp_path: Path) -> None:
    with Store.open(tmp_path / "old.db") as old:
        old.write(words([(1, 2, 0.5)]))
        filled.write(words([(50, 51, 0.5)]))
        topology = Topology.open(filled)
        topology.refresh(old)
        like(topology, old)


@pytest.mark.skipif(os.name == "nt", reason="folders are not closed by mode there")
def test_where_nothing_can_be_saved_it_lives_in_memory(filled: Store, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    topology = Topology.open(filled, tmp_path / "a file" / "kg.topology")
    like(topology, filled)
    filled.write(words([(60, 61, 0.5)]))
    topology.refresh(filled)
    like(topology, filled)


def test_readers_beside_a_writer_see_one_state_or_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write joins node 1 to one more node by a chain of two, so that each state can be told from its parts."""
    monkeypatch.setattr(module, "_ROOM", (40, 4))  # everything is laid out afresh now and then
    wrong: list[str] = []
    stop = threading.Event()
    with Store.open(tmp_path / "kg.db") as store:
        store.write(words([(0, 0, 1.0)]))
        topology = Topology.open(store)

        def read() -> None:
            before = 0
            while not stop.is_set():
                graph = topology.expand([1], 2, 1000)
                count = len(graph.edges) - 1
                if count % 2 or count < before:
                    wrong.append(f"{count} edges after {before}")
                before = count

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for number in range(60):
            store.write(words([(0, 2 * number + 1, 0.5), (2 * number + 1, 2 * number + 2, 0.5)]))
            topology.refresh(store)
        stop.set()
        for reader in readers:
            reader.join()
        assert not wrong
        like(topology, store)


def test_it_works_where_no_compiled_code_can_be_kept(tmp_path: Path) -> None:
    """numba finds no folder for its cache in a package that is read-only, for a user without a home."""
    code = (
        "import numba.core.caching as caching\n"
        "caching.CacheImpl._locator_classes = []\n"
        "from reverie.memory import kernels\n"
        "import numpy as np\n"
        "place = np.zeros(1, np.int32)\n"
        "print(kernels.fill(place, place, place, np.ones(1, np.float32), 1)[0].tolist())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("[0, 1]\n", "")


def test_all_directions_of_all_pairs_are_seen() -> None:
    pairs = list(itertools.permutations(range(1, 5), 2))
    topology = build((i, a, b, i / 20) for i, (a, b) in enumerate(pairs, 1))
    for node in range(1, 5):
        assert {told(topology, node, direction=way)[0][1] for way in ("out", "in")} >= {told(topology, node)[0][1]}
