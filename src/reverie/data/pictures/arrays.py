"""A prepared collection made of arrays, for benchmarks whose pictures come from no folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from reverie.data.pictures.collection import METADATA_FILE, PREPARE_FILE, Collection, PictureRecord
from reverie.files import atomic_write_json, atomic_write_text

__all__ = ["write_collection"]


def write_collection(folder: Path, pictures: np.ndarray, captions: Sequence[str], splits: Sequence[str]) -> Collection:
    """Write uint8 (N, side, side, 3) pictures as PNG, with captions and splits, into ``folder`` (made if needed)."""
    side = pictures.shape[1]
    (folder / "images").mkdir(parents=True, exist_ok=True)
    records = []
    for number, (picture, caption, split) in enumerate(zip(pictures, captions, splits, strict=True)):
        file = f"images/{number:06d}.png"
        Image.fromarray(picture).save(folder / file)
        box = (0, 0, side, side)
        records.append(PictureRecord(file, caption, split, file, "given", box, side, side, f"{number:016x}"))
    atomic_write_text(folder / METADATA_FILE, "".join(record.to_json() + "\n" for record in records))
    atomic_write_json(folder / PREPARE_FILE, {"format": 1, "settings": {"size": side}})
    return Collection.open(folder)
