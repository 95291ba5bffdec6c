"""How good confidences are: whether they rank right answers above wrong ones, mean what they say, and leave few out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from reverie.training.knowing.fitting import FitConfig, Met, auroc, lowest_threshold

__all__ = [
    "RIVALS",
    "area_under_risk",
    "auroc",
    "calibration_error",
    "coverage_at",
    "quality",
    "reliability",
    "risk_coverage",
    "rival_scores",
    "validity",
]

RIVALS = {  # signal → what it is called, and its sign: more is surer, or less
    "entropy": ("token entropy", -1),
    "meanings": ("semantic entropy", -1),
    "told_true": ("P(True)", 1),
    "gate": ("largest gate", 1),
}


def risk_coverage(sure: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(coverage, risk), each (n,), of answering the surest 1, 2, … n; of equally sure ones, their mean risk."""
    order = np.argsort(-sure, kind="stable")
    surest, wrong = sure[order], (~right[order]).astype(float)
    _, places, counts = np.unique(-surest, return_inverse=True, return_counts=True)
    wrong = (np.bincount(places, wrong) / counts)[places]  # who is equally sure comes in no order
    counted = np.arange(1, len(sure) + 1)
    return counted / len(sure), np.cumsum(wrong) / counted


def area_under_risk(sure: np.ndarray, right: np.ndarray) -> float:
    """AURC: the mean risk over all coverages; the best possible one depends on how many are right."""
    return float(risk_coverage(sure, right)[1].mean()) if len(sure) else float("nan")


def coverage_at(sure: np.ndarray, right: np.ndarray, risk: float) -> float:
    """The largest share that can be answered with at most ``risk`` of it wrong, had one known where to stop."""
    coverage, risks = risk_coverage(sure, right)
    whole = np.append(np.diff(np.sort(-sure)) > 0, True)  # one stops between answers that are not equally sure
    return float(coverage[whole & (risks <= risk)].max(initial=0.0))


def reliability(sure: np.ndarray, right: np.ndarray, bins: int = 10) -> list[tuple[float, float, int]]:
    """(mean confidence, share right, count) of bins of equal width over [0, 1]; empty ones are left out."""
    places = np.minimum((sure * bins).astype(int), bins - 1)
    return [
        (float(sure[here].mean()), float(right[here].mean()), int(here.sum()))
        for place in range(bins)
        if (here := places == place).any()
    ]


def calibration_error(sure: np.ndarray, right: np.ndarray, bins: int = 10) -> float:
    """ECE: |mean confidence - share right|, weighed by the counts of ``reliability``.

    torchmetrics' puts a confidence of 1 into a bin of its own and rounds the borders of bins to float32.
    """
    found = reliability(sure, right, bins)
    return float(sum(abs(said - true) * count for said, true, count in found) / max(len(sure), 1))


def quality(sure: np.ndarray, right: np.ndarray, probability: bool = True) -> dict[str, float]:
    """All of these; without the calibration error where ``sure`` is no ``probability``."""
    low, high = interval(sure, right)
    told = {"auroc": auroc(sure, right), "auroc_low": low, "auroc_high": high, "aurc": area_under_risk(sure, right)}
    told |= {f"coverage_at_{risk:.0%}".replace("%", ""): coverage_at(sure, right, risk) for risk in (0.05, 0.10)}
    return told | ({"ece": calibration_error(sure, right)} if probability else {})


def interval(sure: np.ndarray, right: np.ndarray, times: int = 200) -> tuple[float, float]:
    """The 95 % interval of ``auroc``, by bootstrap over the answers."""
    rng = np.random.default_rng(0)
    drawn = [rng.integers(len(sure), size=len(sure)) for _ in range(times)] if len(sure) else []
    areas = [area for rows in drawn if not np.isnan(area := auroc(sure[rows], right[rows]))]
    return (float(np.quantile(areas, 0.025)), float(np.quantile(areas, 0.975))) if areas else (np.nan, np.nan)


def rival_scores(met: Sequence[Met]) -> dict[str, np.ndarray]:
    """The confidences of what is used elsewhere, each alone: float (n,); those that nobody gave are left out."""
    found = {}
    for signal, (name, sign) in RIVALS.items():
        values = [one.gate if signal == "gate" else one.signals.more.get(signal) for one in met]
        if any(value is not None for value in values):
            found[name] = sign * np.array([0.0 if value is None else value for value in values])
    return found


def validity(
    sure: np.ndarray, right: np.ndarray, held: np.ndarray, config: FitConfig, times: int = 100
) -> Mapping[str, float]:
    """Whether thresholds keep their promise: the threshold is set on a half of the answers, and its risk is counted on
    the other, ``times`` over. ``valid_share``: of the draws whose risk is at most the stated one, as where nothing is
    known."""
    rng = np.random.default_rng([config.seed, 31])
    trusted = np.where(held, sure, 0.0)
    kept, coverage, silent = [], [], 0
    for _ in range(times):
        order = rng.permutation(len(sure))
        half, other = order[: len(order) // 2], order[len(order) // 2 :]
        threshold = lowest_threshold(trusted[half], right[half], config)
        known = trusted[other] >= threshold if threshold is not None else np.zeros(len(other), bool)
        silent += threshold is None
        kept.append(not known.any() or (~right[other][known]).mean() <= config.risk)
        coverage.append(known.mean())
    return {
        "valid_share": float(np.mean(kept)),
        "promised_coverage": float(np.mean(coverage)),
        "silent_share": silent / times,
    }
