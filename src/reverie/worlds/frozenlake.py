"""FrozenLake: Gymnasium's own environment on any map, never slippery, with a narrator.

**Description.** An elf crosses a frozen lake of 2×2 to 8×8 cells without falling into a hole.
**Actions.** left, down, right, up. Walking against the edge leaves the elf where it is.
**Observations.** The elf's cell, ``row * columns + column``, as in Gymnasium.
**Rewards.** 1 at the goal, else 0.
**Termination.** At the goal or in a hole (there Gymnasium no longer draws the elf). With the option
``goal_ends=False`` the elf may walk on over the goal, as Visual Spatial Planning has it.

The picture is composed from cells that Gymnasium itself rendered once, and equals its picture pixel for pixel.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from reverie.errors import WorldError, nearest, shorten
from reverie.worlds.contract import Episode, Question, World

__all__ = [
    "ACTIONS",
    "FrozenLake",
    "in_test_split",
    "map_hash",
    "parse_actions",
    "parse_map",
    "random_map",
    "shortest_plan",
]

ACTIONS = ("left", "down", "right", "up")
_LETTERS = "LDRU"
_MOVES = ((0, -1), (1, 0), (0, 1), (-1, 0))
CELL_PX = 64
MAX_SIDE = 8


class FrozenLake(World):
    """See the module. ``desc``: a map as ``parse_map`` takes it; ``reset(options={"desc": …})`` changes it."""

    wordless = True
    name = "FrozenLake"
    cell_px = CELL_PX
    action_names = ACTIONS

    def __init__(
        self, desc: str | Sequence[str] = ("SFFF", "FHFH", "FFFH", "HFFG"), render_mode: str | None = "rgb_array"
    ):
        self.render_mode = render_mode
        self.narrator = LakeNarrator()
        self.goal_ends = True
        self._load(parse_map(desc))

    def _load(self, desc: tuple[str, ...]) -> None:
        from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv

        self.desc = desc
        self._env = FrozenLakeEnv(desc=list(desc), is_slippery=False)
        self._env.reset(seed=0)  # a lake can be drawn before anybody resets it
        self.action_space = self._env.action_space
        self.observation_space = self._env.observation_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        options = dict(options or {})
        if "desc" in options and (desc := parse_map(options["desc"])) != self.desc:
            self._load(desc)
        self.goal_ends = bool(options.get("goal_ends", True))
        observation, info = self._env.reset(seed=seed)
        if "cell" in options:  # start from any cell that is no hole, for recording single steps
            row, col = options["cell"]
            self._env.s = observation = int(row) * len(self.desc[0]) + int(col)
        return observation, info

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        if not self.goal_ends and self.state()["on"] == "G":  # Gymnasium would stay there for ever
            self._env.s = self._beside(int(action))
            terminated = self.state()["on"] == "H"
            return self._env.s, 0.0, terminated, False, {"prob": 1.0}
        observation, reward, terminated, truncated, info = self._env.step(int(action))
        terminated = terminated and (self.goal_ends or self.state()["on"] == "H")
        return observation, float(reward), terminated, truncated, info

    def _beside(self, action: int) -> int:
        row, col = neighbour(self.cell, action, len(self.desc), len(self.desc[0]))
        return row * len(self.desc[0]) + col

    @property
    def endings(self) -> dict[str, bool]:
        return {"falls": False, "goal": True} if self.goal_ends else {"falls": False}

    @property
    def cell(self) -> tuple[int, int]:
        row, col = divmod(int(self._env.s), len(self.desc[0]))
        return row, col

    def state(self) -> dict[str, Any]:
        row, col = self.cell
        return {"desc": list(self.desc), "cell": [row, col], "on": self.desc[row][col]}

    def render(self) -> np.ndarray:
        return paint(self.desc, self.cell)

    def backdrop(self) -> np.ndarray:
        """The empty lake at its largest."""
        return paint(("F" * MAX_SIDE,) * MAX_SIDE, None)

    def read(self, picture: np.ndarray) -> dict[str, Any] | None:
        """The cells and the elf's place, each cell by its nearest tile. ``cell`` is None where no elf is drawn."""
        rows, cols = picture.shape[0] // CELL_PX, picture.shape[1] // CELL_PX
        if picture.shape != (rows * CELL_PX, cols * CELL_PX, 3) or not rows or not cols:
            return None
        names, small = _thumbnails()
        grid = thumbnails(picture).reshape(rows * cols, 1, -1)
        found = [names[index] for index in np.abs(grid - small).mean(-1).argmin(1)]
        elves = [index for index, (_, elf) in enumerate(found) if elf]
        if len(elves) > 1:
            return None
        letters = [tile[0] for tile, _ in found]
        desc = ["".join(letters[row * cols : (row + 1) * cols]) for row in range(rows)]
        cell = list(divmod(elves[0], cols)) if elves else None
        return {"desc": desc, "cell": cell, "on": desc[cell[0]][cell[1]] if cell else "H"}

    def check_rules(self, before: np.ndarray, after: np.ndarray) -> float:
        """The lake stays as it is, the elf moves at most one cell, and there is one elf or none."""
        first, second = self.read(before), self.read(after)
        if first is None or second is None or first["desc"] != second["desc"]:
            return 0.0
        if first["cell"] is None or second["cell"] is None:
            return 1.0
        distance = sum(abs(a - b) for a, b in zip(first["cell"], second["cell"], strict=True))
        return 1.0 if distance <= 1 else 0.0

    def sample_options(self, rng: np.random.Generator) -> dict[str, Any]:
        return {"desc": list(random_map(int(rng.integers(3, MAX_SIDE + 1)), rng))}

    def policy(self, rng: np.random.Generator, max_steps: int) -> list[int]:
        return rng.integers(4, size=max_steps).tolist()


