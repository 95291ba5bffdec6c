"""Pictures as bytes, and words on pictures: PNG, GIF, and text that fits where it stands.

The bundled font knows Latin letters alone, so a letter that it lacks is drawn as its nearest plain relative.
"""

from __future__ import annotations

import bisect
import io
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageFont
from PIL.PngImagePlugin import PngInfo

__all__ = ["Font", "clip_line", "drawable", "font", "gif_bytes", "png_bytes", "wrap_lines"]

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_LATIN = dict(zip("–—×→ßæœøłđðþı", ("-", "-", "x", "->", "ss", "ae", "oe", "o", "l", "d", "d", "th", "i")))
_PLAIN = _LATIN | dict(zip("‘’“”…", ("'", "'", '"', '"', "...")))


def png_bytes(picture: np.ndarray | Image.Image, about: Mapping[str, str] | None = None) -> bytes:
    """uint8 (H, W, 3), (H, W) of greys, or a Pillow picture, as a PNG that carries the texts ``about``."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    notes, file = PngInfo(), io.BytesIO()
    for name, text in (about or {}).items():
        notes.add_itxt(name, text.replace("\0", ""))
    image.save(file, "PNG", pnginfo=notes)  # the smallest PNG takes ten times as long where a picture is smooth
    return file.getvalue()


def gif_bytes(pictures: Sequence[Image.Image], durations_ms: Sequence[int], one_palette: bool = False) -> bytes:
    """Pictures of one size as an endless GIF. ``one_palette`` keeps colours from flickering, for drawings of few."""
    palette = None
    if one_palette:
        width, height = pictures[0].size
        film = Image.new("RGB", (width, height * len(pictures)))
        for index, picture in enumerate(pictures):
            film.paste(picture, (0, index * height))
        palette = film.quantize(256, dither=Image.Dither.NONE)
    first, *rest = [picture.quantize(256, palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=rest, duration=[*durations_ms], loop=0, optimize=False)
    return file.getvalue()


@cache
def font(size: int) -> Font:
    """The bundled font, so many px high."""
    return ImageFont.load_default(size)


def drawable(text: str) -> str:
    """``text`` in letters that the font has; a letter without a plain relative becomes "□", so that it is missed."""
    return "".join(map(_drawable, text))


def clip_line(text: str, kind: Font, width: float) -> str:
    """``text``, cut with an ellipsis where it is wider than ``width`` px."""
    if kind.getlength(text) <= width:
        return text
    kept = bisect.bisect_right(range(len(text)), width, key=lambda end: kind.getlength(text[:end] + "…")) - 1
    return text[: max(kept, 0)].rstrip() + "…"


def wrap_lines(text: str, kind: Font, width: float, most: int) -> list[str]:
    """``text`` broken at spaces into at most ``most`` lines of at most ``width`` px; an ellipsis says that more was
    there."""
    lines: list[str] = []
    for word in drawable(text[:2000]).split():
        if lines and kind.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    kept = lines[:most]
    if len(lines) > most and kept:
        kept[-1] += " …"
    return [clip_line(line, kind, width) for line in kept]


@cache
def _drawable(letter: str) -> str:
    if letter <= "~" or not _is_missing(letter):
        return letter
    parts = unicodedata.normalize("NFKD", _PLAIN.get(letter, letter))
    plain = "".join(part for part in parts if not unicodedata.combining(part))
    return plain if plain and not any(map(_is_missing, plain)) else "□" if not _is_missing("□") else "?"


def _is_missing(letter: str) -> bool:
    sign, missing = (bytes(font(20).getmask(one)) for one in (letter, "\uffff"))
    return letter > "~" and sign == missing
