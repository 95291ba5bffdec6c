"""What the router sees of a question: the mean of the bare base's final states, and that of the last few alone.

A question often stands at the end of a long story, where a mean over all of it hardly shows what is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["TAIL", "question_features", "running_features"]

TAIL = 16  # ids


def running_features(states: Tensor) -> Tensor:
    """Of each id with all before it: final states float (T, D) → (T, 2 D). The last row is the whole question's."""
    sums = states.cumsum(0)
    before = torch.cat((torch.zeros_like(sums[:TAIL]), sums[:-TAIL]))[: len(sums)]
    count = torch.arange(1, len(states) + 1, device=states.device)[:, None]
    return torch.cat((sums / count, (sums - before) / count.clamp_max(TAIL)), 1)


def question_features(embed: Callable[[Sequence[int]], np.ndarray], ids: Sequence[int]) -> np.ndarray:
    """The same for a whole question by an engine's ``embed``, the mean final state of ids: float32 (2 D,).

    A state depends on what is before it alone, so the last states' mean follows from the means with and without them.
    """
    whole, count = np.asarray(embed(ids), np.float64), len(ids)
    if count <= TAIL:
        return np.concatenate((whole, whole)).astype(np.float32)
    before = np.asarray(embed(ids[:-TAIL]), np.float64)
    return np.concatenate((whole, (count * whole - (count - TAIL) * before) / TAIL)).astype(np.float32)
