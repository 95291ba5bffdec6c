"""Routers of `bench routing` with one thing changed: threshold, balance, capacity, prototypes, outsiders, targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from reverie.experts.prototypes import Prototype, fit_prototype
from reverie.experts.router import Router
from reverie.training.routing_table import NOBODY, Table
from reverie_bench.contract import Figures
from reverie_bench.routing_figures import routing_figures
from reverie_bench.routing_stages import Rows, RunFolder

__all__ = ["ablations", "at_thresholds"]

_THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_CHANGES: dict[str, dict[str, Any]] = {
    "no_balance": {"balance_weight": 0.0},
    "balance_times_10": {"balance_weight": 0.1},
    "balance_times_100": {"balance_weight": 1.0},
    "no_capacity": {"capacity_weight": 0.0, "capacity_factor": 0.0},
    "capacity_times_100": {"capacity_weight": 1.0},
    "capacity_factor_1": {"capacity_factor": 1.0},
    "no_prototypes": {"prototypes": False},
    "no_bias": {"bias": False},
    "hidden_layer_64": {"hidden_size": 64},
    "topk_1": {"mode": "topk", "max_experts": 1},
}
_NO_OUTSIDERS = {"data.outsider_share": 0.0}


def at_thresholds(router: Router, table: Table, rows: Rows) -> dict[str, Figures]:
    """The same router with other thresholds."""
    usual, found = router.config, dict[str, Figures]()
    try:
        for threshold in _THRESHOLDS:
            router.config = replace(usual, threshold=threshold)
            found[f"threshold {threshold:g}"] = routing_figures(router.route(table.features), rows, table.names)
    finally:
        router.config = usual
    return found


def ablations(
    stages: RunFolder, learned: Table, gains: Callable[[], Table] | None, table: Table, rows: Rows
) -> dict[str, Figures]:
    """Routers trained otherwise on ``learned``. ``gains``: rows with their nats, for a router that is not told whose a
    row is, only which expert lowers its loss."""
    changes = {name: {f"data.router.{key}": each for key, each in one.items()} for name, one in _CHANGES.items()}
    changes["no_outsiders_in_training"] = dict(_NO_OUTSIDERS)
    changes["no_outsiders_no_prototypes"] = _NO_OUTSIDERS | {"data.router.prototypes": False}
    made: dict[str, Router] = {}
    for done, (name, change) in enumerate(changes.items()):
        stages.progress("ablations", done, len(changes) + 2)
        made[name] = stages.router(name, learned, change)
    if gains is not None:
        made["gain_targets"] = stages.router("gain_targets", gains(), {"data.targets": "gain"})
    found = {name: routing_figures(one.route(table.features), rows, table.names) for name, one in made.items()}
    found["later_experts"] = _later(stages, learned, table, rows)
    stages.progress("ablations", len(changes) + 2, len(changes) + 2)
    return {f"router {name}": figures for name, figures in found.items()}


def _later(stages: RunFolder, learned: Table, table: Table, rows: Rows) -> Figures:
    """A router trained on two thirds of the experts. The others came later: they have a prototype of their own rows,
    and nobody is trained again. ``later_accuracy``: of the rows of these."""
    later = range(2, len(table.names), 3)
    early = [place for place in range(len(table.names)) if place not in later]
    moved = {place: index for index, place in enumerate(early)} | {NOBODY: NOBODY}
    kept = torch.tensor([place for place, owner in enumerate(learned.owners.tolist()) if owner in moved])
    owners = torch.tensor([moved[owner] for owner in learned.owners[kept].tolist()])
    nats = learned.nats[kept][:, [0, *(place + 1 for place in early)]]
    names = tuple(table.names[place] for place in early)
    router = stages.router("early", Table(names, learned.features[kept], nats, owners, learned.base), {})
    config, others = router.config, dict[str, Prototype]()
    for place in later:
        rows_of = learned.features[learned.owners == place]
        others[table.names[place]] = fit_prototype(rows_of, config.prototype_rank, layers=config.layers)
    choices = router.with_prototypes(others).route(table.features)
    places = [place for place, owner in enumerate(rows.owners) if owner in later]
    mine = routing_figures([choices[place] for place in places], rows.some(places), table.names)
    return routing_figures(choices, rows, table.names) | {"later_accuracy": mine["routing_accuracy"]}
