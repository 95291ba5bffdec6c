"""Trainable low-rank changes of a frozen base's linears: LoRA (arXiv 2106.09685).

In our own backbone the change is added to the weight whenever the weight is read, so that its fused products and
its hand-written backward stay as they are. Other bases get PEFT's layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from reverie.errors import ConfigError, nearest
from reverie.experts.contract import Adapter, Factors
from reverie.model import Backbone

__all__ = ["LINEARS", "LoraConfig", "LowRank", "attach", "detach"]

LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class LoraConfig:
    """The shape of a new adapter."""

    rank: int = 8
    alpha: float = 16.0  # the change is scaled by alpha / rank
    targets: tuple[str, ...] = LINEARS  # last parts of the linears' names

    def __post_init__(self) -> None:
        if self.rank < 1 or not self.alpha > 0 or not self.targets:
            raise ConfigError(
                f"LoRA needs a rank of at least 1, an alpha above 0 and a target, got {self.rank}, {self.alpha:g} "
                f"and {list(self.targets)}"
            )


class LowRank(nn.Module):
    """weight (out, in) → weight + scale · up @ down. ``up`` starts at 0, so that an adapter starts as nothing."""

    def __init__(self, out_features: int, in_features: int, config: LoraConfig, generator: torch.Generator):
        super().__init__()
        bound = in_features**-0.5  # as nn.Linear, and PEFT after it, draws them
        down = torch.empty(config.rank, in_features).uniform_(-bound, bound, generator=generator)
        self.down, self.up = nn.Parameter(down), nn.Parameter(torch.zeros(out_features, config.rank))
        self.scale = config.alpha / config.rank

    def forward(self, weight: Tensor) -> Tensor:
        return torch.addmm(weight, self.up, self.down, alpha=self.scale)

    def factors(self) -> Factors:
        return Factors(self.down.detach().clone(), self.up.detach() * self.scale)


def attach(
    backbone: Backbone, config: LoraConfig, generator: torch.Generator
) -> tuple[nn.Module, Callable[[], Adapter]]:
    """Freeze ``backbone`` and give its linears trainable changes; they act until ``detach``.

    Returns the module that holds only what is trained, and a function that makes an Adapter of how it stands.
    """
    linears = {name: each for name, each in backbone.named_modules() if isinstance(each, nn.Linear)}
    chosen = {name: each for name, each in linears.items() if name.rsplit(".", 1)[-1] in config.targets}
    _check_targets(config.targets, {name.rsplit(".", 1)[-1] for name in linears})
    backbone.requires_grad_(False)
    changes = {}
    for name, linear in chosen.items():
        changes[name] = LowRank(linear.out_features, linear.in_features, config, generator)
        parametrize.register_parametrization(linear, "weight", changes[name])
    module = nn.ModuleDict({name.replace(".", "/"): change for name, change in changes.items()})
    return module, lambda: Adapter({name: change.factors() for name, change in changes.items()})


def detach(backbone: Backbone) -> None:
    """Take the changes away again; the weights are as they were."""
    for module in list(backbone.modules()):
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)


def _check_targets(targets: Sequence[str], known: set[str]) -> None:
    for target in targets:
        if target not in known:
            near = nearest(target, known)
            hint = f" Did you mean '{near}'?" if near else ""
            raise ConfigError(f"the base has no linear '{target}'.{hint} It has {', '.join(sorted(known))}.")
