"""Walks on lakes as they really go, and the maps and paths that are drawn for training and testing."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from reverie.worlds.frozenlake.maps import any_map, in_test_split, neighbour

__all__ = ["LakeWalk", "draw_walk", "parity_maps", "test_map", "training_map", "walk_of"]


@dataclass(frozen=True)
class LakeWalk:
    """A walk as it really goes: it ends in a hole, at the goal, or with the path. ``cells`` begins with the start."""

    desc: tuple[str, ...]
    path: tuple[int, ...]  # actions that were asked for
    cells: tuple[tuple[int, int], ...]  # where the elf was: one more than the steps it took

    @property
    def end(self) -> str:
        """The letter of the last cell."""
        row, col = self.cells[-1]
        return self.desc[row][col]

    @property
    def steps(self) -> int:
        return len(self.cells) - 1


def walk_of(desc: Sequence[str], path: Sequence[int]) -> LakeWalk:
    """The walk along ``path`` from the start of the map."""
    rows, cols = len(desc), len(desc[0])
    cell = next((r, c) for r in range(rows) for c in range(cols) if desc[r][c] == "S")
    cells = [cell]
    for action in path:
        cell = neighbour(cell, action, rows, cols)
        cells.append(cell)
        if desc[cell[0]][cell[1]] in "HG":
            break
    return LakeWalk(tuple(desc), tuple(path), tuple(cells))


def training_map(rng: np.random.Generator, sides: tuple[int, int] = (3, 8), test: bool = False) -> tuple[str, ...]:
    """A random map outside the test split (inside it with ``test``); it need not be solvable."""
    while True:
        desc = any_map(int(rng.integers(sides[0], sides[1] + 1)), rng)
        if in_test_split(desc) == test:
            return desc


test_map = functools.partial(training_map, test=True)


@functools.cache
def parity_maps(per_side: int = 1000, sides: tuple[int, int] = (3, 6), seed: int = 0) -> tuple[tuple[str, ...], ...]:
    """The fixed maps of the parity track: at most ``per_side`` different ones of each side."""
    rng = np.random.default_rng(seed)
    maps: list[tuple[str, ...]] = []
    for side in range(sides[0], sides[1] + 1):
        found: dict[tuple[str, ...], None] = {}
        while len(found) < per_side:
            found[training_map(rng, (side, side))] = None
        maps += found
    return tuple(maps)


def draw_walk(rng: np.random.Generator, maps: Callable[[np.random.Generator], tuple[str, ...]], steps: int) -> LakeWalk:
    """A map and a path. Blind paths soon end in a hole, so half of them avoid holes where they can."""
    desc = maps(rng)
    length, careful = int(rng.integers(1, steps + 1)), rng.random() < 0.5
    path: list[int] = []
    for _ in range(length):
        choices = rng.permutation(4).tolist()
        safe = [action for action in choices if walk_of(desc, [*path, action]).end != "H"]
        path.append(safe[0] if careful and safe else choices[0])
    return walk_of(desc, path)
