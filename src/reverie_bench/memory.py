"""The topology of a memory: how long a neighbourhood, a PageRank, an opening and a write take, beside other libraries.

The graph is written to a store and read from there, as in use. Without ``--data`` it is random: the ends of its edges
are drawn by a power law, so that a few nodes have thousands of edges and most have some; weights are even in (0, 1].
All times are per call, from Python, on one thread.
"""

from __future__ import annotations

import heapq
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from reverie.data import FactRow, Row, guess_reader, make_reader
from reverie.errors import ConfigError, DataError, ReverieError, UsageError, shorten
from reverie.memory.contract import EdgeArrays
from reverie.memory.store import Store
from reverie.memory.topology import Topology
from reverie.settings import load_settings
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings, Published

__all__ = ["BENCHMARK", "MemoryBenchConfig", "random_edges", "time_opening"]

PEERS = ("networkx", "igraph", "rustworkx", "scipy")
DATA = "a file of facts that a reader knows (ConceptNet, CSV, JSON lines …); without it a random graph"
_BATCH = 20_000  # rows of a write
_WIDTH = 32  # heaviest neighbours
_TOP = 100
_DAMPING = 0.85
_START_NODES = 3  # nodes that a PageRank starts from
_LARGE = 2_000_000  # edges from which on only scipy is raced: others need gigabytes, and minutes a query
_RELATIONS = 20
_LONGEST_S = 600
_EXPONENT = 2.5  # of the power law of degrees

_T = TypeVar("_T")


@dataclass(frozen=True)
class MemoryBenchConfig:
    """What one can set: ``reverie bench memory nodes=1000 edges=5000``."""

    nodes: int = 100_000  # of the random graph
    edges: int = 1_000_000
    queries: int = 300  # two-hop queries; a third as many PageRanks of ours, a twentieth that are checked
    peer_queries: int = 3  # PageRanks of each other library
    writes: int = 50  # single writes
    peers: tuple[str, ...] = PEERS
    compiling: bool = True  # whether to time that, too

    def __post_init__(self) -> None:
        if self.nodes < 2 or min(self.edges, self.queries, self.peer_queries, self.writes) < 1:
            raise ConfigError(f"the benchmark memory needs 2 nodes and 1 of everything else at least, got {self}")
        if unknown := [peer for peer in self.peers if peer not in PEERS]:
            raise ConfigError(f"the benchmark memory races {', '.join(PEERS)}, got {', '.join(unknown)}")


def run(settings: BenchConfig) -> Findings:
    options = load_settings(MemoryBenchConfig, None, settings.options)
    rng = np.random.default_rng([settings.seed, 3])
    with tempfile.TemporaryDirectory(prefix="memory-") as folder, Store.open(Path(folder) / "kg.db") as store:
        _fill(store, settings, options)
        figures: Figures = {}
        arrays, figures["read_s"] = _timed(store.edge_arrays)
        if not len(arrays.ids):
            raise UsageError(f"{settings.data} holds no facts; give {DATA}")
        topology, figures["build_s"] = _timed(Topology.build, arrays)
        nodes = np.unique(np.concatenate((arrays.subjects, arrays.objects)))
        asked = rng.choice(nodes, options.queries).tolist()
        start_nodes = [
            rng.choice(nodes, min(_START_NODES, len(nodes)), replace=False).tolist() for _ in range(options.queries)
        ]
        figures |= {"nodes": len(nodes), "edges": topology.num_edges}
        figures |= _two_hops(topology, asked) | _chance(topology, asked)
        pageranks, naive, true = _pageranks(topology, Scipy(arrays), start_nodes, options, settings)
        figures |= pageranks
        baselines = {"first_reached": naive}
        for name in options.peers if topology.num_edges <= _LARGE else ("scipy",):
            settings.progress(f"racing {name}", 0, 1)
            peer, seconds = _timed(_PEERS[name], arrays)
            raced = _race(peer, topology, asked[:100], start_nodes, true[: options.peer_queries])
            baselines[name] = raced | {"build_s": seconds}
            del peer
            settings.progress(f"racing {name}", 1, 1)
        figures |= _openings(store, asked[0], options.compiling, settings)
        figures |= _writes(store, topology, asked, options.writes)
    return Findings(
        n=len(asked),
        figures=figures,
        baselines=baselines,
        settings={"peers": list(baselines), "queries": options.queries, "start_nodes": _START_NODES, "top": _TOP},
    )


