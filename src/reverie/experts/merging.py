"""Experts in the weights of their base: for many rows with the same experts, and for slow plain checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from reverie.errors import ExpertError, shorten
from reverie.experts.contract import Adapter

__all__ = ["merged_weights"]


def merged_weights(
    base: nn.Module | Mapping[str, Tensor], experts: Iterable[tuple[Adapter, float]]
) -> dict[str, Tensor]:
    """What changes in a base under weighted experts: key of its state dict → weight + Σ share · up @ down.

    ``base``: a module or its state dict, which stays as it is. Linears (out, in) and convolutions (out, in, h, w).
    Raises ExpertError for an adapter that changes what the base does not have, or that has another shape.
    """
    state = base.state_dict() if isinstance(base, nn.Module) else base
    merged: dict[str, Tensor] = {}
    for adapter, share in experts:
        for linear, factors in adapter.factors.items():
            key, down, up = f"{linear}.weight", factors.down, factors.up
            if key not in state:
                raise ExpertError(f"the adapter changes '{shorten(linear)}', which this base does not have")
            weight = merged.get(key, state[key])
            if (up.shape[0], *down.shape[1:]) != tuple(weight.shape) or up.flatten(1).shape[1] != len(down):
                raise ExpertError(
                    f"the adapter does not fit: {shorten(linear)} is {tuple(weight.shape)} in this base, its factors "
                    f"are {tuple(down.shape)} and {tuple(up.shape)}"
                )
            product = up.flatten(1).to(weight), down.flatten(1).to(weight)
            merged[key] = torch.addmm(weight.flatten(1), *product, alpha=share).view(weight.shape)
    return merged
