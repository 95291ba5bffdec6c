"""What a policy learns from what its dreams were worth: advantages within a group, the clipped ratio, the distance from
the start. Tensors alone.

Group-relative policy optimization (DeepSeekMath, arXiv 2402.03300) with rewards of single steps: a step's advantage is
what followed it, beside what followed the steps of all dreams of its group.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["advantages", "clipped_loss", "kl_to_start", "returns"]

_FAR = 3.0  # nats from the start beyond which an id counts as that far: e to the difference would drown all others
_FLAT = 1e-6  # a spread of returns below which nothing tells the dreams of a group apart


def returns(steps: Sequence[float], discount: float) -> np.ndarray:
    """What each step and those after it gave: float64 (n,); what comes a step later counts ``discount`` times."""
    found, later = np.zeros(len(steps)), 0.0
    for place in range(len(steps) - 1, -1, -1):
        found[place] = later = steps[place] + discount * later
    return found


def advantages(gained: Sequence[np.ndarray], expected: Sequence[np.ndarray] | None = None) -> list[np.ndarray] | None:
    """Of the steps of a group's dreams: what they gained less what was expected, over the spread in the group.

    ``gained``: ``returns`` of each dream; ``expected``: of the same shapes, by a value network; None takes the group's
    mean. None where all of the group gained the same: then there is nothing to learn from it.
    """
    together = np.concatenate(list(gained))
    if not len(together) or together.std() < _FLAT:
        return None
    expected = expected or [np.full(len(one), together.mean()) for one in gained]
    return [(one - guess) / together.std() for one, guess in zip(gained, expected, strict=True)]


def clipped_loss(log_probs: Tensor, before: Tensor, advantage: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """The loss of ids (n,) drawn with log-probabilities ``before``, and the share of them that are clipped.

    An id's probability gains nothing by leaving [1 - clip, 1 + clip] of what it was (PPO, arXiv 1707.06347).
    """
    ratio = (log_probs - before).exp()
    clipped = ratio.clamp(1 - clip, 1 + clip)
    loss = -torch.minimum(ratio * advantage, clipped * advantage)
    return loss.mean(), (clipped * advantage < ratio * advantage).float().mean()


def kl_to_start(log_probs: Tensor, start: Tensor) -> Tensor:
    """Nats an id (scalar) by which ids (n,) of the policy lie from the policy at ``start``: never below 0, and right on
    average (Schulman's k3); 0 of no ids."""
    ratio = (start - log_probs).clamp(-_FAR, _FAR)
    return (ratio.exp() - ratio - 1).sum() / max(len(ratio), 1)
