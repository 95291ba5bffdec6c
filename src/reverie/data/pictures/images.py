"""Pictures from files, whatever their format, checked by their header first; fitted into squares; into files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from reverie.drawing import png_bytes
from reverie.errors import PictureError, shorten
from reverie.files import atomic_write_bytes

__all__ = [
    "ENDINGS",
    "MAX_PIXELS",
    "PADS",
    "TooManyPixelsError",
    "fit_square",
    "is_grey",
    "open_picture",
    "resize_picture",
    "save_picture",
    "to_rgb",
]

MAX_PIXELS = 100_000_000  # of one picture, counted before it is decoded
ENDINGS = frozenset(".bmp .dib .gif .jfif .jpe .jpeg .jpg .pgm .png .pnm .ppm .tif .tiff .webp".split())
PADS = ("border", "white", "black")
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM")


class TooManyPixelsError(PictureError):
    """The header of a picture promises more pixels than are allowed."""


def open_picture(path: Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The picture in ``path`` as uint8 (H, W, 3) in [0, 255], upright.

    The first frame of an animation; 16 bits and floats are scaled, CMYK and palettes converted, transparency laid on
    white. Raises PictureError, in one line, for what is missing, no picture, cut short, or larger than ``max_pixels``
    (by its header: such a picture is never decoded; TooManyPixelsError).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata; its warning of size is ours to give
            with Image.open(path, formats=_FORMATS) as image:
                return _upright(image, path, max_pixels)
    except PictureError:
        raise
    except FileNotFoundError as error:
        raise PictureError(f"the picture {path} does not exist") from error
    except UnidentifiedImageError as error:
        raise PictureError(f"the picture {path} is damaged, or of a format that is not read") from error
    except Image.DecompressionBombError as error:
        raise TooManyPixelsError(f"the picture {path} has more than {max_pixels:,} pixels") from error
    except MemoryError as error:
        raise PictureError(f"the picture {path} does not fit into memory") from error
    except OSError as error:
        raise PictureError(f"the picture {path} cannot be read: {_reason(error)}") from error
    except (ValueError, SyntaxError, EOFError, TypeError, KeyError, IndexError, ArithmeticError) as error:
        # what Pillow's decoders raise on bytes that make no sense
        raise PictureError(f"the picture {path} is damaged: {_reason(error)}") from error


def fit_square(picture: np.ndarray, side: int, pad: str = "border") -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """``picture``, uint8 (H, W, 3), as (side, side, 3) with its aspect kept, and its box inside.

    The box is (left, top, right, bottom) in px. ``pad`` is what surrounds it: "border", the median colour of the
    picture's outermost pixels; "white"; "black".
    """
    if pad not in PADS:
        raise PictureError(f"the padding is one of {', '.join(PADS)}, got '{shorten(pad)}'")
    if side < 1:
        raise PictureError(f"the side of a square is at least 1 px, got {side}")
    _check(picture)
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (side - new_width) // 2, (side - new_height) // 2
    square = np.empty((side, side, 3), np.uint8)
    square[:] = _border_colour(picture) if pad == "border" else 255 if pad == "white" else 0
    square[top : top + new_height, left : left + new_width] = resize_picture(picture, new_width, new_height)
    return square, (left, top, left + new_width, top + new_height)


def resize_picture(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """``picture``, uint8 (H, W, 3), in another size, by Lanczos: what is thinner than a pixel becomes a grey."""
    if picture.shape[:2] == (height, width):
        return picture
    image = Image.fromarray(picture)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0))


def is_grey(picture: np.ndarray) -> bool:
    """Whether uint8 (H, W, 3) has no colour at all."""
    return bool((picture[..., :1] == picture).all())


def save_picture(picture: np.ndarray, path: Path) -> Path:
    """Write uint8 (H, W, 3) as PNG, whole or not at all, and hand back the path. Raises OSError."""
    atomic_write_bytes(path, png_bytes(picture))
    return path


def _check(picture: np.ndarray) -> None:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        raise PictureError(f"a picture is uint8 (height, width, 3), got {picture.dtype} {picture.shape}")


def _border_colour(picture: np.ndarray) -> np.ndarray:
    edges = (picture[0], picture[-1], picture[:, 0], picture[:, -1])
    colour: np.ndarray = np.median(np.concatenate(edges), axis=0)
    return colour.round().astype(np.uint8)


def _upright(image: Image.Image, path: Path, max_pixels: int) -> np.ndarray:
    if image.width * image.height > max_pixels:
        raise TooManyPixelsError(
            f"the picture {path} has {image.width:,} × {image.height:,} pixels; at most {max_pixels:,} are read"
        )
    return to_rgb(image)


def to_rgb(image: Image.Image) -> np.ndarray:
    """uint8 (H, W, 3), upright: 16 bits and floats scaled, CMYK and palettes converted, transparency laid on white."""
    turned = ImageOps.exif_transpose(image)
    if turned.mode in ("I", "F") or turned.mode.startswith("I;16"):
        return np.repeat(_eight_bits(np.asarray(turned))[:, :, None], 3, axis=2)
    return np.array(_flat(turned))


def _flat(image: Image.Image) -> Image.Image:
    """RGB, on white where there is transparency."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, rgba).convert("RGB")


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Grey values of more than 8 bits, (H, W), as uint8. Floats may be in [0, 1], [0, 255] or [0, 65535]."""
    finite = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    top = float(finite.max(initial=0.0))
    if values.dtype.kind == "f":
        scale = 255.0 if top <= 1.0 else 1.0 if top <= 255.0 else 1 / 257
    else:
        scale = 1 / 257 if top <= 65_535 else 255.0 / top
    return np.clip(finite * scale, 0.0, 255.0).round().astype(np.uint8)


def _reason(error: Any) -> str:
    return shorten(str(getattr(error, "strerror", None) or error or type(error).__name__), 120)
