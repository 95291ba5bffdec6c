"""Recalled facts and words → states: graph and text encoders behind one contract, their registries, and the checks.

An encoder of facts reads (GraphBatch, asked) and one of words reads the states of a frozen backbone; each gives states
(B, K, D) and which of them are there, bool (B, K), as ``EncoderMixture`` takes them.

``attention``  facts, by ``GraphAttention``: messages run along the edges, and the answer is pooled into soft tokens
``triples``    facts, each by itself: subject, relation and object become one state, and nothing is passed on
``states``     words as the backbone understands them: its last hidden states
``words``      words one by one: their embeddings, before the backbone has read them, beside their places
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reverie.errors import ConfigError
from reverie.model.graph_attention import GraphAttention, GraphAttentionConfig, GraphBatch
from reverie.registry import Promises, Registry

__all__ = ["SenseSizes", "Words", "check_graph_encoder", "check_text_encoder", "graph_encoders", "text_encoders"]

Seen = tuple[Tensor, Tensor]  # states float (B, K, D), and bool (B, K): which of them are there


@dataclass(frozen=True)
class SenseSizes:
    """What encoders of facts and of words are built for."""

    size: int = 64  # width D of their states
    node_size: int = 0  # features of a node, F
    edge_size: int = 1  # features of an edge, G
    asked_size: int = 0  # of the vector that says what was asked, Q
    num_relations: int = 0
    word_size: int = 0  # width W of the backbone
    max_words: int = 64  # most ids of a question
    num_tokens: int = 8  # soft tokens of ``attention``
    num_layers: int = 2  # of ``attention``

    def __post_init__(self) -> None:
        for name in ("size", "num_tokens", "num_layers", "max_words"):
            if getattr(self, name) < 1:
                raise ConfigError(f"senses: {name} is at least 1, got {getattr(self, name)}")


@dataclass(frozen=True)
class Words:
    """A batch of questions as a frozen backbone reads them."""

    embedded: Tensor  # float (B, T, W): the embeddings of their ids
    states: Tensor  # float (B, T, W): the last hidden states
    there: Tensor  # bool (B, T): False is padding


class AttentionFacts(nn.Module):
    """``GraphAttention`` and its soft tokens."""

    def __init__(self, sizes: SenseSizes):
        super().__init__()
        self.size = sizes.size
        self.net = GraphAttention(
            GraphAttentionConfig(
                num_relations=sizes.num_relations,
                node_size=sizes.node_size,
                edge_size=sizes.edge_size,
                question_size=sizes.asked_size,
                hidden_size=sizes.size,
                num_layers=sizes.num_layers,
                attention_size=8,
                num_prefix=sizes.num_tokens,
                prefix_size=sizes.size,
            )
        )

    def forward(self, graph: GraphBatch, asked: Tensor) -> Seen:
        soft = self.net.soft_prefix(self.net(graph, asked))
        known = torch.bincount(graph.graph, minlength=graph.num_graphs) > 0
        return soft, known[:, None].expand(soft.shape[:2])


class TripleFacts(nn.Module):
    """One state a fact, padded to the most facts that a row of the batch has."""

    def __init__(self, sizes: SenseSizes):
        super().__init__()
        self.size = sizes.size
        self.ends = nn.Linear(2 * sizes.node_size, sizes.size)
        self.relation = nn.Embedding(sizes.num_relations, sizes.size)
        self.edge = nn.Linear(sizes.edge_size, sizes.size, bias=False)
        self.asked = nn.Linear(sizes.asked_size, sizes.size)
        self.seed = nn.Linear(1, sizes.size, bias=False)
        self.out = nn.Sequential(nn.GELU(), nn.Linear(sizes.size, sizes.size))

    def forward(self, graph: GraphBatch, asked: Tensor) -> Seen:
        subjects, objects = graph.edges
        ends = torch.cat((graph.nodes[subjects], graph.nodes[objects]), 1)
        row = graph.graph[subjects]
        facts = self.ends(ends) + self.relation(graph.relations) + self.edge(graph.edge_features)  # (E, D)
        facts = facts * (1 + self.asked(asked)[row]) + self.seed(graph.start_nodes[subjects, None])
        states = self.out(facts)
        counts = torch.bincount(row, minlength=graph.num_graphs)
        longest = int(counts.max()) if len(counts) else 0
        order = torch.argsort(row, stable=True)
        place = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row[order]]
        padded = states.new_zeros(graph.num_graphs, longest, self.size).index_put((row[order], place), states[order])
        return padded, torch.arange(longest, device=row.device) < counts[:, None]


class StateWords(nn.Module):
    def __init__(self, sizes: SenseSizes):
        super().__init__()
        self.size = sizes.size
        self.read = nn.Sequential(nn.LayerNorm(sizes.word_size), nn.Linear(sizes.word_size, sizes.size))

    def forward(self, words: Tensor, states: Tensor, there: Tensor) -> Seen:
        return self.read(states), there


class LooseWords(nn.Module):
    def __init__(self, sizes: SenseSizes):
        super().__init__()
        self.size = sizes.size
        self.read = nn.Sequential(nn.LayerNorm(sizes.word_size), nn.Linear(sizes.word_size, sizes.size))
        self.place = nn.Embedding(sizes.max_words, sizes.size)

    def forward(self, words: Tensor, states: Tensor, there: Tensor) -> Seen:
        places = torch.arange(words.shape[1], device=words.device).clamp_max(self.place.num_embeddings - 1)
        return F.gelu(self.read(words) + self.place(places)), there


Factory = Callable[[SenseSizes], nn.Module]
#: What a factory makes must pass ``check_graph_encoder``.
graph_encoders: Registry[Factory] = Registry("graph encoder", {"attention": AttentionFacts, "triples": TripleFacts})
#: What a factory makes must pass ``check_text_encoder``.
text_encoders: Registry[Factory] = Registry("text encoder", {"states": StateWords, "words": LooseWords})


def check_graph_encoder(encoder: nn.Module, sizes: SenseSizes) -> list[str]:
    """Hold an encoder of facts to the contract, and return what was checked; ContractError says what it breaks."""
    generator = torch.Generator().manual_seed(0)

    def facts(count: int) -> GraphBatch:
        return GraphBatch(
            nodes=torch.randn(count + 1, sizes.node_size, generator=generator),
            start_nodes=torch.zeros(count + 1),
            depths=torch.zeros(count + 1, dtype=torch.int64),
            graph=torch.zeros(count + 1, dtype=torch.int64),
            edges=torch.stack((torch.arange(count), torch.arange(1, count + 1))),
            relations=torch.randint(sizes.num_relations, (count,), generator=generator),
            edge_features=torch.rand(count, sizes.edge_size, generator=generator),
            num_graphs=1,
        )

    nothing = facts(0)
    none = GraphBatch(**{**nothing.tensors(), "nodes": nothing.nodes[:0], "start_nodes": nothing.start_nodes[:0],
                         "depths": nothing.depths[:0], "graph": nothing.graph[:0]})  # fmt: skip
    some = [facts(3), none, facts(1)]
    asked = torch.randn(3, sizes.asked_size, generator=generator)
    encoder.eval()
    with torch.no_grad():
        promises = _hold(encoder, encoder(GraphBatch.join(some), asked), encoder(some[2], asked[2:]))
        _, there = encoder(none, asked[1:2])
    promises.expect("without facts no state of them is there", not bool(there.any()))
    return promises.kept


def check_text_encoder(encoder: nn.Module, sizes: SenseSizes) -> list[str]:
    """Hold an encoder of words to the contract, and return what was checked; ContractError says what it breaks."""
    generator = torch.Generator().manual_seed(0)
    words, states = (torch.randn(3, 5, sizes.word_size, generator=generator) for _ in range(2))
    there = torch.arange(5) < torch.tensor([[5], [0], [2]])
    encoder.eval()
    with torch.no_grad():
        alone = encoder(words[2:, :2], states[2:, :2], there[2:, :2])
        return _hold(encoder, encoder(words, states, there), alone).kept


def _hold(encoder: nn.Module, seen: Seen, last: Seen) -> Promises:
    """``seen``: three rows; ``last``: the third of them by itself."""
    promises, (states, there) = Promises("an encoder", type(encoder).__name__), seen
    size: Any = encoder.size
    fits = states.dim() == 3 and (len(states), states.shape[2]) == (3, size) and there.shape == states.shape[:2]
    promises.expect(f"it gives (3, K, {size}) and (3, K)", fits, f"{tuple(states.shape)} and {tuple(there.shape)}")
    promises.expect("states are finite", bool(states.isfinite().all()))
    promises.expect("bool says which of them are there", there.dtype == torch.bool, there.dtype)
    alone, beside = last[0][last[1]], states[2][there[2]]
    same = alone.shape == beside.shape and torch.allclose(alone, beside, atol=1e-4)
    promises.expect("a row's states do not depend on the rows beside it", same)
    return promises
