"""Confidence, first version: how likely it is that a question is one that the model was taught.

Five signals, none of them the model's own opinion of itself, are joined by a logistic probe:

    question_mean   mean log-probability of the question's ids under the model
    question_min    the least of them: one strange word is enough to change the subject
    distance        of the question's embedding from the taught ones (the nearest of a few centres)
    agreement       of the branches, as the evaluator has it
    answer_mean     mean log-probability of the answer's ids

The probe is fitted on taught questions that were held out, and on questions made strange (``out_of_domain.py``); its
threshold lets ``PASSING`` of the taught ones through. Only numbers are saved, as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reverie.errors import BundleError, MissingExtraError, shorten
from reverie.files import atomic_write_json
from reverie.jsonio import read_object
from reverie.nouns import Signals

__all__ = ["FEATURES", "ConfidenceModel", "admit", "fit_confidence"]

FEATURES = ("question_mean", "question_min", "distance", "agreement", "answer_mean")
PASSING = 0.98  # share of taught questions that must count as known
_CENTRES = 8
_HIGHEST_THRESHOLD = 0.9  # what is surer than this is never refused, however sure the taught questions are
_RIDGE = 0.1  # keeps the weights finite where the two kinds can be told apart without error
_UNKNOWN = "I don't know this yet: {reason}."
_REASONS = {
    "question_mean": "questions like this are new to me",
    "question_min": "there are words in it that I was not taught",
    "distance": "it is about something that I was not taught",
    "agreement": "what I imagine differs each time",
    "answer_mean": "I cannot find words that I would stand behind",
}


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
        fields = read_object(path, BundleError, "the confidence of a bundle")
        try:
            for name in ("mean", "scale", "weights", "spread"):
                fields[name] = tuple(map(float, fields[name]))
            fields["centres"] = tuple(tuple(map(float, centre)) for centre in fields["centres"])
            return cls(**fields)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BundleError(f"the confidence of a bundle {path} is damaged: {shorten(str(error))}") from error


def admit(parts: Mapping[str, float]) -> str:
    """The sentence that says that an answer is not known, with what speaks most against knowing it. ``parts``: as
    ``ConfidenceModel.parts`` has them."""
    return _UNKNOWN.format(reason=_REASONS[min(parts, key=lambda name: parts[name])])


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
    Raises MissingExtraError without scikit-learn; what is fitted needs none.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise MissingExtraError("fitting the confidence", "train") from error
    if len(taught) < 10 or len(strange) < 10:
        raise ValueError(f"at least 10 questions of each kind are needed, got {len(taught)} and {len(strange)}")
    order = rng.permutation(len(taught))
    first, second, third = ([taught[index] for index in part] for part in np.array_split(order, 3))
    embeddings = np.stack([signals.embedding for signals in first])
    centres, nearest = _centres(embeddings, rng)
    spread = np.sqrt(((embeddings - nearest) ** 2).mean(0)) + 0.1 * embeddings.std() + 1e-6
    centres, spread = np.round(centres, 5), np.round(spread, 6)

    rows = np.stack([features(signals, centres.tolist(), spread.tolist()) for signals in [*second, *strange]])
    labels = np.r_[np.ones(len(second)), np.zeros(len(strange))]
    mean = np.nan_to_num(np.nanmean(rows, axis=0))
    scale = np.maximum(np.nan_to_num(np.nanstd(rows, axis=0)), 1e-3)
    z = np.nan_to_num((rows - mean) / scale)
    probe = LogisticRegression(C=100 / (_RIDGE * len(z)), class_weight="balanced", tol=1e-8, max_iter=1000)
    probe.fit(z, labels)
    model = ConfidenceModel(
        tuple(mean.tolist()),
        tuple(scale.tolist()),
        tuple(probe.coef_[0].tolist()),
        float(probe.intercept_[0]),
        threshold=0.5,
        centres=tuple(map(tuple, centres.tolist())),
        spread=tuple(spread.tolist()),
    )
    passing = np.quantile([model.confidence(signals) for signals in third], 1 - PASSING, method="lower")
    return ConfidenceModel(**{**vars(model), "threshold": min(float(passing), _HIGHEST_THRESHOLD)})


def _centres(points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """k-means: points (n, D) → centres (C, D), and the nearest of them to each point (n, D)."""
    from sklearn.cluster import KMeans

    count = min(_CENTRES, len(np.unique(points, axis=0)))
    found = KMeans(count, n_init=4, random_state=int(rng.integers(2**31))).fit(points)
    return found.cluster_centers_, found.cluster_centers_[found.labels_]


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-np.clip(x, -60, 60)))
