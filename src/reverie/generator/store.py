"""The pictures of a collection for training: read once, kept as small as they are, cut and resized anew each time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from reverie.data.pictures import Collection, is_grey, open_picture
from reverie.errors import ConfigError
from reverie.progress import Progress, no_progress

__all__ = ["Augment", "PictureStore", "all_grey"]


@dataclass(frozen=True)
class Augment:
    """How a picture differs each time it is shown."""

    flip: bool = True  # left and right, every other time
    crop: float = 0.12  # at most this share of the side is cut off
    tone: float = 0.06  # at most this much brighter or darker, and more or less contrast, in [-1, 1]

    def __post_init__(self) -> None:
        if not 0 <= self.crop < 0.9 or not 0 <= self.tone <= 1:
            raise ConfigError(f"augment: crop lies in [0, 0.9) and tone in [0, 1], got {self.crop} and {self.tone}")


class PictureStore:
    """Pictures as uint8, one channel where a picture is grey; beyond ``most_bytes`` they are read again each time."""

    def __init__(self, collection: Collection, side: int, most_bytes: int = 2 * 10**9):
        self.collection, self.side, self.most_bytes = collection, side, most_bytes
        self._kept: dict[int, Image.Image] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.collection)

    def original(self, row: int) -> np.ndarray:
        """uint8 (S, S, 3), as it is."""
        return self._resized(row, None)

    def varied(self, row: int, augment: Augment, rng: np.random.Generator) -> np.ndarray:
        """uint8 (S, S, 3), cut, mirrored and toned by chance."""
        whole = self._picture(row).width
        size = whole * (1 - augment.crop * rng.random())
        left, top = rng.random(2) * (whole - size)
        picture = self._resized(row, (left, top, left + size, top + size))
        if augment.flip and rng.random() < 0.5:
            picture = picture[:, ::-1]
        contrast, brightness = 1 + augment.tone * rng.uniform(-1, 1, 2)
        toned: np.ndarray = (picture.astype(np.float32) - 127.5) * contrast + 127.5 * brightness
        return toned.clip(0, 255).round().astype(np.uint8)

    def _resized(self, row: int, box: tuple[float, float, float, float] | None) -> np.ndarray:
        picture = self._picture(row)
        if box is not None or picture.width != self.side:
            picture = picture.resize((self.side, self.side), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
        return np.array(picture.convert("RGB"))  # a copy, which torch may write to

    def _picture(self, row: int) -> Image.Image:
        if row in self._kept:
            return self._kept[row]
        array = open_picture(self.collection.folder / self.collection.records[row].file)
        grey = is_grey(array)
        picture = Image.fromarray(array[..., 0] if grey else array)
        while picture.width >= 4 * self.side:  # nothing finer is ever looked at
            picture = picture.reduce(2)
        size = picture.width * picture.height * (1 if grey else 3)
        if self._bytes + size <= self.most_bytes:
            self._kept[row] = picture
            self._bytes += size
        return picture


def all_grey(collection: Collection, progress: Progress = no_progress) -> bool:
    """Whether every picture of the training split is in shades of grey."""
    train = collection.split("train")
    for number, record in enumerate(train.records):
        progress("looking for colours", number, len(train))
        if not is_grey(open_picture(collection.folder / record.file)):
            return False
    return True
