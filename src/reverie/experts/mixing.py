"""Weighted sums of experts as one of a given rank: where a new one can start from (LoraHub, arXiv 2307.13269)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from reverie.errors import ConfigError, ExpertError
from reverie.experts.contract import Adapter, Factors
from reverie.experts.files import load_adapter

__all__ = ["mixed", "read_mixed"]


def mixed(experts: Sequence[tuple[Adapter, float]], rank: int) -> Adapter:
    """Σ weight · up @ down of every linear that one of them changes, as the nearest factors of at most ``rank``.

    What has no larger rank already is kept as it is. Raises ExpertError where two change one linear in two shapes.
    """
    if not experts or rank < 1:
        raise ExpertError("a mixture needs at least one expert, and a rank of at least 1")
    linears = {name: None for adapter, _ in experts for name in adapter.factors}
    return Adapter({name: _sum(name, experts, rank) for name in linears})


def read_mixed(said: Sequence[str], rank: int) -> Adapter:
    """``mixed`` of experts' folders, each given as DIR or DIR=WEIGHT. Raises ConfigError, ExpertError."""
    experts = []
    for one in said:
        folder, _, weight = one.partition("=")
        try:
            experts.append((load_adapter(Path(folder)), float(weight) if weight else 1.0))
        except ValueError as error:
            raise ConfigError(f"an expert to start from is DIR or DIR=WEIGHT, got '{one}'") from error
    return mixed(experts, rank)


def _sum(linear: str, experts: Sequence[tuple[Adapter, float]], rank: int) -> Factors:
    parts = [(adapter.factors[linear], weight) for adapter, weight in experts if linear in adapter.factors]
    try:
        down = torch.cat([one.down for one, _ in parts])  # (R, in)
        up = torch.cat([one.up * weight for one, weight in parts], 1)  # (out, R)
    except RuntimeError as error:
        raise ExpertError(f"the experts cannot be mixed: they change {linear} in different shapes") from error
    return Factors(down, up) if len(down) <= rank else Factors(*_cut(down, up, rank))


def _cut(down: Tensor, up: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The nearest factors of that rank, without making the (out, in) matrix; both sides share the lengths."""
    left, inner = torch.linalg.qr(up)
    right, outer = torch.linalg.qr(down.T)
    u, lengths, v = torch.linalg.svd(inner @ outer.T)
    size = lengths[:rank].sqrt()
    return (right @ (v[:rank].T * size)).T.contiguous(), (left @ (u[:, :rank] * size)).contiguous()
