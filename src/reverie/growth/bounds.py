"""Exact one-sided bounds of shares, and of the difference that two ways of answering the same questions make.

Clopper & Pearson 1934 for shares; a difference is bounded on the questions that came out otherwise (McNemar 1947,
exact): where the bound of a gain is above 0, McNemar's one-sided test says so at the same level.
"""

from __future__ import annotations

__all__ = ["least_gain", "least_share", "most_lost", "most_share"]


def least_share(hits: int, count: int, alpha: float) -> float:
    """The least share in [0, 1] that ``hits`` of ``count`` leave at level ``alpha``; 0 for none of none."""
    from scipy.special import betaincinv

    return float(betaincinv(hits, count - hits + 1, alpha)) if hits else 0.0


def most_share(hits: int, count: int, alpha: float) -> float:
    """The largest such share; 1 for none of none."""
    return 1.0 - least_share(count - hits, count, alpha)


def least_gain(gained: int, lost: int, count: int, alpha: float) -> float:
    """The least gain in [-1, 1] of ``count`` questions, of which ``gained`` are right now and were not, ``lost`` the
    other way round; the share that came out otherwise is taken as it is."""
    changed = gained + lost
    return (2 * least_share(gained, changed, alpha) - 1) * changed / count if count else -1.0


def most_lost(lost: int, reached: int, count: int, alpha: float) -> float:
    """The largest share of ``count`` questions that a new expert may have lost, of which it answers ``reached`` that
    were right before, and ``lost`` are not any more.

    0 where it answers none of those: all others are answered by what was there before, to the bit, so that nothing is
    left to chance.
    """
    return most_share(lost, reached, alpha) * reached / count if reached else 0.0
