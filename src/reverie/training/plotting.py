"""How pictures of results are drawn: one look for all of them."""

from __future__ import annotations

from typing import Any

__all__ = ["BLUE", "GOLD", "GREEN", "GRID", "INK", "PAPER", "SOFT", "STYLE", "canvas"]

INK, SOFT, GRID, PAPER = "#26242b", "#76707a", "#e4dfd6", "#fbf9f5"
BLUE, GOLD, GREEN = "#385cc4", "#e29400", "#46965c"
STYLE = {  # for matplotlib's rc_context
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": GRID,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 26,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "grid.color": GRID,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "legend.frameon": False,
}


def canvas(title: str, subtitle: str, size: tuple[float, float] = (6.4, 4.2)) -> tuple[Any, Any]:
    """(figure, axes) under a title and a line below it; ``size`` in inches."""
    from matplotlib.figure import Figure  # without pyplot: no state, no window
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=size, dpi=150, layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12))  # inches
    axes = figure.add_subplot()
    axes.set_title(title)
    under: dict[str, Any] = {"xycoords": "axes fraction", "xytext": (0, 8), "textcoords": "offset points"}
    axes.annotate(subtitle, (0, 1), color=SOFT, fontsize=9, **under).set_in_layout(False)
    return figure, axes
