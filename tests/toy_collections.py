"""A prepared collection that a test makes in a moment: grey pictures that their captions tell apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reverie.data.pictures import Collection, write_collection

KINDS = {
    "a bright disc": (True, 230),
    "a dark disc": (True, 40),
    "a bright square": (False, 230),
    "a dark square": (False, 40),
}


def toy_picture(kind: str, side: int, rng: np.random.Generator) -> np.ndarray:
    """uint8 (side, side): a disc or a square somewhere on grey paper."""
    is_disc, tone = KINDS[kind]
    rows, columns = np.mgrid[:side, :side]
    y, x = rng.uniform(0.35, 0.65, 2) * side
    away = np.hypot(rows - y, columns - x) if is_disc else np.maximum(abs(rows - y), abs(columns - x))
    picture = np.where(away < side * rng.uniform(0.2, 0.3), tone, 130) + rng.normal(0, 3, (side, side))
    return picture.clip(0, 255).astype(np.uint8)


def toy_collection(folder: Path, num_train: int = 24, num_val: int = 8, side: int = 16, seed: int = 0) -> Collection:
    rng = np.random.default_rng(seed)
    kinds = [list(KINDS)[number % len(KINDS)] for number in range(num_train + num_val)]
    grey = [toy_picture(kind, side, rng) for kind in kinds]
    pictures = np.repeat(np.stack(grey)[..., None], 3, axis=-1)
    return write_collection(folder, pictures, kinds, ["train"] * num_train + ["val"] * num_val)
