"""Triples of a knowledge graph: files of them, the graph that they make, and the neighbourhood that a question recalls.

The neighbourhood of a node is where a random walker from it is likely to be (A*Net, arXiv 2206.04798, prunes message
passing in the same spirit, by a learned priority).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from reverie.errors import DataError
from reverie.model.graph_attention import GraphBatch

__all__ = ["SPLITS", "Neighbourhoods", "TripleGraph", "Triples", "read_triples"]

SPLITS = ("train", "valid", "test")
DECAY = 0.9  # of the walker's weight with each hop


@dataclass(frozen=True)
class Triples:
    """A data set for link prediction: columns of a part are subject, relation, object, as numbers."""

    nodes: tuple[str, ...]
    relations: tuple[str, ...]
    train: np.ndarray  # int64 (n, 3)
    valid: np.ndarray
    test: np.ndarray


def read_triples(folder: str | Path) -> Triples:
    """Read train, valid and test (.txt or .tsv) of ``folder``, or of ``original`` in it; three columns split by tabs.

    The relation is the middle column (WN18RR) or the first (ConceptNet): whichever has fewer different words in the
    training part. Raises DataError where a file is missing, a line has not three columns, or nothing is to train on.
    """
    folder = Path(folder)
    if (folder / "original").is_dir() and not any(folder.glob("train.t[xs][tv]")):
        folder = folder / "original"
    parts = [_read_part(folder, name) for name in SPLITS]
    if not parts[0]:
        raise DataError(f"{folder} holds no triple to train on")
    middle = len({row[1] for row in parts[0]}) <= len({row[0] for row in parts[0]})
    order = (0, 1, 2) if middle else (1, 0, 2)
    nodes: dict[str, int] = {}
    relations: dict[str, int] = {}
    found = []
    for part in parts:
        rows = [[row[place] for place in order] for row in part]
        numbers = [
            (nodes.setdefault(s, len(nodes)), relations.setdefault(r, len(relations)), nodes.setdefault(o, len(nodes)))
            for s, r, o in rows
        ]
        found.append(np.array(numbers, dtype=np.int64).reshape(-1, 3))
    return Triples(tuple(nodes), tuple(relations), *found)


def _read_part(folder: Path, name: str) -> list[list[str]]:
    path = next((p for p in (folder / f"{name}.txt", folder / f"{name}.tsv") if p.is_file()), None)
    if path is None:
        raise DataError(f"there is no {name}.txt or {name}.tsv in {folder}; give a folder of train, valid and test")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            cells = line.split("\t")
            if len(cells) != 3:
                raise DataError(f"{path}, line {number}: {len(cells)} columns where three are wanted, split by tabs")
            rows.append(cells)
    return rows


@dataclass(frozen=True)
class Neighbourhoods:
    """What was recalled around some sources: a batch for the network, and which node each of its rows is."""

    batch: GraphBatch
    nodes: np.ndarray  # int64 (N,), ascending within each subgraph
    mass: np.ndarray  # float64 (N,): the walker's weight there

    def rows_of(self, graph: np.ndarray, nodes: np.ndarray, num_nodes: int) -> np.ndarray:
        """The rows of ``nodes`` in the subgraphs ``graph``; -1 where one is not in it."""
        keys = self.batch.graph.numpy() * num_nodes + self.nodes
        wanted = graph * num_nodes + nodes
        places = np.searchsorted(keys, wanted)
        return np.where(keys[np.minimum(places, len(keys) - 1)] == wanted, places, -1)


class TripleGraph:
    """Triples (n, 3) as a graph whose edges are followed both ways; inverse relations are numbered from R on."""

    def __init__(self, triples: np.ndarray, num_nodes: int, num_relations: int):
        self.triples, self.num_nodes, self.num_relations = triples, num_nodes, num_relations
        subjects, relations, objects = triples.T
        ends = np.concatenate((subjects, objects))
        order = np.argsort(ends, kind="stable")
        self.degrees = np.bincount(ends, minlength=num_nodes)
        self.starts = np.concatenate(([0], np.cumsum(self.degrees)))
        self.targets = np.concatenate((objects, subjects))[order]
        self.ways = order  # below n: that triple, from its subject; else its inverse
        self.profile = np.zeros((num_nodes, 2 * num_relations), dtype=np.float32)  # ways out of a node, by relation
        np.add.at(self.profile, (subjects, relations), 1)
        np.add.at(self.profile, (objects, relations + num_relations), 1)

    @property
    def node_size(self) -> int:
        """Features of a node: the walker's weight, the degree, and how many ways of each relation lead out of it."""
        return 2 + 2 * self.num_relations

    def around(
        self, sources: np.ndarray, hops: int, size: int, without: np.ndarray | Sequence[int] | None = None
    ) -> Neighbourhoods:
        """The ``size`` likeliest nodes within ``hops`` of each source (B,), and all triples among them.

        ``without`` (B,): a triple for each source that is left out, with its inverse, as if it were unknown; -1: none.
        """
        count, n = len(sources), self.num_nodes
        without = np.full(count, -1) if without is None else np.asarray(without)
        keys = np.arange(count) * n + sources  # the frontier, ascending: subgraph × n + node
        weight: np.ndarray = np.ones(count)
        found, mass = keys, weight.copy()
        depth: np.ndarray = np.zeros(count, dtype=np.int64)
        for hop in range(1, hops + 1):
            rows, _, targets = self._out_of(keys, without)
            arrived, places = np.unique(keys[rows] // n * n + targets, return_inverse=True)
            share = weight / np.maximum(np.bincount(rows, minlength=len(keys)), 1)  # of ways that are not left out
            weight = np.bincount(places, weights=share[rows], minlength=len(arrived)) * DECAY
            keys, weight = _heaviest(arrived, weight, n, size)
            together, places = np.unique(np.concatenate((found, keys)), return_inverse=True)
            total = np.bincount(places, weights=np.concatenate((mass, weight)), minlength=len(together))
            first = np.full(len(together), hop)
            first[places[: len(found)]] = depth
            found, mass, depth = together, total, first
        mass[depth == 0] += 1.0  # a source is never pruned
        kept, kept_mass = _heaviest(found, mass, n, size)
        return self._batch(kept, kept_mass, depth[np.searchsorted(found, kept)], count, without)

    def _out_of(self, keys: np.ndarray, without: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All ways out of ``keys``: the place of each in ``keys``, the way, and the node that it leads to."""
        nodes = keys % self.num_nodes
        degrees = self.degrees[nodes]
        rows = np.repeat(np.arange(len(keys)), degrees)
        first = np.repeat(self.starts[nodes] - np.cumsum(degrees) + degrees, degrees)
        slots = first + np.arange(len(rows))
        ways = self.ways[slots]
        left = ways % len(self.triples) != without[keys[rows] // self.num_nodes]
        return rows[left], ways[left], self.targets[slots[left]]

    def _batch(
        self, keys: np.ndarray, mass: np.ndarray, depths: np.ndarray, count: int, without: np.ndarray
    ) -> Neighbourhoods:
        n, num_triples = self.num_nodes, len(self.triples)
        graph, nodes = keys // n, keys % n
        rows, ways, targets = self._out_of(keys, without)
        forward = ways < num_triples
        rows, ways, targets = rows[forward], ways[forward], targets[forward]
        wanted = graph[rows] * n + targets
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        inside = keys[places] == wanted
        profile = self.profile[nodes]
        hidden = self.triples[without]  # (B, 3); rows of -1 are not looked at
        for end, shift in ((0, 0), (2, self.num_relations)):
            own = (without[graph] >= 0) & (nodes == hidden[graph, end])
            profile[own, hidden[graph[own], 1] + shift] -= 1
        features = np.concatenate(
            (np.log(mass)[:, None] / 4 + 1, np.log1p(profile.sum(1, keepdims=True)) / 2, np.log1p(profile)), 1
        )
        batch = GraphBatch(
            nodes=torch.from_numpy(features.astype(np.float32)),
            start_nodes=torch.from_numpy((depths == 0).astype(np.float32)),
            depths=torch.from_numpy(depths),
            graph=torch.from_numpy(graph),
            edges=torch.from_numpy(np.stack((rows[inside], places[inside]))),
            relations=torch.from_numpy(self.triples[ways[inside], 1]),
            edge_features=torch.zeros(int(inside.sum()), 0),
            num_graphs=count,
        )
        return Neighbourhoods(batch, nodes, mass)


def _heaviest(keys: np.ndarray, weight: np.ndarray, n: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``size`` heaviest keys of each subgraph, ascending; equal weights: lower keys first."""
    graph = keys // n
    counts = np.bincount(graph)
    if counts.max(initial=0) <= size:
        return keys, weight
    order = np.lexsort((-weight, graph))
    rank = np.arange(len(keys)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = np.sort(order[rank < size])
    return keys[kept], weight[kept]
