"""Confidence, first version: how likely it is that a question is one that the model was taught.

Five signals, none of them the model's own opinion of itself, are joined by a logistic probe:

    question_mean   mean log-probability of the question's ids under the model
    question_min    the least of them: one strange word is enough to change the subject
    distance        of the question's embedding from the taught ones (the nearest of a few centres)
    agreement       of the branches, as the evaluator has it
    answer_mean     mean log-probability of the answer's ids

The probe is fitted on taught questions that were held out, and on questions made strange (``strange.py``); its
threshold lets ``PASSING`` of the taught ones through. Only numbers are saved, as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reverie.errors import BundleError, shorten
from reverie.files import atomic_write_json

__all__ = ["FEATURES", "ConfidenceModel", "Signals", "fit_confidence"]

FEATURES = ("question_mean", "question_min", "distance", "agreement", "answer_mean")
PASSING = 0.98  # share of taught questions that must count as known
_CENTRES = 8
_HIGHEST_THRESHOLD = 0.9  # what is surer than this is never refused, however sure the taught questions are
_RIDGE = 0.1  # keeps the weights finite where the two kinds can be told apart without error


@dataclass(frozen=True)
class Signals:
    """What the model showed while it met one question. ``agreement`` is None where fewer than two branches dreamed.

    ``log_probs``: of the question's ids, in nats, at least one; ``embedding``: float (D,); ``near``: how far it is from
    what the experts that were chosen for it were taught, about 1 for their own questions.
    """

    log_probs: Sequence[float]
    embedding: np.ndarray
    agreement: float | None
    answer_mean: float
    near: float = float("inf")


@dataclass(frozen=True)
class ConfidenceModel:
    """The fitted probe. ``centres`` (C, D) and ``spread`` (D,) describe the embeddings of taught questions."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    threshold: float
    centres: tuple[tuple[float, ...], ...] = ()
    spread: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.mean) == len(self.scale) == len(self.weights) == len(FEATURES):
            raise ValueError(f"a confidence model has {len(FEATURES)} means, scales and weights")
        if not 0 <= self.threshold <= 1 or not all(scale > 0 for scale in self.scale):
            raise ValueError("a threshold lies in [0, 1] and scales are above 0")

    def parts(self, signals: Signals) -> dict[str, float]:
        """How much each signal adds to the log-odds; below 0 it speaks for an unknown question."""
        values = features(signals, self.centres, self.spread)
        z = (np.where(np.isnan(values), self.mean, values) - self.mean) / self.scale  # a missing signal says nothing
        return dict(zip(FEATURES, (np.clip(z, -20, 20) * self.weights).tolist(), strict=True))

    def confidence(self, signals: Signals) -> float:
        """The probability, in [0, 1], that the question is one that was taught."""
        return float(_sigmoid(self.bias + sum(self.parts(signals).values())))

    def known(self, confidence: float) -> bool:
        return confidence >= self.threshold

    @classmethod
    def rough(cls) -> ConfidenceModel:
        """The probe of a bundle that has none: it trusts questions and answers that the model finds unsurprising."""
        return cls((-1.0, 0.0, 0.0, 0.0, -0.5), (1.0,) * 5, (2.0, 0.0, 0.0, 0.0, 2.0), 2.0, 0.5)

    def save(self, path: Path) -> None:
        atomic_write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> ConfidenceModel:
        """Raises BundleError when the file is missing or damaged."""
        try:
            fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            for name in ("mean", "scale", "weights", "spread"):
                fields[name] = tuple(map(float, fields[name]))
            fields["centres"] = tuple(tuple(map(float, centre)) for centre in fields["centres"])
            return cls(**fields)
        except OSError as error:
            raise BundleError(f"cannot read {path}: {error.strerror}") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BundleError(f"the confidence in {path} is damaged: {shorten(str(error))}") from error


def features(signals: Signals, centres: Sequence[Sequence[float]], spread: Sequence[float]) -> np.ndarray:
    """float (5,) in the order of ``FEATURES``; NaN where a signal is missing."""
    distance = np.nan
    if centres:
        gaps = (np.asarray(signals.embedding) - np.asarray(centres)) / np.asarray(spread)  # (C, D)
        distance = min(float(np.sqrt((gaps**2).mean(1)).min()), signals.near)
    agreement = np.nan if signals.agreement is None else signals.agreement
    log_probs = signals.log_probs
    return np.array([np.mean(log_probs), np.min(log_probs), distance, agreement, signals.answer_mean])


