"""Who goes along: experts with their weights, one by one or as one adapter that gives their weighted sum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reverie.errors import UsageError, shorten
from reverie.experts.contract import Adapter, Choice, Factors, check_choice

if TYPE_CHECKING:
    from reverie.experts.library import Library

__all__ = ["joined", "parse_experts", "resolve_experts"]


def parse_experts(said: str) -> Choice:
    """``causal@1,spatial@0.5`` (a weight that is not said is 1). Raises UsageError."""
    choice = []
    for part in filter(None, (one.strip() for one in said.split(","))):
        name, at, weight = part.partition("@")
        try:
            share = float(weight) if at else 1.0
        except ValueError:
            share = math.nan
        if not math.isfinite(share):
            raise UsageError(f"experts are named as causal@1,spatial@0.5; got '{shorten(part)}'")
        choice.append((name, share))
    return check_choice(choice)


def resolve_experts(library: Library, choice: Choice) -> list[tuple[str, float, Adapter]]:
    """Each with its adapter. Raises UnknownNameError, and ExpertError where one is damaged or does not fit."""
    return [(name, share, library.adapter(name)) for name, share in choice]


def joined(experts: Sequence[tuple[str, float, Adapter]]) -> Adapter:
    """One adapter that gives exactly the weighted sum: factors side by side, ranks added up."""
    import torch

    linears = dict.fromkeys(linear for _, _, adapter in experts for linear in adapter.factors)
    factors = {}
    for linear in linears:
        parts = [(share, one.factors[linear]) for _, share, one in experts if linear in one.factors]
        down = torch.cat([part.down for _, part in parts], 0)
        factors[linear] = Factors(down, torch.cat([share * part.up for share, part in parts], 1))
    return Adapter(factors)
