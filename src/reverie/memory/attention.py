"""Reads recalled facts with a question in mind: graph attention says which of them matter, and puts them into a few
soft tokens that the backbone reads before the question.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from reverie.errors import BundleError
from reverie.files import atomic_write_json
from reverie.jsonio import read_json
from reverie.model.graph_attention import GraphAttention, GraphBatch
from reverie.nouns import Fact

if TYPE_CHECKING:
    from reverie.engine import AnyEngine
    from reverie.tokens.grammar import Grammar

__all__ = ["EDGE_SIZE", "FactAttention", "Reading", "fact_graph", "word_features"]

EDGE_SIZE = 1  # features of an edge: the confidence of its fact
RELATIONS_FILE = "relations.json"

Features = Callable[[str], np.ndarray]  # words → float32 (F,)


@dataclass(frozen=True)
class Reading:
    """What came of some facts: ``scores`` in [0, 1] (n facts,), ``attention`` in [0, 1], the mean over layers and heads
    of what each fact's edge says to its object (n facts,), and ``prefix_embeddings`` (tokens, backbone's width)."""

    scores: np.ndarray
    attention: np.ndarray
    prefix_embeddings: np.ndarray


class FactAttention:
    """A trained network with the names of its relations; one that it does not know counts as the first.

    ``features``: what it knows words by, the same in training and in use (``word_features``).
    """

    def __init__(self, network: GraphAttention, relations: Sequence[str], features: Features):
        self.network, self.relations, self.features = network.eval(), tuple(relations), features
        self._numbers = {name: number for number, name in enumerate(self.relations)}

    @torch.inference_mode()
    def read(self, question: str, facts: Sequence[Fact]) -> Reading:
        graph = fact_graph(question, facts, self._numbers, self.features)
        asked = torch.from_numpy(self.features(question))[None]
        encoded = self.network(graph, asked, attention=True)
        assert encoded.attention is not None
        return Reading(
            torch.sigmoid(self.network.score_edges(encoded)).numpy(),
            encoded.attention[:, 0].mean((0, 2)).numpy(),
            self.network.soft_prefix(encoded)[0].numpy(),
        )

    def save(self, folder: Path) -> None:
        save_fact_attention(self.network, self.relations, folder)

    @classmethod
    def load(cls, folder: Path, features: Features) -> FactAttention:
        """Read what ``save_fact_attention`` wrote. Raises BundleError where it is damaged."""
        relations = read_json(folder / RELATIONS_FILE, BundleError, "the reader's file")
        if not isinstance(relations, list) or not all(isinstance(name, str) for name in relations):
            raise BundleError(f"{folder / RELATIONS_FILE} is damaged: it names no relations")
        return cls(GraphAttention.load(folder), relations, features)


def save_fact_attention(network: GraphAttention, relations: Sequence[str], folder: Path) -> None:
    """The network's ``config.json`` and ``model.safetensors``, and ``relations.json``."""
    network.save(folder)
    atomic_write_json(folder / RELATIONS_FILE, list(relations))


def fact_graph(question: str, facts: Sequence[Fact], relations: dict[str, int], features: Features) -> GraphBatch:
    """Facts as one subgraph, an edge each, in order; nodes start as far as the question says their words."""
    rows: dict[str, int] = {}
    ends = [[rows.setdefault(name, len(rows)) for name in (fact.subject, fact.object)] for fact in facts]
    asked = _words(question)
    start_nodes = [len(asked & words) / max(len(words), 1) for words in map(_words, rows)]
    width = len(features(question))
    return GraphBatch(
        nodes=torch.from_numpy(
            np.stack([features(name) for name in rows]) if rows else np.zeros((0, width), np.float32)
        ),
        start_nodes=torch.tensor(start_nodes, dtype=torch.float32),
        depths=torch.zeros(len(rows), dtype=torch.int64),
        graph=torch.zeros(len(rows), dtype=torch.int64),
        edges=torch.tensor(ends, dtype=torch.int64).reshape(-1, 2).T.contiguous(),
        relations=torch.tensor([relations.get(fact.relation, 0) for fact in facts], dtype=torch.int64),
        edge_features=torch.tensor([[fact.confidence] for fact in facts], dtype=torch.float32).reshape(-1, EDGE_SIZE),
        num_graphs=1,
    )


def word_features(engine: AnyEngine, grammar: Grammar, kept: int = 16_384) -> Features:
    """Words → float32 (2D,): the mean of the backbone's embeddings of their ids, and of its final states, each of
    length 1."""

    @lru_cache(maxsize=kept)
    def features(words: str) -> np.ndarray:
        ids = grammar.text_ids(words) or grammar.text_ids("?")
        both = (engine.embed(ids, contextual=False), engine.embed(ids))
        return np.concatenate([part / max(float(np.linalg.norm(part)), 1e-9) for part in both]).astype(np.float32)

    return features


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold())) - {"the", "a", "an", "of", "is", "it", "when", "what"}