# the graph ------------------------------------------------------------------------------------------------------


def random_edges(nodes: int, edges: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(subjects, objects) int64 and weights float32 (edges,): nodes 1 … ``nodes``, whose degrees follow a power law.

    Node i is an end with probability ~ (i + 5) ** (-1 / (2.5 - 1)), which gives degrees of exponent 2.5 (Chung & Lu
    2002); which node is i is drawn too.
    """
    share = np.cumsum((np.arange(nodes) + 5.0) ** (-1 / (_EXPONENT - 1)))
    places = rng.permutation(nodes) + 1
    subjects, objects = (places[np.searchsorted(share, rng.random(edges) * share[-1])] for _ in range(2))
    same = subjects == objects
    objects[same] = subjects[same] % nodes + 1
    return subjects, objects, (1 - rng.random(edges)).astype(np.float32)


def _rows(options: MemoryBenchConfig, seed: int) -> Iterator[Row]:
    rng = np.random.default_rng([seed, 4])
    subjects, objects, weights = random_edges(options.nodes, options.edges, rng)
    relations = rng.integers(0, _RELATIONS, options.edges)
    for start in range(0, options.edges, _BATCH):
        part = slice(start, start + _BATCH)
        columns = (column[part].tolist() for column in (subjects, relations, objects, weights))
        for place, (subject, relation, object_, weight) in enumerate(zip(*columns), start):
            # a source of its own keeps an edge apart from others of the same ends and relation
            source = f"part {place % 8}"
            yield FactRow(f"n{subject}", f"r{relation}", f"n{object_}", source=source, confidence=weight)


def _fill(store: Store, settings: BenchConfig, options: MemoryBenchConfig) -> None:
    if settings.data is None:
        rows, count = _rows(options, settings.seed), options.edges
    else:
        try:
            reader = make_reader(guess_reader(settings.data))
            rows = iter([row for row in reader(settings.data, lambda bad: None) if isinstance(row, FactRow)])
        except DataError as error:
            raise UsageError(str(error)) from error
        rows = islice(rows, settings.limit or None)
        count = settings.limit
    done = 0
    while batch := list(islice(rows, _BATCH)):
        settings.progress("writing the graph", done, max(count, done))
        store.write(batch)
        done += len(batch)
    settings.progress("writing the graph", done, done)


# ours -----------------------------------------------------------------------------------------------------------


def _two_hops(topology: Topology, asked: Sequence[int]) -> Figures:
    topology.expand(asked[:1], 2, _WIDTH)  # compiled by now
    seconds = [_timed(topology.expand, [node], 2, _WIDTH)[1] for node in asked]
    return _spread("two_hop_ms", seconds) | {
        "neighbours_ms": _median_ms(lambda node: topology.neighbours(node, _WIDTH), asked),
        "mb_per_million_edges": topology.num_bytes / topology.num_edges,
    }


def _chance(topology: Topology, asked: Sequence[int]) -> Figures:
    rng = np.random.default_rng(0)
    some = asked[: max(2, len(asked) // 3)]
    relevance = dict.fromkeys(asked, 1.0)
    return {
        "walks_64_of_4_ms": _median_ms(lambda node: topology.walks([node], 64, 4, rng, relevance), some),
        "sample_256_ms": _median_ms(lambda node: topology.sample([node], 256, rng), some),
    }


def _pageranks(
    topology: Topology,
    exact: Scipy,
    start_nodes: Sequence[list[int]],
    options: MemoryBenchConfig,
    settings: BenchConfig,
) -> tuple[Figures, Figures, list[set[int]]]:
    """Our figures, those of simply naming what two hops reach first, and the true best nodes of the first questions."""

    def ask(some: Sequence[int]) -> list[tuple[int, float]]:
        return topology.pagerank(dict.fromkeys(some, 1.0), damping=_DAMPING, top=_TOP)

    ask(start_nodes[0])
    seconds = [_timed(ask, some)[1] for some in start_nodes[: max(1, options.queries // 3)]]
    true, shares, naive, errors = list[set[int]](), list[float](), list[float](), [0.0]
    checked = start_nodes[: max(options.peer_queries, options.queries // 20)]
    for place, some in enumerate(checked):
        settings.progress("exact PageRanks", place, len(checked))
        scores, found = exact.pagerank(some), ask(some)
        true.append(_best(scores))
        shares.append(_share(true[-1], (node for node, _ in found)))
        naive.append(_share(true[-1], topology.expand(some, 2, _WIDTH).nodes[:_TOP].tolist()))
        errors += [abs(scores[node] - score) for node, score in found]
    settings.progress("exact PageRanks", len(checked), len(checked))
    figures = _spread("pagerank_ms", seconds) | {
        "pagerank_overlap_share": float(np.mean(shares)),
        "pagerank_overlap_least_share": min(shares),
        "pagerank_largest_error": float(max(errors)),
    }
    return figures, {"pagerank_overlap_share": float(np.mean(naive))}, true


def _best(scores: np.ndarray) -> set[int]:
    """The ``_TOP`` best nodes that have any score."""
    order = np.argsort(-scores, kind="stable")[:_TOP]
    return set(order[scores[order] > 0].tolist())


def _share(true: set[int], found: Iterable[int]) -> float:
    return len(true & set(found)) / len(true)


def _writes(store: Store, topology: Topology, asked: Sequence[int], count: int) -> Figures:
    """From the call of a write until its edge is among the neighbours of its node."""
    topology.refresh(store)
    names = [node.name for node in store.nodes(asked[: 2 * count])]
    seconds = []
    for number in range(count):
        subject, object_ = names[number % len(names)], names[-1 - number % len(names)]
        started = time.perf_counter()
        written = store.write([FactRow(subject, "is joined to", object_, source=f"write {number}")])
        topology.refresh(store)
        node = store.edges(written.edges.tolist())[0].subject
        edges = topology.neighbours(node, 10**6).edges
        seconds.append(time.perf_counter() - started)
        if written.edges[0] not in edges:
            raise ReverieError(f"write {number} was not among the neighbours of its node")
    return _spread("write_to_recall_ms", seconds)


# opening --------------------------------------------------------------------------------------------------------


def time_opening(path: str, node: int) -> None:
    """Open the memory at ``path`` and ask for what is around ``node``; tells how long that took, as JSON."""
    started = time.perf_counter()
    with Store.open(path) as store:
        topology = Topology.open(store)
        opened = time.perf_counter()
        topology.expand([node], 2, _WIDTH)
        first = time.perf_counter()
        topology.pagerank({node: 1.0})
        pagerank = time.perf_counter()
        told = {
            "opened_s": opened - started,
            "open_s": first - started,
            "first_query_ms": 1e3 * (first - opened),
            "first_pagerank_ms": 1e3 * (pagerank - first),
            "process_mb": _resident_mb(),
        }
    os.write(1, json.dumps(told).encode())


def _openings(store: Store, node: int, compiling: bool, settings: BenchConfig) -> Figures:
    """A fresh process that has compiled code on disk, and one that has not."""
    assert store.path is not None
    Topology.open(store)  # saves it
    settings.progress("opening", 0, 2)
    _fresh(store.path, node)  # whatever was not compiled yet is so now
    told = _fresh(store.path, node)
    settings.progress("opening", 1, 2)
    if compiling:
        with tempfile.TemporaryDirectory() as empty:
            cold = _fresh(store.path, node, {"NUMBA_CACHE_DIR": empty})
        for what, query in (("two_hop", "first_query_ms"), ("pagerank", "first_pagerank_ms")):
            told[f"compiling_{what}_s"] = (cold[query] - told[query]) / 1e3
    settings.progress("opening", 2, 2)
    return told


def _fresh(path: Path, node: int, environment: dict[str, str] | None = None) -> Figures:
    code = f"from reverie_bench.memory import time_opening; time_opening({str(path)!r}, {node})"
    try:
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | (environment or {}),
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
        )
    except subprocess.TimeoutExpired as error:
        raise ReverieError(f"a process took longer than {_LONGEST_S} s to open {path}") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise ReverieError(f"a process could not open {path} and said: {shorten(said, 200)}")
    told: Figures = json.loads(done.stdout)
    return told | {"process_s": time.perf_counter() - started}


def _resident_mb() -> float:
    """Memory of this process, with what it has read of mapped files; NaN where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, ValueError):
        return float("nan")


