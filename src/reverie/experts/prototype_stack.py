"""The gates of many prototypes at once: those that are surely shut are found by a sketch, at a hundredth of the work.

A Gaussian's distance within a few directions is never more than its whole distance. So where a sketch of a few
directions, those in which the prototypes' means differ most, says that a gate is shut, nothing else is computed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.experts.prototypes import Prototype

__all__ = ["PrototypeStack"]

_WIDTH = 28  # directions of the sketch
_FEW = 64  # prototypes that are not worth one
_SURE = 1.0 - 1e-4  # of a sketched distance: what rounding may have added


@dataclass(frozen=True, eq=False)
class _Sketch:
    """The prototypes within ``directions`` (r, D)."""

    directions: Tensor
    means: Tensor  # (E, r)
    whitenings: Tensor  # (E, r, r): a difference times these has its distance as its length
    usable: Tensor  # bool (E,): not those of weights, nor what lets everything in

    def distances(self, features: Tensor) -> Tensor:
        """At most the true ones: (N, D) → (N, E)."""
        away = (features @ self.directions.T)[:, None] - self.means
        return torch.einsum("eij,nej->nei", self.whitenings, away).square().sum(-1).sqrt() * _SURE


class PrototypeStack:
    """``stack``: as ``stack_prototypes`` gives it."""

    def __init__(self, stack: Prototype):
        self.whole = stack
        self._sketch = _sketched(stack) if len(stack.mean) > _FEW else None

    def gates(self, features: Tensor, least: float = 0.0) -> Tensor:
        """(N, D) → (N, E) in [0, 1]. What is surely below ``least`` may be told as 0."""
        if self._sketch is None or not least or torch.is_grad_enabled():
            return _gates(self.whole, features)
        most = _open(self.whole, self._sketch.distances(features))
        near = ((most >= least) | ~self._sketch.usable).any(0).nonzero().squeeze(1)
        gates = features.new_zeros(len(features), len(self.whole.mean))
        if len(near):
            some = Prototype.of({name: tensor[near] for name, tensor in self.whole.tensors().items()})
            gates[:, near] = _gates(some, features)
        return gates


def _gates(stack: Prototype, features: Tensor) -> Tensor:
    return _open(stack, stack.distances(features))


def _open(stack: Prototype, distances: Tensor) -> Tensor:
    return (stack.slope * (stack.limit - distances)).sigmoid()


@torch.no_grad()
def _sketched(stack: Prototype) -> _Sketch:
    usable = stack.rest.isfinite() & (stack.slope > 0)
    means = stack.mean[usable] if usable.any() else stack.mean
    _, _, axes = torch.svd_lowrank((means - means.mean(0)) / stack.scale.mean(0), _WIDTH, niter=2)
    directions = torch.linalg.qr(axes / stack.scale.mean(0)[:, None]).Q.T  # (r, D)
    seen = directions * stack.scale[:, None]  # (E, r, D)
    along = torch.einsum("erd,ekd->erk", seen, stack.directions)
    rest = torch.where(usable, stack.rest, 1.0)
    more = (stack.variances - rest[:, None]).clamp_min(0)
    spread = torch.einsum("erk,ek,esk->ers", along, more, along) + rest[:, None, None] * seen @ seen.transpose(1, 2)
    whitenings = torch.linalg.inv(torch.linalg.cholesky(spread * stack.size))
    return _Sketch(directions, stack.mean @ directions.T, whitenings, usable)
