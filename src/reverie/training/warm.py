"""Where a new expert can start: a weighted mixture of experts, chosen by a few examples (LoraHub, arXiv 2307.13269).

The experts that help most alone are mixed; the weights of the mixture are found by a few steps down the slope, which
is measured by differences: there are a handful of weights, and a difference sees the cut to a rank, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from reverie.errors import ConfigError
from reverie.experts.contract import Adapter
from reverie.experts.mixing import mixed
from reverie.training.adapted import Adapted, documents_of
from reverie.training.documents import bucketed

__all__ = ["WarmConfig", "WarmStart", "warm_start"]

_APART = 0.05  # of two weights whose difference tells the slope


@dataclass(frozen=True)
class WarmConfig:
    """How a mixture is chosen."""

    most: int = 3  # experts that are mixed
    steps: int = 6  # of gradient descent on their weights; 0: the best one alone
    lr: float = 0.3  # how far a weight moves in a step, at most
    shrink: float = 0.05  # nats an id for each whole weight (L1), against mixtures that fit few examples by chance
    helps: float = 0.05  # nats an id by which it must be better than nothing

    def __post_init__(self) -> None:
        if self.most < 1 or self.steps < 0 or not self.lr > 0 or self.shrink < 0:
            raise ConfigError("a warm start mixes at least 1 expert, in 0 or more steps, with a lr above 0")


@dataclass(frozen=True)
class WarmStart:
    """A mixture: its factors, the weight of each expert, and nats an id of the examples with it and with nothing."""

    adapter: Adapter
    weights: Mapping[str, float]
    loss: float
    bare: float


def warm_start(
    adapted: Adapted,
    experts: Mapping[str, Adapter],
    examples: Sequence[tuple[str, str]],
    config: WarmConfig | None = None,
) -> WarmStart | None:
    """The mixture of ``experts`` that says ``examples`` best; None where none is better than nothing.

    The changes of ``adapted`` are others after that.
    """
    config, rank = config or WarmConfig(), adapted.lora.rank
    batch = bucketed(documents_of(adapted.prompter, examples), 1)
    fitting = {name: one for name, one in experts.items() if one.factors.keys() <= adapted.changes.keys()}

    def made(weights: Mapping[str, float]) -> Adapter | None:
        some = [(fitting[name], share) for name, share in weights.items() if share]
        return mixed(some, rank) if some else None

    def loss(weights: Mapping[str, float]) -> float:
        adapted.put(made(weights))
        with torch.no_grad():
            return float(adapted.losses(batch)["loss"])

    bare, alone = loss({}), sorted((loss({name: 1.0}), name) for name in fitting)[: config.most]
    if not alone:
        return None
    weights = {name: float(not place) for place, (_, name) in enumerate(alone)}
    best, best_loss, best_cost = weights, alone[0][0], alone[0][0] + config.shrink
    for _ in range(config.steps):
        slopes = _slopes(loss, weights)
        steepest = max(map(abs, slopes.values())) or 1.0
        weights = {name: _shrunk(one - config.lr * slopes[name] / steepest, config) for name, one in weights.items()}
        now = loss(weights)
        if (cost := now + config.shrink * sum(map(abs, weights.values()))) < best_cost:
            best, best_loss, best_cost = weights, now, cost
    adapter = made(best)
    if adapter is None or bare - best_loss < config.helps:
        return None
    return WarmStart(adapter, {name: share for name, share in best.items() if share}, best_loss, bare)


def _shrunk(weight: float, config: WarmConfig) -> float:
    return math.copysign(max(abs(weight) - config.shrink * config.lr, 0.0), weight)


def _slopes(loss: Callable[[Mapping[str, float]], float], weights: Mapping[str, float]) -> dict[str, float]:
    """d loss / d weight of each expert, where the mixture stands."""
    return {
        name: (loss({**weights, name: share + _APART}) - loss({**weights, name: share - _APART})) / (2 * _APART)
        for name, share in weights.items()
    }
