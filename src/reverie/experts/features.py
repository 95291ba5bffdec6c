"""What the router sees of a question: the mean of the bare base's states, and that of the last few alone.

A question often stands at the end of a long story, where a mean over all of it hardly shows what is asked. The states
are those after the base's first layers where the router says so (``RouterConfig.layers``), else the final ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["TAIL", "question_features", "cumulative_features"]

TAIL = 16  # ids


def cumulative_features(states: Tensor) -> Tensor:
    """Of each id with all before it: states float (T, D) → (T, 2 D). The last row is the whole question's."""
    sums = states.cumsum(0)
    before = torch.cat((torch.zeros_like(sums[:TAIL]), sums[:-TAIL]))[: len(sums)]
    count = torch.arange(1, len(states) + 1, device=states.device)[:, None]
    return torch.cat((sums / count, (sums - before) / count.clamp_max(TAIL)), 1)


def question_features(
    embed_many: Callable[[Sequence[Sequence[int]]], np.ndarray], questions: Sequence[Sequence[int]]
) -> np.ndarray:
    """The same for whole questions by an engine's ``embed_many``, the mean states of ids: float32 (N, 2 D).

    A state depends on what is before it alone, so the last states' mean follows from the means with and without them.
    """
    longer = [ids for ids in questions if len(ids) > TAIL]
    means = embed_many([*questions, *(ids[:-TAIL] for ids in longer)]).astype(np.float64)
    before, rows = iter(means[len(questions) :]), []
    for ids, whole in zip(questions, means, strict=False):
        count = len(ids)
        tail = (count * whole - (count - TAIL) * next(before)) / TAIL if count > TAIL else whole
        rows.append(np.concatenate((whole, tail)))
    return np.array(rows, dtype=np.float32).reshape(len(rows), 2 * means.shape[1])
