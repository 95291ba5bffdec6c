"""How a world looks at a picture that somebody brought, where it has no better way of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from reverie.worlds.contract import World

__all__ = ["Sighting", "sight_whole", "trimmed"]

_FAR = 12.0  # most levels (of 255) between a picture and what was read from it, on average
_SHARE = 0.97  # of a row or column in one colour, from which it is margin
_SAME = 12  # levels between pixels of one colour, at most


@dataclass(frozen=True)
class Sighting:
    """What a world finds in a picture that people brought.

    ``picture``: what was found, as the world itself shows it, uint8 (H, W, 3), None where there is nothing of it;
    ``likeness`` in [0, 1]: how much of it looks as it should; ``why``: what was found, in words, without a full stop.
    """

    picture: np.ndarray | None
    likeness: float
    why: str


def sight_whole(world: World, picture: np.ndarray) -> Sighting:
    """What ``world`` reads from the whole of ``picture``, uint8 (H, W, 3), or from what a margin leaves of it.

    It is resized where the world's pictures have one size. What is read must look like the picture when it is painted
    anew, if the world can do that.
    """
    best = Sighting(None, 0.0, f"it shows nothing of the world {world.name}")
    for part in (picture, trimmed(picture)):
        for fitted in _fitted(world, part):
            state = world.read(fitted)
            if state is None:
                continue
            painted = world.picture_of(state)
            found = fitted if painted is None else painted
            far = float(np.abs(fitted.astype(np.float32) - found).mean())
            if far <= _FAR:
                return Sighting(found, 1.0 - far / 255, f"it shows the world {world.name}")
            best = Sighting(None, 0.5, f"it is not like anything that the world {world.name} shows")
    return best


def _fitted(world: World, picture: np.ndarray) -> Iterator[np.ndarray]:
    height, width = picture.shape[:2]
    if side := world.default_side:
        if max(height, width) <= 1.1 * min(height, width):
            how = Image.Resampling.BOX if min(height, width) >= side else Image.Resampling.BICUBIC
            yield np.asarray(Image.fromarray(picture).resize((side, side), how))
    elif not (
        height % world.cell_px or width % world.cell_px or max(height, width) > (world.max_side or height * width)
    ):
        yield picture


def trimmed(picture: np.ndarray) -> np.ndarray:
    """``picture`` without the rows and columns at its edges that are of one colour; as it is where nothing is left."""
    same = np.abs(picture.astype(np.int16) - np.median(_rim(picture), axis=0)).max(-1) <= _SAME
    rows, cols = (np.nonzero(same.mean(axis) < _SHARE)[0] for axis in (1, 0))
    if not len(rows) or not len(cols):
        return picture
    return np.ascontiguousarray(picture[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1])


def _rim(picture: np.ndarray) -> np.ndarray:
    """The outermost pixels, (n, 3)."""
    return np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
