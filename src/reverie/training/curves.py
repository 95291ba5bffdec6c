"""Draws a run's log: ``curves.png`` in its folder."""

from __future__ import annotations

import io
import json
import logging
import math
from pathlib import Path
from typing import Any

from reverie.errors import TrainingError
from reverie.files import atomic_write_bytes
from reverie.training.plotting import BLUE, GOLD, SOFT, STYLE

__all__ = ["draw_curves", "read_curves"]

logger = logging.getLogger("reverie.training")
Points = list[tuple[int, float]]  # step, value
_MOST = 9  # panels
_LAST = ("lr", "grad_norm", "ids_per_s", "steps_per_s", "bad_steps", "seconds", "rows")  # what tells least of learning


def read_curves(run_dir: Path) -> dict[str, dict[str, Points]]:
    """Every figure of the log that is a number: name → "train" or "eval" → its points. Lines cut short are left out."""
    found: dict[str, dict[str, Points]] = {}
    path = run_dir / "metrics.jsonl"
    if not path.is_file():
        raise TrainingError(f"there is no log of a run in {run_dir}")
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        kind = {"train": "train", "evaluate": "eval"}.get(record.pop("kind", ""))
        step = record.pop("step", 0)
        for name, value in record.items() if kind else ():
            if isinstance(value, (int, float)) and math.isfinite(value):
                found.setdefault(name, {}).setdefault(kind or "", []).append((step, value))
    return found


def draw_curves(run_dir: Path) -> Path | None:
    """Losses and figures over the steps, the loss first. None where matplotlib is not installed, which is said."""
    try:
        import matplotlib as mpl
    except ImportError:
        logger.warning("no curves.png: install matplotlib with pip install 'reverie[train]'")
        return None
    curves = read_curves(run_dir)
    names = sorted(curves, key=lambda name: (name != "loss", name in _LAST, list(curves).index(name)))[:_MOST]
    if not names:
        return None
    with mpl.rc_context(STYLE):
        data = io.BytesIO()
        _figure(run_dir.resolve().name, {name: curves[name] for name in names}).savefig(data, format="png")
    path = run_dir / "curves.png"
    atomic_write_bytes(path, data.getvalue())
    return path


def _figure(title: str, curves: dict[str, dict[str, Points]]) -> Any:
    from matplotlib.figure import Figure  # without pyplot: no state, no window

    across = min(3, len(curves))
    down = -(-len(curves) // across)
    figure = Figure(figsize=(3.6 * across, 2.6 * down + 0.5), dpi=110, layout="constrained")
    figure.suptitle(title.replace("$", r"\$"), x=0.02, ha="left", fontweight="bold")
    panels: list[Any] = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for axes, (name, kinds) in zip(panels, curves.items(), strict=False):
        axes.set_title(name.replace("$", r"\$"), fontsize=10, pad=8)
        for kind, colour in (("train", BLUE), ("eval", GOLD)):
            if points := kinds.get(kind):
                axes.plot(
                    *zip(*points, strict=True), color=colour, label=kind, marker="." if len(points) < 20 else None
                )
        axes.grid(visible=True)
        axes.legend(fontsize=8, labelcolor=SOFT)
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    return figure
