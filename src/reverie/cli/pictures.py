"""A small colour preview of a dream in the terminal: two pixels a character, through rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.style import Style
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console

    from reverie.dreaming.strip import Branch

__all__ = ["half_blocks", "show_branch"]

_MAX_SIDE = 32  # characters across one picture, which is 32 × 32 pixels
_MIN_SIDE = 22  # below that little can be recognized
_ARROW = 10  # characters for an action between two pictures


def show_branch(console: Console, branch: Branch) -> bool:
    """Print the pictures of ``branch`` side by side, as many as fit: the first ones and the last.

    Returns False, having printed nothing, where the console shows no colours, is too narrow, or nothing was pictured.
    """
    shown = [panel for panel in branch.panels if panel.picture is not None]
    if not console.is_terminal or console.color_system in (None, "standard") or not shown:
        return False
    count = min(len(branch.panels), (console.width + _ARROW) // (_MIN_SIDE + _ARROW))
    if count < 2:
        return False
    side = min(_MAX_SIDE, (console.width - (count - 1) * _ARROW) // count)
    chosen = [*range(count - 1), len(branch.panels) - 1]
    table = Table.grid()
    cells: list[Text] = []
    captions: list[Text] = []
    for place, index in enumerate(chosen):
        panel = branch.panels[index]
        if place:
            skipped = index - chosen[place - 1] - 1
            words = f"{skipped + 1} steps" if skipped else branch.actions[index - 1]
            cells.append(_arrow(words))
            captions.append(Text(""))
            table.add_column(width=_ARROW, justify="center", vertical="middle")
        table.add_column(width=side)
        cells.append(Text("") if panel.picture is None else half_blocks(panel.picture, side))
        captions.append(Text(panel.caption, style="dim"))
    table.add_row(*cells)
    table.add_row(*captions)
    console.print(table)
    return True


def half_blocks(picture: np.ndarray, side: int) -> Text:
    """``picture`` (uint8 (H, W, 3)) in ``side`` characters across: each ▀ shows two pixels, one above the other."""
    import numpy as np
    from PIL import Image

    height, width = picture.shape[:2]
    rows = max(2, 2 * round(side * height / width / 2))
    how = Image.Resampling.BOX if width > side else Image.Resampling.NEAREST
    small = np.asarray(Image.fromarray(picture).resize((side, rows), how))
    text = Text()
    for row in range(0, rows, 2):
        for above, below in zip(small[row], small[row + 1], strict=True):
            text.append("▀", Style(color=_hex(above), bgcolor=_hex(below)))
        text.append("\n" if row + 2 < rows else "")
    return text


def _arrow(words: str) -> Text:
    return Text(f"{words}\n───▶", style="bold cyan", justify="center")


def _hex(pixel: np.ndarray) -> str:
    return "#{:02x}{:02x}{:02x}".format(*pixel)
