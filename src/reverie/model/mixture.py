"""Gated mixtures of encoders: several experts look at the same thing, and independent gates say how far each counts.

The idea is that of the router of adapters: a sigmoid for each expert, a threshold, and nobody as a possible choice. A
gate is an attention score, what was asked against a key that the expert learns. What the experts of a mixture give
stands side by side; a state of weight w takes part in attention as if it were there w times. So an expert below the
threshold is not computed, and leaves no trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from reverie.errors import ConfigError, UsageError
from reverie.model.graph_attention import GraphBatch

__all__ = ["Gates", "Mixed", "EncoderMixture", "EncoderMixtureConfig", "balance_loss", "pick_rows"]


@dataclass(frozen=True)
class EncoderMixtureConfig:
    """Settings of the gates of one mixture."""

    threshold: float = 0.3  # experts whose gate is below it are left out
    max_experts: int = 4  # most experts a row
    dropout: float = 0.1  # share of (row, expert) left out in training, where there are several experts
    bias: bool = True  # a gate may be open or shut whatever was asked
    gated: bool = True  # False: every expert counts in full

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1 or not 0 <= self.dropout < 1 or self.max_experts < 1:
            raise ConfigError(
                "mixture: threshold lies in [0, 1], dropout in [0, 1), max_experts is at least 1, "
                f"got {self.threshold}, {self.dropout} and {self.max_experts}"
            )


class Gates(nn.Module):
    """Features of what was asked → independent gates in [0, 1], one an expert."""

    def __init__(self, feature_size: int, num_experts: int, config: EncoderMixtureConfig, size: int = 32):
        super().__init__()
        self.config = config
        self.query = nn.Linear(feature_size, size, bias=False)
        self.keys = nn.Parameter(torch.zeros(num_experts, size))
        self.bias = nn.Parameter(torch.ones(num_experts)) if config.bias else None

    def forward(self, features: Tensor) -> Tensor:
        """float (B, F) → (B, E)."""
        if not self.config.gated:
            return features.new_ones(len(features), len(self.keys))
        scores = self.query(features) @ self.keys.T / self.keys.shape[1] ** 0.5
        return torch.sigmoid(scores if self.bias is None else scores + self.bias)

    def weights(self, gates: Tensor) -> Tensor:
        """(B, E) → (B, E): gates with those left out at 0.

        In training all count, so that a shut gate can open again, but for the ones that dropout takes. In use those
        below the threshold are out, and all but the ``max_experts`` widest open.
        """
        config = self.config
        if self.training:
            if gates.shape[1] == 1 or not config.dropout:
                return gates
            return gates * (torch.rand_like(gates) >= config.dropout)
        kept = gates >= config.threshold
        if config.max_experts < gates.shape[1]:
            least = gates.topk(config.max_experts, dim=1).values[:, -1:]
            kept &= gates >= least
        return gates * kept


@dataclass(frozen=True)
class Mixed:
    """What a mixture gives for B rows."""

    states: Tensor  # float (B, S, D): the states of all experts, side by side
    weights: Tensor  # float (B, S) in [0, 1]; 0: not there
    expert: Tensor  # int64 (S,): whose state it is
    gates: Tensor  # float (B, E) in [0, 1]
    chosen: Tensor  # bool (B, E): whose states are there


class EncoderMixture(nn.Module):
    """Experts (each with ``size``, the width of its states) behind gates; their states brought to one width D.

    An expert takes its input and returns states (B, K, its size), or those with a mask bool (B, K) of which are there.
    """

    def __init__(self, experts: Sequence[nn.Module], feature_size: int, size: int, config: EncoderMixtureConfig):
        super().__init__()
        if not experts:
            raise ConfigError("a mixture needs at least one expert, got none")
        self.experts = nn.ModuleList(experts)
        self.gates = Gates(feature_size, len(experts), config)
        self.project = nn.ModuleList(nn.Linear(int(expert.size), size) for expert in experts)  # type: ignore[arg-type]
        self.norm = nn.ModuleList(nn.LayerNorm(size) for _ in experts)
        self.size = size

    def forward(self, inputs: Sequence[Any], features: Tensor) -> Mixed:
        """``inputs``: for each expert what it takes (a tensor, a GraphBatch, or a tuple of them, of B rows each);
        ``features`` float (B, F). Raises UsageError where their numbers do not fit."""
        if len(inputs) != len(self.experts):
            raise UsageError(f"a mixture of {len(self.experts)} experts takes as many inputs, got {len(inputs)}")
        gates = self.gates(features)
        weights = self.gates.weights(gates)
        states, counts, owners = [], [], []
        for number, (expert, given) in enumerate(zip(self.experts, inputs, strict=True)):
            own = weights[:, number]
            rows = own.detach().nonzero().squeeze(1)
            if not len(rows):
                continue  # nobody asked it
            whole = len(rows) == len(own)
            found = expert(*_as_tuple(given if whole else pick_rows(given, rows)))
            seen, mask = found if isinstance(found, tuple) else (found, None)
            seen = self.norm[number](self.project[number](seen))
            count = own[rows, None].expand(seen.shape[:2])
            count = count if mask is None else count * mask
            if not whole:
                seen = seen.new_zeros(len(own), *seen.shape[1:]).index_copy(0, rows, seen)
                count = count.new_zeros(len(own), count.shape[1]).index_copy(0, rows, count)
            states.append(seen)
            counts.append(count)
            owners += [number] * seen.shape[1]
        if not states:
            states, counts = [features.new_zeros(len(features), 0, self.size)], [features.new_zeros(len(features), 0)]
        expert_of = torch.tensor(owners, dtype=torch.int64, device=features.device)
        return Mixed(torch.cat(states, 1), torch.cat(counts, 1), expert_of, gates, weights > 0)


def balance_loss(gates: Tensor) -> Tensor:
    """How unequally the experts are used: the squared coefficient of variation of their mean gates (Shazeer et al.,
    arXiv:1701.06538). (B, E) → a scalar of 0 or more; 0 for a single expert."""
    if gates.shape[1] < 2:
        return gates.new_zeros(())
    load = gates.mean(0)
    return load.var(unbiased=False) / load.mean().square().clamp_min(1e-9)


def pick_rows(given: Any, rows: Tensor) -> Any:
    """The given rows of a tensor, of the subgraphs of a GraphBatch, or of each part of a tuple; None stays."""
    if given is None:
        return None
    if isinstance(given, tuple):
        return tuple(pick_rows(part, rows) for part in given)
    return _pick_graphs(given, rows) if isinstance(given, GraphBatch) else given.index_select(0, rows)


def _pick_graphs(batch: GraphBatch, rows: Tensor) -> GraphBatch:
    """Some subgraphs; ``rows`` ascend."""
    kept = torch.zeros(batch.num_graphs, dtype=torch.bool, device=rows.device)
    kept[rows] = True
    nodes = kept[batch.graph]
    edges = nodes[batch.edges[0]]
    node_place, graph_place = nodes.long().cumsum(0) - 1, kept.long().cumsum(0) - 1
    return GraphBatch(
        nodes=batch.nodes[nodes],
        start_nodes=batch.start_nodes[nodes],
        depths=batch.depths[nodes],
        graph=graph_place[batch.graph[nodes]],
        edges=node_place[batch.edges[:, edges]],
        relations=batch.relations[edges],
        edge_features=batch.edge_features[edges],
        num_graphs=len(rows),
    )


def _as_tuple(given: Any) -> tuple[Any, ...]:
    return given if isinstance(given, tuple) else (given,)
