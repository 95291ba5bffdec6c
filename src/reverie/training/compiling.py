"""``loop.compile``: what an objective computes, made into few kernels by ``torch.compile``, where one can be made."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor

from reverie.errors import shorten
from reverie.training.checkpoint import random_states, restore_random_states
from reverie.training.objective import Objective

__all__ = ["Compiled", "no_compiler"]

logger = logging.getLogger("reverie.training")


class Compiled:
    """An objective's ``compute_loss``, compiled while its first batches come; plain from where that fails on.

    Sums may be rounded otherwise than in the plain one, and otherwise after a run went on: its kernels are made for the
    shapes that came first.
    """

    def __init__(self, objective: Objective, device: torch.device):
        self.plain, self.fast = objective.compute_loss, None
        if why := no_compiler(device):
            logger.warning("loop.compile: %s; training goes on without", why)
        else:
            self.fast = torch.compile(objective.compute_loss)

    def __call__(self, batch: Any) -> dict[str, Tensor]:
        if self.fast is None:
            return self.plain(batch)
        states = random_states()
        try:
            return self.fast(batch)
        except (torch._dynamo.exc.TorchDynamoException, torch._inductor.exc.InductorError) as error:
            logger.warning("loop.compile: %s; training goes on without", shorten(str(error).split("\n")[0], 200))
            self.fast = None
            restore_random_states(states)
            return self.plain(batch)


def no_compiler(device: torch.device) -> str:
    """Why nothing can be compiled for ``device``, "" where it can."""
    if device.type == "cuda":
        from torch.utils._triton import has_triton

        return "" if has_triton() else "Triton is not installed"
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return "no C++ compiler is installed"
    return ""
