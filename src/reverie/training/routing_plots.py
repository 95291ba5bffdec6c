"""Pictures of an evaluation: who is used, how sure the gates are, whether rightly so, and what quality costs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from reverie.errors import MissingExtraError
from reverie.training.plotting import BLUE, GOLD, GREEN, SOFT, STYLE, canvas
from reverie.training.routing_evaluation import Evaluation

__all__ = ["draw_evaluation"]

_MANY = 40  # experts that have room in one picture


def draw_evaluation(found: Evaluation, folder: Path, speed: float | None = None) -> list[Path]:
    """Write utilization.png, confidence.png, calibration.png and tradeoff.png into ``folder``, made if needed.

    ``speed``: how long the chosen experts take over the bare base, where it was measured. Raises MissingExtraError.
    """
    try:
        from matplotlib import rc_context
    except ImportError as error:
        raise MissingExtraError("drawing an evaluation", "train") from error
    folder.mkdir(parents=True, exist_ok=True)
    pictures: dict[str, Callable[[Any], Any]] = {
        "utilization": lambda name: _utilization(found, name),
        "confidence": lambda name: _confidence(found, name),
        "calibration": lambda name: _calibration(found, name),
        "tradeoff": lambda name: _tradeoff(found, name, speed),
    }
    files = [folder / f"{name}.png" for name in pictures]
    with rc_context(STYLE):
        for draw, file in zip(pictures.values(), files):
            draw(file)
    return files


def _utilization(found: Evaluation, file: Path) -> None:
    ranked = sorted(found.utilization.items(), key=lambda item: item[1], reverse=True)
    shown = [*ranked[:_MANY], ("nobody", found.experts_a_row.get(0, 0.0))][::-1]
    left = len(ranked) - _MANY
    told = f"share of {found.num_rows} rows; {found.figures['experts_a_row']:.2f} experts a row on average"
    told += f"; {left} less used ones are left out" if left > 0 else ""
    figure, axes = canvas("Who takes part", told, (6.4, 1.4 + 0.24 * len(shown)))
    colors = [GOLD if name == "nobody" else BLUE for name, _ in shown]
    bars = axes.barh(range(len(shown)), [share for _, share in shown], color=colors, height=0.7)
    axes.bar_label(bars, [f"{share:.1%}" for _, share in shown], padding=4, color=SOFT, fontsize=8)
    axes.set_yticks(range(len(shown)), [name for name, _ in shown])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_xlim(0, 1.15 * max(0.02, *(share for _, share in shown)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.grid(axis="x")
    axes.tick_params(length=0)
    figure.savefig(file)


def _confidence(found: Evaluation, file: Path) -> None:
    figure, axes = canvas("How sure the largest gate is", "share of the rows of each kind")
    colors = {"somebody": BLUE, "nobody": GOLD}
    labels = {"somebody": "an expert helps", "nobody": "no expert helps"}
    for side, (kind, counts) in enumerate(found.histogram.items()):
        if total := sum(counts):
            width = 1 / len(counts)
            places = [(index + 0.29 + 0.42 * side) * width for index in range(len(counts))]
            shares = [count / total for count in counts]
            axes.bar(places, shares, 0.4 * width, color=colors[kind], label=f"{labels[kind]} ({total} rows)")
    axes.set_xlabel("largest gate")
    axes.set_xlim(0, 1)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.grid(axis="y")
    axes.tick_params(length=0)
    axes.legend(loc="upper center")
    figure.savefig(file)


def _calibration(found: Evaluation, file: Path) -> None:
    ours = found.reliability
    figure, axes = canvas(
        "Said and true",
        f"largest gates; calibration error {ours.ece:.3f}; area: rows",
        (5, 4.6),
    )
    points = [
        (said, true, count)
        for said, true, count in zip(ours.said, ours.true, ours.counts)
        if said is not None and true is not None
    ]
    most = max((count for *_, count in points), default=1)
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=(0, (4, 4)))
    axes.plot([said for said, *_ in points], [true for _, true, _ in points], color=BLUE, linewidth=1.5)
    areas = [20 + 260 * count / most for *_, count in points]
    said_true = [said for said, *_ in points], [true for _, true, _ in points]
    axes.scatter(*said_true, s=areas, color=BLUE, alpha=0.85, linewidths=0, clip_on=False, zorder=3)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="gate", ylabel="share of rows whose expert helps")
    axes.grid()
    axes.tick_params(length=0)
    figure.savefig(file)


def _tradeoff(found: Evaluation, file: Path, speed: float | None) -> None:
    told = "share of the oracle's gain, over thresholds"
    told += f"; as it is set {speed:.2f}× the time of the bare base" if speed is not None else ""
    figure, axes = canvas("What quality costs", told)
    curve = sorted(found.curve, key=lambda point: point["threshold"])
    compute, quality = ([point[name] for point in curve] for name in ("experts_a_row", "quality"))
    axes.plot(compute, quality, color=BLUE, linewidth=2, marker="o", markersize=4)
    seen: list[tuple[float, float]] = []
    spread = (max(compute, default=1) - min(compute, default=0)) or 1.0
    height = (max(quality, default=1) - min(quality, default=0)) or 1.0
    for point in curve:
        here = point["experts_a_row"] / spread, point["quality"] / height
        if all((here[0] - x) ** 2 + (here[1] - y) ** 2 > 0.01 for x, y in seen):
            seen.append(here)
            place = point["experts_a_row"], point["quality"]
            axes.annotate(
                f"{point['threshold']:g}", place, (7, -11), textcoords="offset points", color=SOFT, fontsize=8
            )
    axes.scatter(
        [found.figures["experts_a_row"]], [found.figures["quality"]], s=70, color=GOLD, zorder=3, label="as it is set"
    )
    axes.scatter([], [], color=BLUE, s=16, label="threshold")
    axes.axhline(1, color=GREEN, linewidth=1, linestyle=(0, (4, 4)), label="oracle")
    axes.set(xlabel="experts a row", ylabel="quality")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.grid()
    axes.margins(0.08)
    axes.tick_params(length=0)
    axes.legend(loc="lower right")
    figure.savefig(file)
