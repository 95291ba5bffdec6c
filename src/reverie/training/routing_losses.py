"""What a router is trained to do: open the gates of the experts that lower a row's loss, and spread the work."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from reverie.experts.router import RouterConfig, capacity_of
from reverie.training.routing_table import NOBODY, UNKNOWN

__all__ = ["Targets", "balance_loss", "capacity_loss", "gate_targets", "router_loss"]

Targets = Literal["gain", "owner"]


def gate_targets(
    nats: Tensor, owners: Tensor, margin: float = 0.05, share: float = 0.9, kind: Targets = "gain"
) -> Tensor:
    """Which gates should open: float (B, E) of 0 and 1, from nats (B, E + 1) and owners (B,).

    ``gain``: experts that lower the base's loss by at least ``margin`` nats an id, and by at least ``share`` of what
    the best one does. ``owner``: the row's own expert, where it is known. Rows of NOBODY open none: an expert that
    has only learned how answers look lowers their loss, too, without knowing them.
    """
    gains = nats[:, :1] - nats[:, 1:]
    best = gains.amax(1, keepdim=True)
    wanted = ((gains >= margin) & (gains >= share * best)).float()
    if kind == "owner":
        own = F.one_hot(owners.clamp_min(0), gains.shape[1]).float()
        wanted = torch.where((owners == UNKNOWN)[:, None], wanted, own)
    return wanted * (owners != NOBODY)[:, None]


def balance_loss(gates: Tensor, threshold: float) -> Tensor:
    """E · Σ f p over experts, f an expert's share of the choices and p its share of the gates' sum: 1 when the work is
    spread evenly, E when one does all of it (Switch Transformer, arXiv 2101.03961, with sigmoid gates).

    Gates (N, E). Where no gate is open the gates' own shares stand for the choices.
    """
    open_ = (gates >= threshold).float().sum(0)
    mass = gates.sum(0)
    shares = mass / mass.sum().clamp_min(1e-12)
    chosen = open_ / open_.sum() if open_.sum() > 0 else shares.detach()
    return gates.shape[1] * (chosen * shares).sum()


def capacity_loss(gates: Tensor, config: RouterConfig) -> Tensor:
    """How far the sums of gates (N, E) exceed the capacity, as a share of the rows: 0 where none does."""
    open_ = gates >= config.threshold
    return (gates.sum(0) - capacity_of(open_, config)).clamp_min(0).sum() / max(len(gates), 1)


def router_loss(logits: Tensor, targets: Tensor, config: RouterConfig) -> dict[str, Tensor]:
    """``loss`` and its parts for logits and targets (N, E): independent sigmoids, summed over experts."""
    gates = logits.sigmoid()
    parts = {"gate": F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1).mean()}
    loss = parts["gate"]
    if config.balance_weight:
        parts["balance"] = balance_loss(gates, config.threshold)
        loss = loss + config.balance_weight * parts["balance"]
    if config.capacity_weight and config.capacity_factor:
        parts["capacity"] = capacity_loss(gates, config)
        loss = loss + config.capacity_weight * parts["capacity"]
    return {"loss": loss, **{name: part.detach() for name, part in parts.items()}}
