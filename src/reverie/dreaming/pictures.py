"""Pictures that people bring: any file that Pillow reads, checked before it is decoded."""

from __future__ import annotations

from pathlib import Path

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


def fit_picture(image: Image.Image, side: int) -> np.ndarray:
    """``image`` as uint8 (side, side, 3), whatever it shows."""
    return np.asarray(image.resize((side, side), Image.Resampling.BOX))
