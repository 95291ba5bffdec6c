"""Questions about walks on the frozen lake that need more than how they end: where things lie, and when they happen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reverie.worlds.contract import Question
from reverie.worlds.frozenlake import ACTIONS, neighbour

__all__ = ["LakeWalk", "place_question", "time_question", "walk_of"]

PLACE = (
    "In which row and column is the elf after {path}?",
    "Name the row and column of the elf after it goes {path}.",
    "The elf walks {path}. Which row and column is it in then?",
    "After {path}, in what row and column does the elf stand?",
)
DISTANCE = (
    "How many cells is the elf away from the goal after {path}?",
    "How far is the goal from the elf after {path}?",
    "The elf walks {path}. How far is it to the goal from there?",
    "After {path}, how many steps away is the goal?",
)
DIRECTION = (
    "In which direction does the goal lie after {path}?",
    "Seen from the elf, where is the goal after {path}?",
    "The elf walks {path}. In which direction is the goal from there?",
    "After {path}, which way is the goal?",
)
WHEN = (
    "At which step of {path} does the elf fall into a hole?",
    "When does the elf fall into a hole if it goes {path}?",
    "After how many steps of {path} does the elf fall?",
    "The elf walks {path}. At which step does it fall into a hole?",
)
ARRIVES = (
    "After how many steps of {path} does the elf reach the goal?",
    "When does the elf reach the goal if it goes {path}?",
    "At which step of {path} is the elf at the goal?",
    "The elf walks {path}. At which step does it reach the goal?",
)
STILL = (
    "Is the elf still on the ice after step {n} of {path}?",
    "Does the elf still stand after {n} steps of {path}?",
    "The elf walks {path}. Does it still stand after step {n}?",
    "After step {n} of {path}, is the elf still on the ice?",
)


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


def place_question(walk: LakeWalk, rng: np.random.Generator) -> Question:
    """Where the elf ends, how far from the goal, or in which direction the goal lies from there."""
    (row, col), goal = walk.cells[-1], _find(walk.desc, "G")
    form = str(rng.choice(["place", "distance", "direction"]))
    if form == "place":
        hole = " in a hole" if walk.end == "H" else ""
        return _question(PLACE, f"It is in row {row + 1} and column {col + 1}{hole}.", form, f"{row},{col}", walk, rng)
    if form == "distance":
        far = abs(goal[0] - row) + abs(goal[1] - col)
        answer = "It is at the goal." if far == 0 else f"It is {far} {'step' if far == 1 else 'steps'} away."
        return _question(DISTANCE, answer, form, str(far), walk, rng)
    ways = [("below" if goal[0] > row else "above") if goal[0] != row else "", ""]
    ways[1] = ("to the right" if goal[1] > col else "to the left") if goal[1] != col else ""
    said = " and ".join(way for way in ways if way)
    return _question(DIRECTION, f"It lies {said}." if said else "It is at the goal.", form, said or "here", walk, rng)


def time_question(walk: LakeWalk, rng: np.random.Generator) -> Question:
    """At which step the elf falls or arrives, or whether it still stands after some of them."""
    form = str(rng.choice(["falls", "arrives", "still"]))
    if form == "still":
        n = int(rng.integers(1, len(walk.path) + 1))
        fallen = walk.end == "H" and n >= walk.steps
        answer = f"No, it falls at step {walk.steps}." if fallen else "Yes, it still stands."
        return _question(STILL, answer, form, "no" if fallen else "yes", walk, rng, n=n)
    true = walk.end == ("H" if form == "falls" else "G")
    never = "It does not fall." if form == "falls" else "It does not reach the goal."
    answer = f"At step {walk.steps}." if true else never
    return _question(
        WHEN if form == "falls" else ARRIVES, answer, form, str(walk.steps) if true else "never", walk, rng
    )


def _find(desc: Sequence[str], letter: str) -> tuple[int, int]:
    return next((r, row.index(letter)) for r, row in enumerate(desc) if letter in row)


def _question(
    frames: Sequence[str], answer: str, form: str, kind: str, walk: LakeWalk, rng: np.random.Generator, **words: int
) -> Question:
    path = ", ".join(ACTIONS[action] for action in walk.path)
    text = frames[int(rng.integers(len(frames)))].format(path=path, **words)
    return Question(text, answer, form, kind, (), {"desc": list(walk.desc), "path": path})
