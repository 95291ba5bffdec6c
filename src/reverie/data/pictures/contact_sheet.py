"""Contact sheets: many pictures on one, in rows, each with its caption below."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from reverie.data.pictures.images import fit_square
from reverie.drawing import Font, font, wrap_lines

__all__ = ["contact_sheet"]

_GAP = 8  # px between pictures
_PAPER, _INK = (255, 255, 255), (32, 32, 32)
_MOST_LINES = 3  # of a caption


def contact_sheet(
    pictures: Sequence[np.ndarray],
    captions: Sequence[str] | None = None,
    columns: int = 0,
    side: int = 160,
) -> np.ndarray:
    """uint8 (height, width, 3): ``pictures``, uint8 (H, W, 3) of any sizes, each in a square of ``side`` px.

    ``columns=0`` chooses a sheet about as wide as high. Captions are cut after three lines. No picture at all gives an
    empty sheet of one square.
    """
    columns = columns or max(1, math.ceil(math.sqrt(len(pictures))))
    rows = max(1, math.ceil(len(pictures) / columns))
    letters = font(max(9, side // 13))
    line_height = _line_height(letters)
    words_height = _MOST_LINES * line_height + _GAP // 2 if captions is not None else 0
    step_x, step_y = side + _GAP, side + words_height + _GAP
    sheet = Image.new("RGB", (columns * step_x + _GAP, rows * step_y + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, picture in enumerate(pictures):
        x, y = _GAP + index % columns * step_x, _GAP + index // columns * step_y
        sheet.paste(Image.fromarray(fit_square(picture, side, "white")[0]), (x, y))
        if captions is not None:
            for number, line in enumerate(wrap_lines(captions[index], letters, side, _MOST_LINES)):
                draw.text((x, y + side + _GAP // 2 + number * line_height), line, _INK, letters)
    return np.asarray(sheet)


def _line_height(letters: Font) -> int:
    top, bottom = letters.getbbox("Åg")[1::2]
    return math.ceil(bottom - min(0, top)) + 1
