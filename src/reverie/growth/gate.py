"""The gate of a new expert: a prototype of its questions, drawn in where questions of others would be let in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from reverie.experts.prototypes import Prototype
from reverie.experts.router import RouterConfig
from reverie.learning.guard import Guard, prototype_of

__all__ = ["drawn_in", "gate_of"]

_OWN = 0.98  # of its own questions, which it lets in whoever else comes along


def gate_of(guard: Guard, taught: Sequence[str], held: Sequence[str], others: Tensor) -> Prototype:
    """A gate for ``taught`` questions and the like, of which it did not see ``held``. ``others``: features (n, D) of
    questions that are not to be let in."""
    own = guard.features([*held, *taught])
    return drawn_in(prototype_of(guard, taught), own, others)


def drawn_in(gate: Prototype, own: Tensor, others: Tensor) -> Prototype:
    """``gate`` with a limit half-way between the last of ``own`` rows and the first of the ``others``; where these lie
    mixed, the limit still lets ``_OWN`` of its own rows in, and steeper, so that it is the same limit for everybody."""
    past = math.log(1 / RouterConfig().threshold - 1) / float(gate.slope)  # a gate is open a little past its limit
    reach = float(gate.limit) + past
    if not len(others) or (nearest := float(gate.distances(others).min())) > reach:
        return gate
    last = float(gate.distances(own).quantile(_OWN))
    return replace(gate, limit=torch.tensor(min((last + nearest) / 2 if last < nearest else last, reach) - past))
