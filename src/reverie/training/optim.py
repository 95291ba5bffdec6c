"""Optimizers, the learning-rate schedule, and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer

from reverie.training.settings import LoopConfig

__all__ = ["MovingAverage", "build_optimizers", "lr_fraction", "set_lr_fraction"]


def build_optimizers(module: nn.Module, config: LoopConfig) -> dict[str, Optimizer]:
    """AdamW, and Muon for the hidden matrices where ``config.muon_lr`` is set, by name.

    A parameter is a hidden matrix when it is 2-D, belongs to no ``nn.Embedding``, and neither "embed" nor "head" is
    part of its name. Frozen parameters are left out.
    """
    embeddings = {id(p) for m in module.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    trained = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    hidden, matrices, rest = [], [], []
    for name, parameter in trained:
        is_embedding = id(parameter) in embeddings or "embed" in name
        if config.muon_lr and parameter.ndim == 2 and not is_embedding and "head" not in name:
            hidden.append((name, parameter))
        elif parameter.ndim >= 2 and not is_embedding:
            matrices.append((name, parameter))
        else:
            rest.append((name, parameter))
    optimizers: dict[str, Optimizer] = {}
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    if matrices or rest:
        groups = [group for group in groups if group["params"]]
        optimizers["adamw"] = AdamW(groups, lr=config.lr, betas=config.betas, fused=True)  # 4x faster on a CPU too
    if hidden:
        # match_rms_adamw: an update is as large as AdamW's, so that both learning rates are on one scale
        optimizers["muon"] = Muon(
            hidden, lr=config.muon_lr, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw"
        )
    return optimizers


def lr_fraction(step: int, config: LoopConfig) -> float:
    """The share of the peak learning rate at ``step`` (from 0), in [0, 1]."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return 1.0
    decay_steps = config.steps - config.warmup_steps
    if config.schedule == "wsd":
        decay_steps = min(decay_steps, math.ceil(config.steps * config.decay_fraction))
    done = (step + 1 - (config.steps - decay_steps)) / max(decay_steps, 1)  # 1 at the last step
    if done <= 0:
        return 1.0
    fall = done if config.schedule == "wsd" else (1 - math.cos(math.pi * done)) / 2
    return 1.0 - (1.0 - config.final_lr_fraction) * fall


def set_lr_fraction(optimizers: dict[str, Optimizer], fraction: float) -> None:
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = optimizer.defaults["lr"] * fraction


class MovingAverage:
    """An exponential moving average of a module's trained parameters, kept in fp32.

    Early on it averages over fewer steps, so that it does not remember the random start. torch's ``AveragedModel``
    copies the whole module, frozen parts too, and counts updates, not steps: a skipped step would change the average.
    """

    def __init__(self, module: nn.Module, decay: float):
        self.decay = decay
        self.parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.tensors = {name: p.detach().float().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, average in self.tensors.items():
            average.lerp_(self.parameters[name].float(), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module holds the averages inside the block and its own weights again after it."""
        own = {name: p.detach().clone() for name, p in self.parameters.items()}
        self._put(self.tensors)
        try:
            yield
        finally:
            self._put(own)

    @torch.no_grad()
    def _put(self, tensors: dict[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            self.parameters[name].copy_(tensor)
