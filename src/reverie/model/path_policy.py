"""Which edge to follow next: a policy over the edges that lead out of a node, given a question, and a way to stop.

It walks on what ``GraphAttention`` made of a subgraph, as MINERVA does (Das et al., arXiv 1711.05851). Paths are
simple: they never come back to a node. Taught by evidence paths here; ``sample`` keeps the gradient of its
log-probabilities, which is what REINFORCE needs.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.errors import ConfigError, UsageError
from reverie.model.graph_attention import Encoded, initialise, load_weights, read_config, save_network

__all__ = ["PathPolicy", "PathPolicyConfig", "PathState", "Paths", "Steps"]


@dataclass(frozen=True)
class PathPolicyConfig:
    """Sizes of the policy."""

    node_size: int = 32  # hidden_size of the graph network that it walks on
    edge_size: int = 0  # features of an edge
    hidden_size: int = 32  # what it remembers of the path so far, H
    max_steps: int = 4  # longest path, in edges

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = 0 if name == "edge_size" else 1
            if not isinstance(value, int) or value < least:
                raise ConfigError(f"path {name} is a whole number of at least {least}, got {value!r}")


@dataclass(frozen=True)
class PathState:
    """P paths on their way, t steps long; ``done`` ones wait."""

    encoded: Encoded
    order: Tensor  # int64 (2E,): ways in order of the node they leave; way w < E is edge w, w - E the inverse of edge w
    offsets: Tensor  # int64 (N + 1,): where each node's begin in ``order``
    memory: Tensor  # (P, H)
    nodes: Tensor  # int64 (P, t + 1): nodes so far; after stopping the last one again
    edges: Tensor  # int64 (P, t): edges so far; -1 after stopping
    done: Tensor  # bool (P,)

    def pick(self, rows: Tensor) -> PathState:
        """The paths ``rows``, in that order."""
        kept = {name: getattr(self, name)[rows] for name in ("memory", "nodes", "edges", "done")}
        return replace(self, **kept)


@dataclass(frozen=True)
class Steps:
    """Everything that P paths may do next: each may stop, and follow ways to nodes that it has not seen."""

    rows: Tensor  # int64 (M,): which path
    edges: Tensor  # int64 (M,): which edge; -1: stop
    targets: Tensor  # int64 (M,): the node it leads to; of stopping, the node where the path is
    vectors: Tensor  # (M, H)
    log_probs: Tensor  # (M,) in nats; of a path's steps they sum to 1


@dataclass(frozen=True)
class Paths:
    """P finished paths of at most T edges. ``log_probs`` are in nats, with the stop; -1 fills up ``edges``."""

    starts: Tensor  # int64 (P,): which of the given starts
    nodes: Tensor  # int64 (P, T + 1)
    edges: Tensor  # int64 (P, T)
    log_probs: Tensor  # (P,)


class PathPolicy(nn.Module):
    """``generator`` seeds the initial weights; without one they come from torch's global generator."""

    def __init__(self, config: PathPolicyConfig, generator: torch.Generator | None = None):
        super().__init__()
        self.config = config
        node, size = config.node_size, config.hidden_size
        self.begin = nn.Linear(2 * node, size)
        self.way = nn.Linear(2 * node + config.edge_size, size)
        self.stay = nn.Linear(node, size)
        self.remember = nn.GRUCell(size, size)
        self.choose = nn.Linear(2 * size, size)
        self.logit_head = nn.Linear(size, 1)
        initialise(self, generator)

    def start(self, encoded: Encoded, starts: Tensor) -> PathState:
        """Paths at the nodes ``starts`` int64 (P,). Raises UsageError where there is no such node."""
        batch = encoded.batch
        if len(starts) and not 0 <= int(starts.min()) <= int(starts.max()) < batch.num_nodes:
            raise UsageError(f"a path must start at a node in [0, {batch.num_nodes}), got {starts.tolist()[:8]}")
        sources = batch.edges.flatten()
        counts = torch.bincount(sources, minlength=batch.num_nodes)
        asked = encoded.question.index_select(0, batch.graph.index_select(0, starts))
        memory = torch.tanh(self.begin(torch.cat((asked, encoded.nodes.index_select(0, starts)), 1)))
        return PathState(
            encoded,
            torch.argsort(sources, stable=True),
            torch.cat((counts.new_zeros(1), counts.cumsum(0))),
            memory,
            starts.unsqueeze(1),
            starts.new_zeros(len(starts), 0),
            torch.zeros_like(starts, dtype=torch.bool),
        )

    def steps(self, state: PathState) -> Steps:
        """What the paths may do next, ordered by path; stopping comes first. Where nothing is left, only stopping."""
        batch, here = state.encoded.batch, state.nodes[:, -1]
        first, counts = state.offsets[here], state.offsets[here + 1] - state.offsets[here]
        going = ~state.done if state.edges.shape[1] < self.config.max_steps else torch.zeros_like(state.done)
        counts = counts * going
        paths = torch.arange(len(here), device=here.device)
        rows = paths.repeat_interleave(counts)
        slots = torch.arange(len(rows), device=here.device) - (counts.cumsum(0) - counts - first)[rows]
        ways = state.order[slots]
        targets = batch.edges.flip(0).flatten()[ways]
        new = (state.nodes[rows] != targets.unsqueeze(1)).all(1)
        rows, ways, targets = rows[new], ways[new], targets[new]
        edges = ways % max(batch.num_edges, 1)
        parts = (state.encoded.relations[ways], state.encoded.nodes[targets], batch.edge_features[edges])
        vectors = torch.cat((self.stay(state.encoded.nodes[here]), self.way(torch.cat(parts, 1))))
        rows = torch.cat((paths, rows))
        order = torch.argsort(rows, stable=True)
        rows, vectors = rows[order], vectors[order]
        hidden = F.gelu(self.choose(torch.cat((vectors, state.memory[rows]), 1)))
        logits = self.logit_head(hidden).squeeze(1)
        log_probs = logits - segment_logsumexp(logits, rows, len(here))[rows]
        stops = torch.full_like(here, -1)
        return Steps(rows, torch.cat((stops, edges))[order], torch.cat((here, targets))[order], vectors, log_probs)

    def follow(self, state: PathState, steps: Steps, chosen: Tensor) -> PathState:
        """The paths after the steps ``chosen`` int64 (P',), rows of ``steps``; a path may go on in several ways."""
        state = state.pick(steps.rows[chosen])
        edges, targets = steps.edges[chosen], steps.targets[chosen]
        done = state.done | (edges < 0)
        memory = self.remember(steps.vectors[chosen], state.memory)
        return replace(
            state,
            memory=torch.where(done.unsqueeze(1), state.memory, memory),
            nodes=torch.cat((state.nodes, targets.unsqueeze(1)), 1),
            edges=torch.cat((state.edges, edges.unsqueeze(1)), 1),
            done=done,
        )

    def log_probs(self, encoded: Encoded, starts: Tensor, edges: Tensor) -> Tensor:
        """Log-probability in nats (P,) of following ``edges`` int64 (P, T) from ``starts``, then stopping at -1.

        Raises UsageError for a path that this policy cannot walk: too long, broken, or back at a node.
        """
        stop = edges.new_full((len(edges), 1), -1)
        state, total = self.start(encoded, starts), encoded.nodes.new_zeros(len(starts))
        for step in torch.cat((edges, stop), 1).unbind(1):
            steps = self.steps(state)
            fits = (steps.edges == step[steps.rows]).nonzero().squeeze(1)
            rows = steps.rows[fits]
            if not torch.equal(rows, torch.arange(len(starts), device=rows.device)):
                raise UsageError(
                    f"a path cannot be walked: at most {self.config.max_steps} edges, each from the last one's end, "
                    "to a new node"
                )
            total = total + steps.log_probs[fits]
            state = self.follow(state, steps, fits)
        return total

    def sample(self, encoded: Encoded, starts: Tensor, generator: torch.Generator) -> Paths:
        """One path from each start, drawn by ``generator`` (of the CPU)."""
        state, total = self.start(encoded, starts), encoded.nodes.new_zeros(len(starts))
        while not state.done.all():
            steps = self.steps(state)
            noise = torch.rand(len(steps.rows), generator=generator).clamp_min(1e-20).to(total.device)
            drawn = steps.log_probs.detach() - (-noise.log()).log()  # Gumbel: its maximum is a draw
            chosen = _best(drawn, steps.rows, 1)
            total = total + steps.log_probs[chosen]
            state = self.follow(state, steps, chosen)
        return Paths(torch.arange(len(starts), device=starts.device), state.nodes, state.edges, total)

    @torch.no_grad()
    def beam(self, encoded: Encoded, starts: Tensor, width: int) -> Paths:
        """The likeliest paths from each start that a beam of ``width`` finds; by start, then likeliest first."""
        if width < 1:
            raise UsageError(f"a beam is at least 1 wide, got {width}")
        state, total = self.start(encoded, starts), encoded.nodes.new_zeros(len(starts))
        origin = torch.arange(len(starts), device=starts.device)
        while not state.done.all():
            steps = self.steps(state)
            totals = total[steps.rows] + steps.log_probs
            chosen = _best(totals, origin[steps.rows], width)
            state, total, origin = self.follow(state, steps, chosen), totals[chosen], origin[steps.rows[chosen]]
        best = _best(total, origin, width)
        return Paths(origin[best], state.nodes[best], state.edges[best], total[best])

    def save(self, folder: str | Path) -> None:
        """Writes ``config.json`` and ``model.safetensors`` (float32)."""
        save_network(self, self.config, folder)

    @classmethod
    def load(cls, folder: str | Path) -> PathPolicy:
        """Reads such a folder. Raises BundleError when it is damaged, truncated or of another kind."""
        return load_weights(cls(read_config(PathPolicyConfig, folder)), folder)


def segment_logsumexp(values: Tensor, rows: Tensor, size: int) -> Tensor:
    """log of the sum of exp of ``values`` (n,) with the same entry of ``rows`` (n,): (size,), -inf where none is."""
    top = values.new_full((size,), -torch.inf).scatter_reduce(0, rows, values.detach(), "amax")
    top = top.masked_fill(top.isinf(), 0)
    return values.new_zeros(size).index_add(0, rows, (values - top[rows]).exp()).log() + top


def _best(values: Tensor, groups: Tensor, width: int) -> Tensor:
    """Rows of the ``width`` greatest values of each group, by group, then greatest first."""
    order = torch.argsort(values, descending=True, stable=True)
    order = order[torch.argsort(groups[order], stable=True)]
    ordered = groups[order]
    counts = torch.bincount(ordered)
    rank = torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[ordered]
    return order[rank < width]
