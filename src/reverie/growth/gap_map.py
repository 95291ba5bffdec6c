"""A map of what is not known: each question a dot, each gap a colour with its name."""

from __future__ import annotations

import io

from reverie.growth.gaps import Gaps

__all__ = ["draw_gaps"]


def draw_gaps(found: Gaps, model: str) -> bytes:
    """A PNG."""
    import matplotlib
    from matplotlib import colormaps

    from reverie.training.plotting import INK, SOFT, STYLE, canvas

    count = sum(len(gap.attempts) for gap in found.gaps) + len(found.alone)
    with matplotlib.rc_context(STYLE):
        figure, axes = canvas(f"What {model} does not know", f"{count} questions, {len(found.gaps)} gaps", (8.0, 5.4))
        axes.scatter(*found.alone_place.T, s=18, color=SOFT, alpha=0.5, linewidths=0)
        colors = colormaps["tab10"]
        for number, gap in enumerate(found.gaps):
            axes.scatter(*gap.place.T, s=26, color=colors(number % 10), alpha=0.8, linewidths=0)
            label = f"{gap.name}\n{len(gap.attempts)} questions" + (f", {gap.expert}" if gap.expert else "")
            axes.annotate(label, gap.place.mean(0), xytext=(0, 9), textcoords="offset points", ha="center", fontsize=9,
                          color=INK, bbox={"boxstyle": "round", "fc": "w", "ec": "none", "alpha": 0.7})  # fmt: skip
        axes.set_xticks([])
        axes.set_yticks([])
        axes.margins(0.15)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
