"""Pictures of lakes, put together from cells that Gymnasium itself rendered once; and cells read back from pixels."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence

import numpy as np

__all__ = ["CELL_PX", "CRACKS", "cell_pictures", "crack", "paint", "read_cells", "tile_of"]

CELL_PX = 64
CRACKS = 7  # cells after which the ice is cracked as before


def crack(row: int, col: int, shift: int = 0) -> str:
    """Which of Gymnasium's ice textures lies at a cell: ``a``, ``b``, or plain ````. ``shift``: of a lake from which
    rows and columns were cut."""
    return {0: "a", 1: "b"}.get((col * 3 + row * 5 + shift) % CRACKS, "")


def tile_of(desc: Sequence[str], row: int, col: int, elf: bool, shift: int = 0) -> tuple[str, bool]:
    """What is drawn at a cell, as a key of ``cell_pictures``. In a hole no elf is drawn."""
    letter = desc[row][col]
    return letter + crack(row, col, shift) if letter == "F" else letter, elf and letter != "H"


@functools.cache
def cell_pictures() -> dict[tuple[str, bool], np.ndarray]:
    """(tile, elf?) -> uint8 (64, 64, 3), cut out of pictures that Gymnasium rendered."""
    from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv

    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pictures need no screen, and SDL complains where there is none
    desc = ["SFFFFFFH", "FFFFFFFG", *["FFFFFFFF"] * 6]
    env = FrozenLakeEnv(desc=desc, is_slippery=False, render_mode="rgb_array")
    env.reset(seed=0)
    tiles: dict[tuple[str, bool], np.ndarray] = {}
    for elf in range(16):
        env.s = elf
        picture = np.asarray(env.render())
        for cell in range(16):
            row, col = divmod(cell, 8)
            tile = picture[row * 64 : row * 64 + 64, col * 64 : col * 64 + 64]
            tiles[tile_of(desc, row, col, cell == elf)] = np.ascontiguousarray(tile)
    env.close()
    return tiles


def paint(desc: Sequence[str], elf: tuple[int, int] | None) -> np.ndarray:
    """The picture of a map with the elf on a cell (none when it fell into a hole): uint8 (rows·64, cols·64, 3)."""
    tiles = cell_pictures()
    picture = np.empty((len(desc) * CELL_PX, len(desc[0]) * CELL_PX, 3), dtype=np.uint8)
    for row, line in enumerate(desc):
        for col in range(len(line)):
            tile = tiles[tile_of(desc, row, col, elf == (row, col))]
            picture[row * 64 : row * 64 + 64, col * 64 : col * 64 + 64] = tile
    return picture


def read_cells(picture: np.ndarray) -> list[list[tuple[str, bool]]] | None:
    """The (tile, elf?) nearest to each cell of a picture, row by row; None where it is not made of whole cells."""
    rows, cols = picture.shape[0] // CELL_PX, picture.shape[1] // CELL_PX
    if picture.shape != (rows * CELL_PX, cols * CELL_PX, 3) or not rows or not cols:
        return None
    names, small = _thumbnails()
    nearest = np.abs(thumbnails(picture).reshape(rows * cols, 1, -1) - small).mean(-1).argmin(1)
    return [[names[index] for index in line] for line in nearest.reshape(rows, cols)]


def thumbnails(picture: np.ndarray) -> np.ndarray:
    """Cells averaged to 8×8 pixels: uint8 (rows·64, cols·64, 3) -> float (rows, cols, 8·8·3)."""
    rows, cols = picture.shape[0] // CELL_PX, picture.shape[1] // CELL_PX
    small: np.ndarray = picture.reshape(rows, 8, 8, cols, 8, 8, 3).astype(np.float32).mean((2, 5))
    return small.transpose(0, 2, 1, 3, 4).reshape(rows, cols, -1)


@functools.cache
def _thumbnails() -> tuple[list[tuple[str, bool]], np.ndarray]:
    tiles = cell_pictures()
    return list(tiles), np.stack([thumbnails(tile).reshape(-1) for tile in tiles.values()])[None]