# other libraries ------------------------------------------------------------------------------------------------


class Peer(Protocol):
    """Another library with the same edges: node ids are the store's."""

    def near(self, node: int) -> list[int]:
        """The heaviest neighbours of a node."""
        ...

    def pagerank(self, start_nodes: Sequence[int]) -> np.ndarray:
        """Scores of all nodes."""
        ...


class Networkx:
    def __init__(self, arrays: EdgeArrays):
        self._library = importlib.import_module("networkx")
        self.graph = self._library.MultiGraph()
        self.graph.add_weighted_edges_from(_triples(arrays))

    def near(self, node: int) -> list[int]:
        near = self.graph.adj[node].items()
        edges = ((edge["weight"], other) for other, several in near for edge in several.values())
        return [other for _, other in heapq.nlargest(_WIDTH, edges)]

    def pagerank(self, start_nodes: Sequence[int]) -> np.ndarray:
        personal = dict.fromkeys(start_nodes, 1.0)
        return _array(self._library.pagerank(self.graph, _DAMPING, personalization=personal, tol=1e-9, max_iter=500))


class Igraph:
    def __init__(self, arrays: EdgeArrays):
        ends = np.stack((arrays.subjects, arrays.objects), axis=1)
        self.graph = importlib.import_module("igraph").Graph(int(ends.max()) + 1, ends.tolist())
        self.weights = arrays.confidences.tolist()

    def near(self, node: int) -> list[int]:
        edges = self.graph.incident(node, mode="all")
        best = heapq.nlargest(_WIDTH, edges, key=self.weights.__getitem__)
        return [one.target if one.source == node else one.source for one in self.graph.es[best]]

    def pagerank(self, start_nodes: Sequence[int]) -> np.ndarray:
        found = self.graph.personalized_pagerank(
            damping=_DAMPING, reset_vertices=list(start_nodes), weights=self.weights, directed=False
        )
        return np.array(found)


