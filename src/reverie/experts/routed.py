"""What chosen experts add to a linear: each row of a batch may have several, with weights, and other rows others.

Four ways, one answer, which is that of ``routed_plain``:

- ``loop``: compiled, expert by expert over the rows that have it; on a CPU, in float32, without gradients.
- ``concatenated``: one product with the ranks of all experts, then a mask that is 0 for those that a row has not;
  wasteful, but two products only, so good where few experts are shared by many rows.
- ``segments``: rows sorted by expert, two products an expert.
- ``grouped``: the same in two products in all, as GPUs have them for mixtures of experts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.experts.contract import ResolvedExperts
from reverie.experts.stacked import StackedFactors

__all__ = ["Order", "concatenated", "grouped", "loop", "placed", "routed", "routed_plain", "segments"]

WASTE = 4  # concatenated ranks are faster than segments up to so many times the products that are needed


def routed(x: Tensor, slots: StackedFactors, experts: Tensor, weights: Tensor) -> Tensor:
    """What the experts of each row add to it: (N, out). Differentiable in x, the factors and the weights.

    Args:
        x: float (N, in)
        slots: the experts' factors
        experts: int64 (N, k), places in ``slots``; -1 is none
        weights: float (N, k)
    """
    tensors = (x, slots.down, slots.up, weights)
    learning = torch.is_grad_enabled() and any(each.requires_grad for each in tensors)
    if not learning and all(each.device.type == "cpu" and each.dtype == torch.float32 for each in tensors):
        return loop(x, slots, Order.of(experts, weights, slots.num_experts))
    if slots.num_experts <= WASTE * experts.shape[1]:
        return concatenated(x, slots, experts, weights)
    return (grouped if _fits_groups(x, slots) else segments)(x, slots, experts, weights)


def routed_plain(x: Tensor, slots: StackedFactors, experts: Tensor, weights: Tensor) -> Tensor:
    """What ``routed`` gives, one expert after the other."""
    parts = [x.new_zeros(len(x), width) for width in slots.widths]
    for expert in range(slots.num_experts):
        weight = torch.where(experts == expert, weights, 0.0).sum(1, keepdim=True)
        for part in range(slots.parts):
            ranks = slots.of(expert, part)
            parts[part] = parts[part] + weight * (x @ slots.down[ranks].t() @ slots.up[ranks, : slots.widths[part]])
    return torch.cat(parts, 1)


def placed(experts: Sequence[ResolvedExperts], members: Sequence[tuple[str, str]]) -> tuple[Tensor, Tensor]:
    """The experts of rows as places among ``members``, int64 (N, k) with -1 for none, and their weights (N, k)."""
    places = {member: place for place, member in enumerate(members)}
    chosen = torch.full((len(experts), max(map(len, experts))), -1)
    weights = torch.zeros(chosen.shape)
    for row, of_row in enumerate(experts):
        for column, (name, weight, key) in enumerate(of_row):
            chosen[row, column], weights[row, column] = places[name, key], weight
    return chosen, weights


@dataclass(frozen=True, eq=False)
class Order:
    """Rows in groups that have the same experts: what the loop reads."""

    rows: np.ndarray  # int64 (M,)
    bounds: np.ndarray  # int64 (G + 1,): the rows of group g are bounds[g] to bounds[g + 1]
    experts: np.ndarray  # int64 (G, K): of each group; -1 from where it has no more
    scales: np.ndarray  # float32 (M, K): their weights

    @classmethod
    def of(cls, experts: Tensor, weights: Tensor, num_experts: int) -> Order:
        """A group an expert, with the rows that have it."""
        flat = experts.numpy().ravel()
        pairs = np.argsort(flat, kind="stable")
        bounds = np.searchsorted(flat[pairs], np.arange(num_experts + 1))
        scales = weights.detach().numpy().reshape(-1, 1)[pairs]
        return cls(pairs // max(experts.shape[1], 1), bounds, np.arange(num_experts)[:, None], scales)

    @classmethod
    def alike(cls, experts: Tensor, weights: Tensor, num_rows: int) -> Order:
        """One group: all rows have the same experts (k,), none of them twice, with the same weights (k,)."""
        chosen = (experts >= 0).numpy()
        scales = np.broadcast_to(weights.numpy()[chosen], (num_rows, chosen.sum())).copy()
        return cls(np.arange(num_rows), np.array([0, num_rows]), experts.numpy()[None, chosen], scales)


def loop(x: Tensor, slots: StackedFactors, order: Order, out: Tensor | None = None) -> Tensor:
    """Adds to ``out`` (N, out), float32 and contiguous, where it is given."""
    from reverie.experts.loops import add_routed

    if out is None:
        out = x.new_zeros(len(x), slots.out_features)
    given = x.detach().contiguous().numpy()
    add_routed(given, *slots.arrays, order.rows, order.bounds, order.experts, order.scales, out.numpy())
    return out


def concatenated(x: Tensor, slots: StackedFactors, experts: Tensor, weights: Tensor) -> Tensor:
    chosen = torch.where(experts >= 0, weights, 0.0).to(x.dtype)
    gates = x.new_zeros(len(x), slots.num_experts).scatter_add(1, experts.clamp_min(0), chosen)  # (N, S)
    ranks = slots.starts.diff()
    inner = x @ slots.down.t() * gates.repeat(1, slots.parts).repeat_interleave(ranks, 1)
    spans = slots.starts[:: max(slots.num_experts, 1)].tolist()
    both = zip(pairwise(spans), slots.widths, strict=True)
    return torch.cat([inner[:, a:b] @ slots.up[a:b, :width] for (a, b), width in both], 1)


def segments(x: Tensor, slots: StackedFactors, experts: Tensor, weights: Tensor) -> Tensor:
    rows, scales, counts = _sorted_pairs(experts, weights, slots.num_experts)
    out, start = x.new_zeros(len(x), slots.out_features), 0
    for expert, count in enumerate(counts.tolist()):
        if count:
            pairs = slice(start, start + count)
            inputs = x[rows[pairs]] * scales[pairs, None].to(x.dtype)
            ranks = [(slots.of(expert, part), width) for part, width in enumerate(slots.widths)]
            added = torch.cat([inputs @ slots.down[each].t() @ slots.up[each, :width] for each, width in ranks], 1)
            out = out.index_add(0, rows[pairs], added)
            start += count
    return out


def grouped(x: Tensor, slots: StackedFactors, experts: Tensor, weights: Tensor) -> Tensor:
    """Widths must be multiples of 16 bytes. Nothing here waits for the GPU but the width of the ranks."""
    rows, scales, counts = _sorted_pairs(experts, weights, slots.num_experts)
    ends = counts.cumsum(0).to(torch.int32)
    chosen = (
        torch.arange(len(rows), device=x.device)[:, None] < ends[-1]
    )  # what follows has no expert: nothing is written there, nor a gradient
    inputs = torch.where(chosen, x[rows] * scales[:, None].to(x.dtype), 0.0)
    ranks = slots.starts.diff().view(slots.parts, -1)  # (P, S)
    steps = torch.arange(-(-int(ranks.max()) // 8) * 8, device=x.device)
    there = steps < ranks[..., None]  # (P, S, R): all experts' ranks filled up to the most that one has
    places = torch.where(there, slots.starts[:-1].view(slots.parts, -1, 1) + steps, 0)
    added = []
    for place, real, width in zip(places, there, slots.widths, strict=True):
        down = slots.down[place] * real[..., None]  # (S, R, in)
        inner = F.grouped_mm(inputs, down.transpose(1, 2), offs=ends)
        added.append(F.grouped_mm(torch.where(chosen, inner, 0.0), slots.up[place], offs=ends)[:, :width])
    return x.new_zeros(len(x), slots.out_features).index_add(0, rows, torch.where(chosen, torch.cat(added, 1), 0.0))


def _fits_groups(x: Tensor, slots: StackedFactors) -> bool:
    aligned = x.shape[1] % 8 == 0 and slots.up.shape[1] % 8 == 0
    fast = x.is_cuda and x.dtype == torch.bfloat16 and torch.cuda.get_device_capability(x.device) >= (8, 0)
    return fast and aligned and len(slots.down) > 0


def _sorted_pairs(experts: Tensor, weights: Tensor, num_experts: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows (M,) and weights (M,) of all pairs of a row and an expert, sorted by expert, and how many each has (S,).

    Pairs without an expert come last.
    """
    flat = torch.where(experts >= 0, experts, num_experts).flatten()
    order = flat.argsort(stable=True)
    return order // experts.shape[1], weights.flatten()[order], flat.bincount(minlength=num_experts + 1)[:-1]
