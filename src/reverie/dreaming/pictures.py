"""Pictures that people bring: any file that Pillow reads, checked before it is decoded, in the size of a world."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from reverie.data.pictures import open_picture as read_picture
from reverie.data.pictures import to_rgb
from reverie.errors import PictureError, shorten

__all__ = ["MAX_PIXELS", "fit_picture", "open_picture"]

MAX_PIXELS = 25_000_000  # of a picture, counted before it is decoded


def open_picture(source: str | Path | Image.Image | np.ndarray) -> Image.Image:
    """A file, a Pillow picture or a uint8 (H, W, 3) array as an upright RGB picture; transparency becomes white.

    Raises PictureError for what is missing, no picture, cut short, or larger than ``MAX_PIXELS``.
    """
    if isinstance(source, (str, Path)):
        return Image.fromarray(read_picture(Path(source), MAX_PIXELS))
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3 or 0 in source.shape:
            raise PictureError(f"a picture is uint8 (height, width, 3), got {source.dtype} {source.shape}")
        source = Image.fromarray(source)
    if source.width * source.height > MAX_PIXELS:
        raise PictureError(f"the picture has {source.width}x{source.height} pixels; at most {MAX_PIXELS:,} are allowed")
    try:
        return Image.fromarray(to_rgb(source))
    except (OSError, SyntaxError, ValueError) as error:  # it was opened, and is decoded only now
        raise PictureError(f"the picture is damaged: {shorten(str(error))}") from error


def fit_picture(image: Image.Image, world: Any, side: int, cell_px: int) -> np.ndarray:
    """``image`` as uint8 (H, W, 3) in a size that the tokenizer can cut into cells.

    In a world whose lakes or rooms come in many sizes the picture must be one of them (PictureError); elsewhere it is
    resized: to the world's own picture, or to ``side`` px where no ``world`` is named.
    """
    if world is None:
        return np.asarray(image.resize((side, side), Image.Resampling.BOX))
    height, width = world.backdrop().shape[:2]
    if (width, height) == image.size:
        return np.asarray(image)
    if world.render().shape[:2] == (height, width):  # its pictures have one size
        return np.asarray(image.resize((width, height), Image.Resampling.BOX))
    if image.width % cell_px or image.height % cell_px or image.width > width or image.height > height:
        raise PictureError(
            f"a picture of {world.name} has sides that are multiples of {cell_px} px, at most {width}x{height}; "
            f"got {image.width}x{image.height}"
        )
    return np.asarray(image)