def fit_confidence(taught: Sequence[Signals], strange: Sequence[Signals], rng: np.random.Generator) -> ConfidenceModel:
    """Fit on the signals of taught questions (none seen in training) and of strange ones, at least ten of each.

    A third of the taught ones places the centres, a third fits the probe, the last third sets the threshold.
    """
    if len(taught) < 10 or len(strange) < 10:
        raise ValueError(f"at least 10 questions of each kind are needed, got {len(taught)} and {len(strange)}")
    order = rng.permutation(len(taught))
    first, second, third = ([taught[index] for index in part] for part in np.array_split(order, 3))
    embeddings = np.stack([signals.embedding for signals in first])
    centres = _centres(embeddings, rng)
    nearest = centres[_nearest(embeddings, centres)]
    spread = np.sqrt(((embeddings - nearest) ** 2).mean(0)) + 0.1 * embeddings.std() + 1e-6
    centres, spread = np.round(centres, 5), np.round(spread, 6)

    rows = np.stack([features(signals, centres.tolist(), spread.tolist()) for signals in [*second, *strange]])
    labels = np.r_[np.ones(len(second)), np.zeros(len(strange))]
    mean = np.nan_to_num(np.nanmean(rows, axis=0))
    scale = np.maximum(np.nan_to_num(np.nanstd(rows, axis=0)), 1e-3)
    z = np.nan_to_num((rows - mean) / scale)
    weights, bias = _logistic(z, labels)
    model = ConfidenceModel(
        tuple(mean.tolist()),
        tuple(scale.tolist()),
        tuple(weights.tolist()),
        bias,
        threshold=0.5,
        centres=tuple(map(tuple, centres.tolist())),
        spread=tuple(spread.tolist()),
    )
    passing = np.quantile([model.confidence(signals) for signals in third], 1 - PASSING, method="lower")
    return ConfidenceModel(**{**vars(model), "threshold": min(float(passing), _HIGHEST_THRESHOLD)})


def _logistic(rows: np.ndarray, labels: np.ndarray, steps: int = 50) -> tuple[np.ndarray, float]:
    """Ridge logistic regression by Newton's method, both kinds weighing the same: rows (n, F) → weights (F,), bias."""
    design = np.c_[rows, np.ones(len(rows))]
    share = np.where(labels == 1, 0.5 / labels.mean(), 0.5 / (1 - labels.mean()))
    ridge = np.diag([_RIDGE * len(rows) / 100] * rows.shape[1] + [1e-6])
    weights = np.zeros(design.shape[1])
    for _ in range(steps):
        odds = _sigmoid(design @ weights)
        slope = design.T @ (share * (odds - labels)) + ridge @ weights
        curve = (design * (share * odds * (1 - odds))[:, None]).T @ design + ridge
        step = np.linalg.solve(curve, slope)
        weights = weights - step * min(1.0, 2.0 / (np.abs(step).max() + 1e-12))  # no wild first steps
        if np.abs(step).max() < 1e-6:
            break
    return weights[:-1], float(weights[-1])


def _centres(points: np.ndarray, rng: np.random.Generator, rounds: int = 20) -> np.ndarray:
    """k-means from k-means++ seeds: points (n, D) → (C, D)."""
    centres = points[rng.integers(len(points))][None]
    while len(centres) < min(_CENTRES, len(points)):
        gaps = ((points[:, None] - centres[None]) ** 2).sum(-1).min(1)
        if gaps.sum() == 0:
            break
        centres = np.r_[centres, points[rng.choice(len(points), p=gaps / gaps.sum())][None]]
    for _ in range(rounds):
        nearest = _nearest(points, centres)
        centres = np.stack(
            [points[nearest == i].mean(0) if (nearest == i).any() else centres[i] for i in range(len(centres))]
        )
    return centres


def _nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return ((points[:, None] - centres[None]) ** 2).sum(-1).argmin(1)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-np.clip(x, -60, 60)))
