"""Trains graph attention to complete triples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from reverie.errors import ConfigError
from reverie.files import atomic_write_json
from reverie.model.graph_attention import GraphAttention, GraphAttentionConfig, GraphBatch
from reverie.training.triples import TripleGraph, Triples, read_triples

__all__ = [
    "Answers",
    "GraphData",
    "LinkObjective",
    "link_ranks",
    "rank_figures",
]

LINKS_FILE = "links.json"


@dataclass(frozen=True)
class GraphData:
    """What the network learns from, and its size. ``model`` sizes of 0 are filled in from the data."""

    triples: str = ""  # folder of train, valid and test triples
    batch_size: int = 32  # questions a step
    hops: int = 6  # how far from its subject an answer is looked for
    nodes: int = 300  # most nodes recalled for a question while training
    eval_nodes: int = 1000  # and while evaluating
    eval_questions: int = 500  # in an evaluation, spread evenly; 0: all
    seed: int = 0
    model: GraphAttentionConfig = field(default_factory=lambda: GraphAttentionConfig(num_relations=0, spread=True))

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("hops", 1), ("nodes", 2), ("eval_nodes", 2), ("eval_questions", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"graph {name} is at least {least}, got {getattr(self, name)}")


class Answers:
    """Every known answer of every question (node, relation, ?); relations from R on ask for the subject."""

    def __init__(self, triples: np.ndarray, num_relations: int):
        self.num_relations = num_relations
        asked = both_ways(triples, num_relations)
        keys = asked[:, 0] * 2 * num_relations + asked[:, 1]
        order = np.lexsort((asked[:, 2], keys))
        self._keys, self._nodes = keys[order], asked[order, 2]

    def of(self, node: int, relation: int) -> np.ndarray:
        """Node numbers, ascending; doubled where a triple was given twice."""
        key = node * 2 * self.num_relations + relation
        found: np.ndarray = self._nodes[slice(*np.searchsorted(self._keys, (key, key + 1)))]
        return found


def both_ways(triples: np.ndarray, num_relations: int) -> np.ndarray:
    """Questions (2n, 3): node, relation, answer. First every triple from its subject, then from its object."""
    subjects, relations, objects = triples.T
    return np.concatenate((triples, np.stack((objects, relations + num_relations, subjects), 1)))


class LinkObjective:
    """(node, relation, ?): cross entropy of the answer among the nodes recalled around the node.

    The triple that is asked for is hidden from the network, and so are its traces in the features; other known answers
    do not count as wrong. A question whose answer is not recalled teaches nothing and is left out.
    """

    metrics: ClassVar[Mapping[str, str]] = {"graph_accuracy": "valid_hits_1_share"}

    def __init__(self, data: GraphData, triples: Triples | None = None):
        if triples is None and not data.triples:
            raise ConfigError("graph triples must name a folder of train, valid and test triples; it is empty")
        self.triples = triples or read_triples(data.triples)
        self.data = data
        num_nodes, self.num_relations = len(self.triples.nodes), len(self.triples.relations)
        self.graph = TripleGraph(self.triples.train, num_nodes, self.num_relations)
        config = replace(data.model, num_relations=self.num_relations, node_size=self.graph.node_size)
        self.module = GraphAttention(config, torch.Generator().manual_seed(data.seed))
        self.questions = both_ways(self.triples.train, self.num_relations)
        self.known = Answers(self.triples.train, self.num_relations)

    def batch(self, step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([self.data.seed, step])
        picked = rng.integers(len(self.questions), size=self.data.batch_size)
        asked = self.questions[picked]
        near = self.graph.around(asked[:, 0], self.data.hops, self.data.nodes, picked % len(self.triples.train))
        rows = np.arange(len(asked))
        answers = near.rows_of(rows, asked[:, 2], self.graph.num_nodes)
        barred = np.zeros(near.batch.num_nodes, dtype=bool)
        for row, (node, relation, _) in enumerate(asked):
            others = near.rows_of(np.full(1, row), self.known.of(node, relation), self.graph.num_nodes)
            barred[others[(others >= 0) & (others != answers[row])]] = True
        return near.batch.tensors() | {
            "asked": torch.from_numpy(asked[:, 1].copy()),
            "answers": torch.from_numpy(answers),
            "barred": torch.from_numpy(barred),
        }

    def compute_loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        batch = dict(batch)
        asked, answers, barred = (batch.pop(name) for name in ("asked", "answers", "barred"))
        graph = GraphBatch(**batch)  # type: ignore[arg-type]
        logits = self.module.score_links(self.module(graph, self.module.relation_questions(asked)))
        logits = logits.masked_fill(barred, -torch.inf)
        top = segment_logsumexp(logits, graph.graph, graph.num_graphs)
        found = answers >= 0
        nats = (top - logits[answers.clamp_min(0)])[found]
        loss = nats.sum() / found.sum().clamp_min(1) if found.any() else logits.clamp(-1, 1).sum() * 0
        return {"loss": loss, "recalled_share": found.float().mean(), "num_ids": torch.tensor(graph.num_nodes)}

    def evaluate(self, step: int) -> dict[str, float]:
        asked = both_ways(self.triples.valid, self.num_relations)
        count = min(self.data.eval_questions or len(asked), len(asked))
        asked = asked[np.linspace(0, len(asked) - 1, count).astype(np.int64)]
        ranks, recalled = link_ranks(
            self.module, self.graph, self.triples, asked, self.data.hops, self.data.eval_nodes, self.data.batch_size
        )
        return {f"valid_{name}": value for name, value in rank_figures(ranks).items()} | {"valid_recalled": recalled}

    def export(self, folder: Path) -> None:
        """``graph/``, and ``links.json``: how it recalls and what its relations are called."""
        self.module.save(folder / "graph")
        recall = {"hops": self.data.hops, "nodes": self.data.eval_nodes, "relations": list(self.triples.relations)}
        atomic_write_json(folder / LINKS_FILE, recall)


@torch.no_grad()
def link_ranks(
    network: GraphAttention,
    graph: TripleGraph,
    triples: Triples,
    asked: np.ndarray,
    hops: int,
    nodes: int,
    batch_size: int = 16,
    progress: object = None,
) -> tuple[np.ndarray, float]:
    """Filtered ranks (n,) of the answers of ``asked`` (n, 3: node, relation, answer), and the share recalled.

    Nodes that are not recalled rank below those that are, in order of how often the relation leads to them in training.
    ``progress(done, total)`` is called after each batch.
    """
    num_relations = graph.num_relations
    everything = np.concatenate((triples.train, triples.valid, triples.test))
    known, usual = Answers(everything, num_relations), relation_counts(triples.train, graph.num_nodes, num_relations)
    device = network.norm.weight.device
    ranks, recalled = [], 0
    for start in range(0, len(asked), batch_size):
        part = asked[start : start + batch_size]
        near = graph.around(part[:, 0], hops, nodes)
        question = network.relation_questions(torch.from_numpy(part[:, 1].copy()).to(device))
        logits = network.score_links(network(near.batch.to(device), question)).cpu().double().numpy()
        owner = near.batch.graph.numpy()
        for row, (node, relation, answer) in enumerate(part):
            own = owner == row
            scores = usual[relation] - 1e6  # below every logit, which lie within a few hundred of 0
            scores[near.nodes[own]] = logits[own]
            recalled += bool((near.nodes[own] == answer).any())
            ranks.append(filtered_rank(scores, answer, known.of(node, relation)))
        if callable(progress):
            progress(min(start + batch_size, len(asked)), len(asked))
    return np.array(ranks), recalled / max(len(asked), 1)


def segment_logsumexp(values: Tensor, rows: Tensor, size: int) -> Tensor:
    """log of the sum of exp of ``values`` (n,) with the same entry of ``rows`` (n,): (size,), -inf where none is."""
    top = values.new_full((size,), -torch.inf).scatter_reduce(0, rows, values.detach(), "amax")
    top = top.masked_fill(top.isinf(), 0)
    return values.new_zeros(size).index_add(0, rows, (values - top[rows]).exp()).log() + top


def relation_counts(triples: np.ndarray, num_nodes: int, num_relations: int) -> np.ndarray:
    """float64 (2R, num_nodes): how often each relation, and each inverse, leads to each node."""
    counts = np.zeros((2 * num_relations, num_nodes))
    asked = both_ways(triples, num_relations)
    np.add.at(counts, (asked[:, 1], asked[:, 2]), 1)
    return counts


def filtered_rank(scores: np.ndarray, answer: int, known: np.ndarray) -> float:
    """The rank of ``answer`` among all nodes but the other ``known`` answers, from 1; ties share their mean rank.

    A score that is no number counts as the worst for the answer and as the best for any other node.
    """
    scores = scores.copy()
    own = scores[answer]
    scores[known] = -np.inf
    scores[answer] = -np.inf
    return 1 + float((~(scores <= own)).sum()) + float((scores == own).sum()) / 2


def rank_figures(ranks: np.ndarray) -> dict[str, float]:
    """Mean reciprocal rank, and the share of ranks up to 1, 3 and 10."""
    figures = {"mrr": float(np.mean(1 / ranks))}
    return figures | {f"hits_{k}_share": float(np.mean(ranks <= k)) for k in (1, 3, 10)}
