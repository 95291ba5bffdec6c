"""What benchmarks count with: shares, areas, errors of calibration, and when an answer is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np

from reverie.worlds.contract import Question
from reverie_bench.contract import Figures

__all__ = ["auroc", "best_constant", "grouped", "is_right", "normalise", "share"]

Row = TypeVar("Row")


def share(holds: Iterable[bool | float | None]) -> float:
    """The mean in [0, 1] of what holds; None is left out, and NaN is the share of nothing."""
    values = [float(value) for value in holds if value is not None]
    return sum(values) / len(values) if values else float("nan")


def grouped(
    rows: Sequence[Row], name: Callable[[Row], str | None], count: Callable[[Sequence[Row]], Figures]
) -> dict[str, Figures]:
    """The figures of every group of rows, each with its ``n``; rows whose name is None belong to none."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if (group := name(row)) is not None:
            groups.setdefault(group, []).append(row)
    return {group: {"n": len(groups[group])} | count(groups[group]) for group in sorted(groups)}


def auroc(positives: Sequence[float], negatives: Sequence[float]) -> float:
    """The chance that a positive scores above a negative, ties counting half; NaN where either is missing."""
    from reverie.training.knowing import figures

    right = np.arange(len(positives) + len(negatives)) < len(positives)
    return figures.auroc(np.array([*positives, *negatives], dtype=float), right)


def normalise(answer: str) -> str:
    """Case, runs of spaces and the final period do not decide whether an answer is right."""
    return " ".join(answer.casefold().split()).rstrip(". ")


def is_right(said: str, question: Question) -> bool:
    return normalise(said) in {normalise(answer) for answer in (question.answer, *question.accepts)}


def best_constant(questions: Sequence[Question]) -> float:
    """The accuracy of the one answer that suits most of these questions (chosen on them: it flatters the baseline)."""
    votes = Counter(
        answer for one in questions for answer in {normalise(wording) for wording in (one.answer, *one.accepts)}
    )
    return max(votes.values()) / len(questions) if questions else float("nan")
