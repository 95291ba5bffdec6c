"""Contact sheets: many pictures on one, in rows, each with its caption below."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from reverie.data.pictures.images import fit_square

__all__ = ["contact_sheet"]

_GAP = 8  # px between pictures
_PAPER, _INK = (255, 255, 255), (32, 32, 32)
_MOST_LINES, _MOST_LETTERS = 3, 400  # of a caption


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
    font = ImageFont.load_default(max(9, side // 13))
    line_height = _line_height(font)
    words_height = _MOST_LINES * line_height + _GAP // 2 if captions is not None else 0
    step_x, step_y = side + _GAP, side + words_height + _GAP
    sheet = Image.new("RGB", (columns * step_x + _GAP, rows * step_y + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, picture in enumerate(pictures):
        x, y = _GAP + index % columns * step_x, _GAP + index // columns * step_y
        sheet.paste(Image.fromarray(fit_square(picture, side, "white")[0]), (x, y))
        if captions is not None:
            for number, line in enumerate(_wrapped(_drawable(captions[index], font), font, side)):
                draw.text((x, y + side + _GAP // 2 + number * line_height), line, _INK, font)
    return np.asarray(sheet)


def _drawable(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """``text`` in letters that the font has: é as e, where it lacks é; what has no such relative is left out."""
    lacking = bytes(font.getmask("\uffff"))
    drawn = []
    for letter in text[:_MOST_LETTERS]:
        if not letter.isascii() and bytes(font.getmask(letter)) == lacking:
            letter = "".join(part for part in unicodedata.normalize("NFKD", letter) if part.isascii())
        drawn.append(letter)
    return "".join(drawn)


def _line_height(font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> int:
    top, bottom = font.getbbox("Åg")[1::2]
    return math.ceil(bottom - min(0, top)) + 1


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """At most ``_MOST_LINES`` lines no wider than ``width`` px; an ellipsis says that there is more."""
    lines, line, words = list[str](), "", text.split()
    for word in words:
        if font.getlength(f"{line} {word}".strip()) <= width:
            line = f"{line} {word}".strip()
            continue
        if line:
            lines.append(line)
        line = _cut(word, font, width)
    lines += [line] if line else []
    if len(lines) <= _MOST_LINES:
        return lines
    return [*lines[: _MOST_LINES - 1], _cut(f"{lines[_MOST_LINES - 1]} …", font, width, "…")]


def _cut(word: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int, end: str = "…") -> str:
    """``word`` itself where it fits, else as many of its letters as do."""
    if font.getlength(word) <= width:
        return word
    word = word.removesuffix(end).rstrip()
    while word and font.getlength(word + end) > width:
        word = word[:-1]
    return word + end
