"""Pictures of a calibration: what is said against what is true, what answering more costs, and beside whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from reverie.errors import MissingExtraError
from reverie.training.knowing.calibration import Calibrated, features_alone
from reverie.training.knowing.figures import (
    auroc,
    calibration_error,
    interval,
    reliability,
    risk_coverage,
    rival_scores,
)
from reverie.training.plotting import BLUE, GOLD, GREEN, INK, SOFT, STYLE, canvas

__all__ = ["draw_calibration"]

_OTHERS = ("#9a86b8", "#7fa6a0", "#c2a878", "#a9a3ad")


def draw_calibration(found: Calibrated, folder: Path) -> list[Path]:
    """Write reliability.png, risk_coverage.png and rivals.png into ``folder``. Raises MissingExtraError."""
    try:
        from matplotlib import rc_context
    except ImportError as error:
        raise MissingExtraError("drawing a calibration", "train") from error
    drawn = {"reliability": _reliability, "risk_coverage": _risk_coverage, "rivals": _rivals}
    files = [folder / f"{name}.png" for name in drawn]
    with rc_context(STYLE):
        for draw, file in zip(drawn.values(), files, strict=True):
            draw(found, file)
    return files


def _reliability(found: Calibrated, file: Path) -> None:
    ece = calibration_error(found.sure, found.right)
    told = f"{len(found.sure)} held-out questions; calibration error {ece:.3f}; area: answers"
    figure, axes = canvas("Said and true", told, (5.4, 5))
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=(0, (4, 4)))
    points = reliability(found.sure, found.right)
    said, true, counts = (np.array(column) for column in zip(*points, strict=True))
    error = 1.96 * np.sqrt(np.maximum(true * (1 - true), 0.25 / counts) / counts)
    low, high = np.minimum(error, true), np.minimum(error, 1 - true)
    axes.errorbar(said, true, [low, high], color=BLUE, linewidth=1.2, elinewidth=1, alpha=0.9)
    axes.scatter(said, true, s=20 + 260 * counts / counts.max(), color=BLUE, alpha=0.85, linewidths=0, zorder=3)
    if found.model.threshold is not None:
        axes.axvline(found.model.threshold, color=GOLD, linewidth=1.5)
        axes.annotate("known from here", (found.model.threshold, 0.03), (4, 0), color=GOLD, **_POINTS)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence", ylabel="share of answers that are right")
    _finish(figure, axes, file)


def _risk_coverage(found: Calibrated, file: Path) -> None:
    promised, sure = found.model.guarantee, found.sure
    risk = promised.risk if promised else 0.05
    figure, axes = canvas("What answering more costs", "wrong answers among those given, the surest first", (8.2, 4.6))
    for color, (name, scores) in zip(_OTHERS, rival_scores(found.parts.test).items(), strict=False):
        axes.plot(*risk_coverage(scores, found.right), color=color, linewidth=1.2, label=name)
    axes.plot(*risk_coverage(sure, found.right), color=BLUE, linewidth=2.2, label="confidence")
    best = risk_coverage(found.right.astype(float) - 1e-9 * np.arange(len(sure)), found.right)
    axes.plot(*best, color=GREEN, linewidth=1, linestyle=(0, (4, 4)), label="an oracle")
    axes.axhline(risk, color=GOLD, linewidth=1.2)
    axes.annotate(f"promised: at most {risk:.0%}", (0.01, risk), (0, 4), color=GOLD, **_POINTS)
    known = found.known
    if known.any():
        here = float(known.mean()), float((~found.right[known]).mean())
        axes.scatter(*here, s=80, color=GOLD, zorder=4, label=f"as it is set: {here[0]:.0%} known, {here[1]:.1%} wrong")
    else:
        axes.scatter(0, 0, s=80, color=GOLD, zorder=4, clip_on=False, label="as it is set: nothing is known")
    axes.set(xlim=(0, 1), ylim=(0, None), xlabel="coverage: share of questions answered", ylabel="risk")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
    _finish(figure, axes, file)


def _rivals(found: Calibrated, file: Path) -> None:
    scores = {"confidence": found.sure} | rival_scores(found.parts.test)
    scores |= features_alone(found)
    areas = {name: auroc(each, found.right) for name, each in scores.items()}
    shown = sorted(areas, key=lambda name: areas[name])
    told = "AUROC: the chance that a right answer is surer than a wrong one; 95 % intervals"
    figure, axes = canvas("Beside each signal alone", told, (6.6, 1.5 + 0.27 * len(shown)))
    rivals = rival_scores(found.parts.test)
    colors = [BLUE if name == "confidence" else GOLD if name in rivals else "#bdb7c2" for name in shown]
    ends = np.array([interval(scores[name], found.right, 100) for name in shown])
    values = np.array([areas[name] for name in shown])
    bars = axes.barh(range(len(shown)), values - 0.5, left=0.5, color=colors, height=0.66)
    reach = np.clip(np.stack([values - ends[:, 0], ends[:, 1] - values]), 0, None)
    axes.errorbar(values, range(len(shown)), xerr=reach, fmt="none", ecolor=INK, elinewidth=0.8, alpha=0.6)
    for bar, value, (_, high) in zip(bars, values, ends, strict=True):
        place = max(float(high), float(value), 0.5) + 0.008
        axes.text(place, bar.get_y() + bar.get_height() / 2, f"{value:.2f}", va="center", color=SOFT, fontsize=8)
    axes.axvline(0.5, color=SOFT, linewidth=1)
    axes.set_yticks(range(len(shown)), [name.removeprefix("feature ") for name in shown])
    axes.set(xlim=(min(0.3, float(values.min()) - 0.05), 1.06), ylim=(-0.6, len(shown) - 0.4))
    axes.legend(
        handles=_patches({"confidence": BLUE, "used elsewhere": GOLD, "features": "#bdb7c2"}), loc="lower right"
    )
    _finish(figure, axes, file, "x")


_POINTS: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8}


def _patches(colors: dict[str, str]) -> list[Any]:
    from matplotlib.patches import Patch

    return [Patch(color=color, label=name) for name, color in colors.items()]


def _finish(figure: Any, axes: Any, file: Path, grid: str = "both") -> None:
    axes.grid(axis=grid)
    axes.tick_params(length=0)
    figure.savefig(file)