class Rustworkx:
    """Its PageRank wants directed graphs, so each edge is there both ways."""

    def __init__(self, arrays: EdgeArrays):
        self._library = importlib.import_module("rustworkx")
        self.graph = self._library.PyDiGraph()
        self.graph.add_nodes_from(range(int(max(arrays.subjects.max(), arrays.objects.max())) + 1))
        self.graph.add_edges_from(
            [edge for a, b, weight in _triples(arrays) for edge in ((a, b, weight), (b, a, weight))[: 2 - (a == b)]]
        )

    def near(self, node: int) -> list[int]:
        edges = ((weight, other) for _, other, weight in self.graph.out_edges(node))
        return [other for _, other in heapq.nlargest(_WIDTH, edges)]

    def pagerank(self, start_nodes: Sequence[int]) -> np.ndarray:
        personal = dict.fromkeys(start_nodes, 1.0)
        found = self._library.pagerank(self.graph, _DAMPING, float, personalization=personal, tol=1e-9, max_iter=500)
        return _array(dict(found.items()))


class Scipy:
    """A sparse matrix, in which several edges between two nodes are several entries."""

    def __init__(self, arrays: EdgeArrays):
        sparse = importlib.import_module("scipy.sparse")
        other = arrays.subjects != arrays.objects  # a loop counts once
        rows = np.concatenate((arrays.subjects, arrays.objects[other]))
        columns = np.concatenate((arrays.objects, arrays.subjects[other]))
        weights = np.concatenate((arrays.confidences, arrays.confidences[other])).astype(np.float64)
        order, size = np.argsort(rows, kind="stable"), int(max(rows.max(), columns.max())) + 1
        starts = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=size))))
        self.weights = sparse.csr_array((weights[order], columns[order], starts), shape=(size, size))
        totals = np.asarray(self.weights.sum(axis=1)).ravel()
        self.steps = (sparse.diags_array(1 / np.maximum(totals, 1e-30)) @ self.weights).T.tocsr()

    def near(self, node: int) -> list[int]:
        start, stop = self.weights.indptr[node : node + 2]
        others, weights = self.weights.indices[start:stop], self.weights.data[start:stop]
        if len(others) > _WIDTH:
            others = others[np.argpartition(-weights, _WIDTH)[:_WIDTH]]
        found: list[int] = others.tolist()
        return found

    def pagerank(self, start_nodes: Sequence[int]) -> np.ndarray:
        """Power iteration, until scores move by less than 1e-10 in sum: the exact answer."""
        start = np.zeros(self.steps.shape[0])
        start[list(start_nodes)] = 1 / len(start_nodes)
        scores = start
        while True:
            later: np.ndarray = (1 - _DAMPING) * start + _DAMPING * (self.steps @ scores)
            if np.abs(later - scores).sum() < 1e-10:
                return later
            scores = later


