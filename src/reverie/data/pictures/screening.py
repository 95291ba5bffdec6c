"""What one picture is held to before it joins a collection: size, shape, tones, colour; and its perceptual hash."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from reverie.data.pictures.images import TooManyPixelsError, fit_square, is_grey, open_picture
from reverie.errors import PictureError
from reverie.files import atomic_write_bytes

__all__ = ["PICTURE_RULES", "Examined", "Rules", "colour_of", "difference_hash", "examine", "tones_of"]

# what `examine` refuses a picture by, in the order in which it looks
PICTURE_RULES = ("pixels", "broken", "small", "aspect", "blank", "colour")
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Rules:
    """The limits, and how a picture that passes them is written. 0 switches a limit off (``max_pixels`` stays)."""

    size: int  # side of the square that is written, px
    pad: str
    format: str  # png or jpg
    grey: bool  # write it without colour
    max_pixels: int  # of the original, by its header
    min_side: int  # the shorter side of the original, px
    max_aspect: float  # longer side / shorter side
    min_tones: float  # grey levels between the darkest and the lightest, of 255
    max_colour: float  # in [0, 1], see ``colour_of``; 1 allows any


@dataclass(frozen=True)
class Examined:
    """What is known of a picture once it was looked at. ``rule`` is empty where it passed."""

    rule: str = ""
    reason: str = ""
    width: int = 0  # of the original, px
    height: int = 0
    hash: str = ""
    box: tuple[int, int, int, int] = (0, 0, 0, 0)
    colour: float = 0.0
    tones: float = 0.0
    mean: float = 0.0  # grey inside the box, in [0, 1]

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"box": list(self.box)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Examined:
        return cls(**values | {"box": tuple(values["box"])})


def examine(path: Path, target: Path, rules: Rules) -> Examined:
    """Look at the picture in ``path``; where it passes all rules write its square to ``target``, whole or not at all.

    What is wrong with the picture is in the answer. Raises OSError only where ``target`` cannot be written.
    """
    try:
        picture = open_picture(path, rules.max_pixels)
    except TooManyPixelsError as error:
        return Examined("pixels", _without_path(error, path))
    except PictureError as error:
        return Examined("broken", _without_path(error, path))
    height, width = picture.shape[:2]
    colour, tones = colour_of(picture), tones_of(picture)
    found = Examined(width=width, height=height, colour=round(colour, 5), tones=round(tones, 2))
    rule, reason = _judge(found, rules)
    if rule:
        return Examined(rule, reason, width, height, "", (0, 0, 0, 0), found.colour, found.tones)
    if rules.grey and colour > 0:
        picture = _grey(picture)
    square, box = fit_square(picture, rules.size, rules.pad)
    atomic_write_bytes(target, _encoded(square, rules))
    inside = square[box[1] : box[3], box[0] : box[2]]
    mean = round(float(inside.mean(dtype=np.float64)) / 255, 5)
    return Examined("", "", width, height, difference_hash(picture), box, found.colour, found.tones, mean)


def difference_hash(picture: np.ndarray) -> str:
    """16 hex digits (64 bits): in an 8 × 9 reduction of the greys, is the right one of two neighbours lighter?

    By more than one level of 255, so that blank paper gives zeros rather than noise. Hashes of one picture in other
    sizes or after JPEG differ in at most 4 bits, nearly always; hashes of unrelated pictures in about 30. After
    N. Krawetz, "Kind of Like That" (2013).
    """
    grey = Image.fromarray(picture).convert("L").convert("F")
    cells = np.asarray(grey.resize((9, 8), Image.Resampling.LANCZOS))
    bits = np.packbits(cells[:, 1:] - cells[:, :-1] > 1.0)
    return bits.tobytes().hex()


def tones_of(picture: np.ndarray) -> float:
    """Grey levels, 0 to 255, between the darkest and the lightest; 0.1 % of the pixels at each end are noise."""
    counts = np.asarray(Image.fromarray(picture).convert("L").histogram()).cumsum()
    dark, light = np.searchsorted(counts, [counts[-1] * 0.001, counts[-1] * 0.999])
    return float(light - dark)


def colour_of(picture: np.ndarray) -> float:
    """The mean colour beyond one tint, in [0, 1]: about 0 for black and white, and for brown ink on yellow paper.

    Each of two colour differences is fitted as a quadratic of the lightness, which takes away what a tint of paper and
    ink explains. What is left over, of a reduction to at most 128 px, is averaged over the pixels.
    """
    if is_grey(picture):
        return 0.0
    image = Image.fromarray(picture)
    image.thumbnail((128, 128), Image.Resampling.BOX)
    pixels = np.asarray(image, np.float64).reshape(-1, 3) / 255  # (H*W, 3)
    light = pixels @ _LUMA
    red, green, blue = pixels.T
    differences = np.stack([red - green, (red + green) / 2 - blue], 1)
    tint = np.stack([np.ones_like(light), light, light**2], 1)
    left = differences - tint @ np.linalg.lstsq(tint, differences, rcond=None)[0]
    return float(np.hypot(left[:, 0], left[:, 1]).mean())


def _judge(found: Examined, rules: Rules) -> tuple[str, str]:
    """The first rule that refuses the picture, and why; empty strings where none does."""
    shorter, longer = sorted((found.width, found.height))
    if shorter < rules.min_side:
        return "small", f"{found.width} × {found.height} px; the shorter side must have {rules.min_side}"
    if rules.max_aspect and longer / shorter > rules.max_aspect:
        return "aspect", f"{found.width} × {found.height} px; the longer side may be {rules.max_aspect:g} times as long"
    if rules.min_tones and found.tones < rules.min_tones:
        return "blank", f"{found.tones:g} grey levels of 255; at least {rules.min_tones:g} are needed"
    if found.colour > rules.max_colour:
        return "colour", f"colour {found.colour:.3f}; at most {rules.max_colour:g} in a black and white style"
    return "", ""


def _grey(picture: np.ndarray) -> np.ndarray:
    return np.repeat(np.asarray(Image.fromarray(picture).convert("L"))[:, :, None], 3, axis=2)


def _encoded(square: np.ndarray, rules: Rules) -> bytes:
    kept = square[..., 0] if is_grey(square) else square  # a third of the bytes, the same picture
    data = io.BytesIO()
    Image.fromarray(kept).save(data, "PNG" if rules.format == "png" else "JPEG", quality=95)
    return data.getvalue()


def _without_path(error: PictureError, path: Path) -> str:
    return str(error).replace(f"the picture {path} ", "it ")