# maps -----------------------------------------------------------------------------------------------------------


def parse_map(desc: str | Sequence[str]) -> tuple[str, ...]:
    """``"SFF,FHF,FFG"`` or its rows -> rows of S, F, H, G; WorldError when it is no map."""
    rows = tuple(row.strip().upper() for row in (desc.replace("\n", ",").split(",") if isinstance(desc, str) else desc))
    rows = tuple(row for row in rows if row)
    if not rows:
        raise WorldError("the map is empty; give rows such as SFF,FHF,FFG")
    if len({len(row) for row in rows}) > 1:
        raise WorldError(
            f"every row of a map has the same length, got {', '.join(shorten(row, 12) for row in rows[:8])}"
        )
    if not (2 <= len(rows) <= MAX_SIDE and 2 <= len(rows[0]) <= MAX_SIDE):
        raise WorldError(f"a map has 2 to {MAX_SIDE} rows and columns, got {len(rows)}x{len(rows[0])}")
    letters = "".join(rows)
    wrong = sorted(set(letters) - set("SFHG"))
    if wrong:
        raise WorldError(f"a map is made of S (start), F (ice), H (hole), G (goal), got '{wrong[0]}'")
    if letters.count("S") != 1 or letters.count("G") != 1:
        raise WorldError(f"a map has one S and one G, got {letters.count('S')} and {letters.count('G')}")
    return rows


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


def shortest_plan(desc: Sequence[str]) -> list[int] | None:
    """One shortest sequence of actions from S to G that avoids holes, None when there is none. For judging only."""
    rows, cols = len(desc), len(desc[0])
    start = next((r, row.index("S")) for r, row in enumerate(desc) if "S" in row)
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


# pictures -------------------------------------------------------------------------------------------------------


def crack(row: int, col: int) -> str:
    """Which of Gymnasium's ice textures lies at a cell: ``a``, ``b``, or plain ````."""
    return {0: "a", 1: "b"}.get((col * 3 + row * 5) % 7, "")


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
            letter = desc[row][col]
            name = letter + crack(row, col) if letter == "F" else letter
            tile = picture[row * 64 : row * 64 + 64, col * 64 : col * 64 + 64]
            tiles[(name, cell == elf and letter != "H")] = np.ascontiguousarray(tile)
    env.close()
    return tiles


def paint(desc: Sequence[str], elf: tuple[int, int] | None) -> np.ndarray:
    """The picture of a map with the elf on a cell (none when it fell into a hole): uint8 (rows·64, cols·64, 3)."""
    tiles = cell_pictures()
    picture = np.empty((len(desc) * CELL_PX, len(desc[0]) * CELL_PX, 3), dtype=np.uint8)
    for row, line in enumerate(desc):
        for col, letter in enumerate(line):
            name = letter + crack(row, col) if letter == "F" else letter
            tile = tiles[(name, elf == (row, col) and letter != "H")]
            picture[row * 64 : row * 64 + 64, col * 64 : col * 64 + 64] = tile
    return picture


def thumbnails(picture: np.ndarray) -> np.ndarray:
    """Cells averaged to 8×8 pixels: uint8 (rows·64, cols·64, 3) -> float (rows, cols, 8·8·3)."""
    rows, cols = picture.shape[0] // CELL_PX, picture.shape[1] // CELL_PX
    small = picture.reshape(rows, 8, 8, cols, 8, 8, 3).astype(np.float32).mean((2, 5))
    return small.transpose(0, 2, 1, 3, 4).reshape(rows, cols, -1)


@functools.cache
def _thumbnails() -> tuple[list[tuple[str, bool]], np.ndarray]:
    tiles = cell_pictures()
    return list(tiles), np.stack([thumbnails(tile).reshape(-1) for tile in tiles.values()])[None]


# words ----------------------------------------------------------------------------------------------------------

QUESTIONS = (
    "what happens if you go {path}?",
    "what happens when the elf goes {path}?",
    "where does the elf end up if it walks {path}?",
    "is it safe to go {path}?",
    "can the elf walk {path} without falling into a hole?",
    "what if the elf moves {path}?",
    "the elf walks {path}. what happens?",
)


class LakeNarrator:
    """Says what happens on the lake. The outcome's words are short, because the picture says the rest."""

    def say_state(self, state: dict[str, Any]) -> list[str]:
        return ["a frozen lake", "an elf on a frozen lake", "the lake from above"]

    def say_action(self, action: int, state: dict[str, Any]) -> list[str]:
        name = ACTIONS[action]
        return [name, f"go {name}", f"walk {name}", f"one step {name}"]

    def say_result(self, before: dict[str, Any], action: int, after: dict[str, Any]) -> list[str]:
        match after["on"]:
            case "H":
                return ["falls", "the elf falls into a hole", "into a hole"]
            case "G":
                return ["goal", "the elf reaches the goal", "at the goal"]
        return ["safe", "the elf stands on safe ice", "still on the ice"]

    def questions(self, episode: Episode, rng: np.random.Generator) -> list[Question]:
        path = ", ".join(ACTIONS[transition.action] for transition in episode.transitions)
        text = QUESTIONS[rng.integers(len(QUESTIONS))].format(path=path)
        kind = self.say_result({}, 0, episode.transitions[-1].result_state)[0]
        return [
            Question(text, OUTCOMES[kind], "walk", kind, meta={"desc": list(episode.options["desc"]), "path": path})
        ]


#: what the answer says for each outcome word
OUTCOMES = {
    "falls": "The elf falls into a hole.",
    "goal": "The elf reaches the goal.",
    "safe": "The elf is safe on the ice.",
}
