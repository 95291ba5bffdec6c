"""From questions with answers to a confidence that promises something: ask, grade, fit, set the threshold, test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reverie.dreaming.confidence import ConfidenceModel
from reverie.dreaming.word_signals import begun
from reverie.training.knowing.asking import Reply
from reverie.training.knowing.figures import RIVALS, auroc
from reverie.training.knowing.fitting import (
    FitConfig,
    Met,
    Parted,
    confidences,
    fit_probe,
    part,
    set_threshold,
    within_reach,
)
from reverie.training.knowing.questions import KeyedQuestion, is_right

__all__ = ["Calibrated", "calibrate", "features_alone", "graded"]


@dataclass(frozen=True, eq=False)
class Calibrated:
    """The confidence, the parts that it was made with, and its confidences of the last of them, float (n,)."""

    model: ConfidenceModel
    parts: Parted
    sure: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """bool (n,): of the test part."""
        return np.array([one.right for one in self.parts.test])

    @property
    def known(self) -> np.ndarray:
        """bool (n,): which of the test part it calls known."""
        told = zip(self.sure, self.parts.test, strict=True)
        return np.array([self.model.known(sure, one.checks) for sure, one in told])


def graded(asked: Sequence[KeyedQuestion], heard: Sequence[Reply]) -> list[Met]:
    """What was said, right or wrong; what was not answered at all, or without signals, is left out."""
    return [
        Met(said.signals, is_right(begun(said.said), one), said.checks, one.kind, said.gate)
        for one, said in zip(asked, heard, strict=True)
        if said.signals is not None
    ]


def calibrate(met: Sequence[Met], config: FitConfig, about: str = "") -> Calibrated:
    """Fit on a part, set the threshold on a second, and look at a third. Raises as ``part`` and ``fit_probe`` do."""
    parts = part(met, config)
    config = within_reach(parts.fit, config)
    model = set_threshold(fit_probe(parts.fit, config), parts.calibrate, config, about)
    return Calibrated(model, parts, confidences(model, parts.test))


def features_alone(found: Calibrated) -> dict[str, np.ndarray]:
    """Each feature as a confidence of its own, float (n,): more is surer, or less, as it was in the part to fit on."""
    model, scores = found.model, {}
    for name in (name for name in model.names if name not in RIVALS):
        fit, test = (
            np.array([_value(model, one, name) for one in some]) for some in (found.parts.fit, found.parts.test)
        )
        sign = 1 if auroc(fit, np.array([one.right for one in found.parts.fit])) >= 0.5 else -1
        scores[f"feature {name}"] = sign * test
    return scores


def _value(model: ConfidenceModel, one: Met, name: str) -> float:
    return float(model.values(one.signals, one.checks)[model.names.index(name)])
