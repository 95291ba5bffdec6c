"""Trainable low-rank changes of a frozen base's linears: LoRA (arXiv 2106.09685).

In our own backbone the change is added to the weight whenever the weight is read, so that its fused products and
its hand-written backward stay as they are. In bases made elsewhere it is added beside the linear, see ``tuning``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from reverie.errors import ConfigError, nearest
from reverie.experts.contract import Adapter, Factors
from reverie.experts.inject import linears_of
from reverie.experts.tuning import hang
from reverie.model import Backbone
from reverie.model.transformers_base import TransformersBackbone

__all__ = ["LoraConfig", "LowRank", "attach", "detach"]


@dataclass(frozen=True)
class LoraConfig:
    """The shape of a new adapter."""

    rank: int = 8
    alpha: float = 16.0  # the change is scaled by alpha / rank
    targets: tuple[str, ...] = ()  # last parts of the linears' names, such as q_proj; none: all but the output's
    dropout: float = 0.0  # of what the factors read; bases made elsewhere only

    def __post_init__(self) -> None:
        if self.rank < 1 or not self.alpha > 0 or not 0 <= self.dropout < 1:
            raise ConfigError(
                f"LoRA needs a rank of at least 1, an alpha above 0 and a dropout below 1, got {self.rank}, "
                f"{self.alpha:g} and {self.dropout:g}"
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
    base: Backbone | TransformersBackbone, config: LoraConfig, generator: torch.Generator
) -> tuple[nn.Module, Callable[[], Adapter]]:
    """Freeze ``base`` and give its linears trainable changes, which act from now on.

    Returns the module that holds only what is trained, and a function that makes an Adapter of how it stands.
    Raises ConfigError for a target that the base does not have.
    """
    base.requires_grad_(False)
    if isinstance(base, TransformersBackbone):
        _ = base.plain_output  # tried now, once: with dropout it would draw, and find that two passes differ
        return _attach_elsewhere(base.base, config, generator)
    if config.dropout:
        raise ConfigError("LoRA's dropout is for bases made elsewhere; here the change is part of the weight")
    changes = {}
    for name, linear in _chosen(base, config.targets).items():
        changes[name] = LowRank(linear.out_features, linear.in_features, config, generator)
        parametrize.register_parametrization(linear, "weight", changes[name])
    return _held(changes), lambda: Adapter({name: change.factors() for name, change in changes.items()})


def _attach_elsewhere(
    model: nn.Module, config: LoraConfig, generator: torch.Generator
) -> tuple[nn.Module, Callable[[], Adapter]]:
    """The same beside the linears of a model of transformers, whose weights stay as they are kept."""
    changes = {}
    sizes = linears_of(model)
    for name, linear in _chosen(model, config.targets).items():
        changes[name] = LowRank(*sizes[name], config, generator).to(next(linear.parameters()).device)
    hang(model, changes, config.dropout)
    return _held(changes), lambda: Adapter({name: change.factors() for name, change in changes.items()})


def _held(parts: Mapping[str, nn.Module]) -> nn.Module:
    return nn.ModuleDict({name.replace(".", "/"): part for name, part in parts.items()})


def _chosen(base: nn.Module, targets: Sequence[str]) -> dict[str, Any]:
    """The linears whose names end in one of ``targets``, all but the output's without any."""
    kinds = (nn.Linear, *((conv,) if (conv := _conv1d()) else ()))
    linears = {name: each for name, each in base.named_modules() if isinstance(each, kinds)}
    known = {name.rsplit(".", 1)[-1] for name in linears}
    for target in targets:
        if target not in known:
            near = nearest(target, known)
            hint = f" Did you mean '{near}'?" if near else ""
            raise ConfigError(f"the base has no linear '{target}'.{hint} It has {', '.join(sorted(known))}.")
    wanted = set(targets) or known - {"lm_head", "embed_out"}
    return {name: each for name, each in linears.items() if name.rsplit(".", 1)[-1] in wanted}


def _conv1d() -> type[nn.Module] | None:
    """transformers' transposed linear, where transformers is loaded: no model has one otherwise."""
    utils = sys.modules.get("transformers.pytorch_utils")
    return getattr(utils, "Conv1D", None)


def detach(backbone: Backbone) -> None:
    """Take the changes away again; the weights are as they were."""
    for module in list(backbone.modules()):
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
