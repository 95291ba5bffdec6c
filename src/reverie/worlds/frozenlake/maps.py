"""Maps of lakes: how people write them, how they are drawn at random, which are kept for testing, and moves on them."""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from collections.abc import Sequence

import numpy as np

from reverie.errors import WorldError, nearest, shorten

__all__ = [
    "ACTIONS",
    "MAX_SIDE",
    "any_map",
    "in_test_split",
    "map_hash",
    "neighbour",
    "parse_actions",
    "parse_map",
    "random_map",
    "shortest_plan",
]

ACTIONS = ("left", "down", "right", "up")
_LETTERS = "LDRU"
_MOVES = ((0, -1), (1, 0), (0, 1), (-1, 0))
MIN_SIDE, MAX_SIDE = 2, 8  # rows and columns of a map


def parse_map(desc: str | Sequence[str]) -> tuple[str, ...]:
    """Rows of S, F, H, G; WorldError when it is no map.

    ``desc``: the rows, with commas, slashes, spaces or line ends between them (``"SFF,FHF,FFG"``), as a sequence or as
    a JSON list; or the name of one of Gymnasium's own maps (``"4x4"``, ``"8x8"``).
    """
    rows = tuple(row.strip().upper() for row in (_split(desc.strip()) if isinstance(desc, str) else desc))
    rows = tuple(row for row in rows if row)
    if not rows:
        raise WorldError("the map is empty; give rows such as SFF,FHF,FFG")
    if len({len(row) for row in rows}) > 1:
        raise WorldError(
            f"every row of a map has the same length, got {', '.join(shorten(row, 12) for row in rows[:8])}"
        )
    if not (MIN_SIDE <= len(rows) <= MAX_SIDE and MIN_SIDE <= len(rows[0]) <= MAX_SIDE):
        raise WorldError(
            f"a map has {MIN_SIDE} to {MAX_SIDE} rows and columns, got {len(rows)}x{len(rows[0])}: "
            f"{', '.join(shorten(row, 12) for row in rows[:8])}"
        )
    letters = "".join(rows)
    wrong = sorted(set(letters) - set("SFHG"))
    if wrong:
        raise WorldError(f"a map is made of S (start), F (ice), H (hole), G (goal), got '{wrong[0]}'")
    if letters.count("S") != 1 or letters.count("G") != 1:
        raise WorldError(f"a map has one S and one G, got {letters.count('S')} and {letters.count('G')}")
    return rows


def _split(text: str) -> list[str]:
    """The rows of a map in one text."""
    if text.startswith("["):
        try:
            rows = json.loads(text)
        except ValueError:
            rows = None
        if not isinstance(rows, list) or not all(isinstance(row, str) for row in rows):
            raise WorldError(f'a map in JSON is a list of rows such as ["SFF", "FHF", "FFG"], got \'{shorten(text)}\'')
        return rows
    if re.fullmatch(r"\d+ *[xX×] *\d+", text):
        from gymnasium.envs.toy_text.frozen_lake import MAPS

        if text not in MAPS:
            raise WorldError(
                f"'{text}' is a size and no map; give rows such as SFF,FHF,FFG, or one of Gymnasium's maps: "
                f"{', '.join(sorted(MAPS))}"
            )
        return list(MAPS[text])
    return re.split(r"[\s,;/]+", text)


def parse_actions(text: str | Sequence[str]) -> list[int]:
    """``"RRD"``, ``"right,down"`` or a list of names -> actions; WorldError naming the first unknown one."""
    if isinstance(text, str):
        words = text.replace(",", " ").split()
        if all(set(word.upper()) <= set(_LETTERS) for word in words):
            words = list("".join(words))
    else:
        words = list(text)
    if not words:
        raise WorldError("no actions given; give letters such as RRDD or names such as right,down")
    actions = []
    for word in words:
        if word.upper() in _LETTERS:
            actions.append(_LETTERS.index(word.upper()))
        elif word.lower() in ACTIONS:
            actions.append(ACTIONS.index(word.lower()))
        else:
            near = nearest(word, ACTIONS)
            hint = f" Did you mean '{near}'?" if near else ""
            raise WorldError(
                f"FrozenLake has no action '{shorten(word)}'.{hint} Known: {', '.join(ACTIONS)} (L, D, R, U)."
            )
    return actions


def neighbour(cell: tuple[int, int], action: int, rows: int, cols: int) -> tuple[int, int]:
    """The cell that ``action`` leads to; against the edge, the same cell."""
    (row, col), (down, right) = cell, _MOVES[action]
    return min(max(row + down, 0), rows - 1), min(max(col + right, 0), cols - 1)


def shortest_plan(desc: Sequence[str], start: tuple[int, int] | None = None) -> list[int] | None:
    """One shortest sequence of actions from ``start``, or S, to G that avoids holes, None when there is none. For
    judging and teaching only."""
    rows, cols = len(desc), len(desc[0])
    start = start or next((r, row.index("S")) for r, row in enumerate(desc) if "S" in row)
    paths: dict[tuple[int, int], list[int]] = {start: []}
    queue = deque([start])
    while queue:
        row, col = cell = queue.popleft()
        if desc[row][col] == "G":
            return paths[cell]
        for action in range(4):
            there = neighbour(cell, action, rows, cols)
            if there not in paths and desc[there[0]][there[1]] != "H":
                paths[there] = [*paths[cell], action]
                queue.append(there)
    return None


def any_map(side: int, rng: np.random.Generator, holes: float | None = None) -> tuple[str, ...]:
    """A square map with S and G anywhere, solvable or not; ``holes``: their share, default drawn from 0.05 to 0.45."""
    share = rng.uniform(0.05, 0.45) if holes is None else holes
    grid = np.where(rng.random((side, side)) < share, "H", "F")
    start, goal = rng.choice(side * side, size=2, replace=False)
    grid.flat[start], grid.flat[goal] = "S", "G"
    return tuple("".join(row) for row in grid)


def random_map(side: int, rng: np.random.Generator, holes: float | None = None) -> tuple[str, ...]:
    """``any_map`` that can be solved."""
    while shortest_plan(desc := any_map(side, rng, holes)) is None:
        pass
    return desc


def map_hash(desc: Sequence[str]) -> str:
    """A stable hash of a map, the same on every machine."""
    return hashlib.sha256("/".join(desc).encode()).hexdigest()[:16]


def in_test_split(desc: Sequence[str]) -> bool:
    """True for the half of all maps that is never drawn for training."""
    return int(map_hash(desc)[-1], 16) % 2 == 0