_PEERS: dict[str, Callable[[EdgeArrays], Peer]] = {
    "networkx": Networkx,
    "igraph": Igraph,
    "rustworkx": Rustworkx,
    "scipy": Scipy,
}


def _race(
    peer: Peer,
    topology: Topology,
    asked: Sequence[int],
    start_nodes: Sequence[list[int]],
    true: Sequence[set[int]],
) -> Figures:
    """``two_hop_equal`` is low where many edges weigh the same: which of equals are taken is each library's choice."""

    def two_hops(node: int) -> set[int]:
        near = peer.near(node)
        return {node, *near, *(other for one in near for other in peer.near(one))}

    same, seconds, shares, ranked = [], [], [], []
    for node in asked:
        found, taken = _timed(two_hops, node)
        same.append(found == set(topology.expand([node], 2, _WIDTH).nodes.tolist()))
        seconds.append(taken)
    for some, best in zip(start_nodes, true):
        scores, taken = _timed(peer.pagerank, some)
        ranked.append(taken)
        shares.append(_share(best, _best(scores)))
    return {
        "two_hop_ms": 1e3 * float(np.median(seconds)),
        "two_hop_equal": float(np.mean(same)),
        "pagerank_ms": 1e3 * float(np.median(ranked)),
        "pagerank_overlap_share": float(np.mean(shares)),
    }


def _triples(arrays: EdgeArrays) -> list[tuple[int, int, float]]:
    return list(zip(arrays.subjects.tolist(), arrays.objects.tolist(), arrays.confidences.tolist()))


def _array(scores: dict[int, float]) -> np.ndarray:
    found = np.zeros(max(scores) + 1)
    found[list(scores)] = list(scores.values())
    return found


# timing ---------------------------------------------------------------------------------------------------------


def _timed(work: Callable[..., _T], *arguments: Any) -> tuple[_T, float]:
    started = time.perf_counter()
    result = work(*arguments)
    return result, time.perf_counter() - started


def _median_ms(work: Callable[[int], Any], nodes: Sequence[int]) -> float:
    work(nodes[0])
    return 1e3 * float(np.median([_timed(work, node)[1] for node in nodes]))


def _spread(name: str, seconds: Sequence[float]) -> Figures:
    """Median, mean and 95th percentile, in milliseconds."""
    prefix = name.removesuffix("_ms")
    return {
        name: 1e3 * float(np.median(seconds)),
        f"{prefix}_mean_ms": 1e3 * float(np.mean(seconds)),
        f"{prefix}_p95_ms": 1e3 * float(np.quantile(seconds, 0.95)),
    }


BENCHMARK = Benchmark(
    name="memory",
    about="neighbourhoods, PageRanks, opening and single writes of a large memory, beside other graph libraries",
    run=run,
    data=DATA,
    published=(
        Published(
            "Graphiti",
            "write_to_recall_ms",
            12_000.0,
            "getzep/graphiti issue 186: a message through OpenAI's models, facts and entities extracted by them",
        ),
    ),
    options=MemoryBenchConfig,
)
