"""Questions about walks on the frozen lake that need more than how they end: where things lie, and when they happen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from reverie.errors import UnknownNameError, WorldError
from reverie.worlds.contract import Question
from reverie.worlds.frozenlake.maps import ACTIONS, neighbour
from reverie.worlds.frozenlake.narrator import ENDS, end_question
from reverie.worlds.frozenlake.walks import LakeWalk, draw_walk, test_map, training_map

__all__ = ["MAX_STEPS", "place_question", "skill_question", "time_question"]

MAX_STEPS = 7  # as far as the words for numbers go
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven")
PLACE = (
    "In which row and place is the elf after {path}?",
    "Name the row and the place of the elf after it goes {path}.",
    "The elf walks {path}. In which row and place is it then?",
    "After {path}, in which row and place does the elf stand?",
)
HOLES = (
    "Is there a hole beside the elf after {path}?",
    "After {path}, is a hole next to the elf?",
    "The elf walks {path}. Is there a hole beside it then?",
    "Is the elf next to a hole after {path}?",
)
DIRECTION = (
    "In which direction does the goal lie after {path}?",
    "Seen from the elf, where is the goal after {path}?",
    "The elf walks {path}. In which direction is the goal from there?",
    "After {path}, which way is the goal?",
)
WHEN = (
    "After how many moves of {path} does the elf fall into a hole?",
    "When does the elf fall into a hole if it goes {path}?",
    "How many moves of {path} until the elf falls?",
    "The elf walks {path}. When does it fall into a hole?",
)
ARRIVES = (
    "After how many moves of {path} does the elf reach the goal?",
    "When does the elf reach the goal if it goes {path}?",
    "How many moves of {path} until the elf is at the goal?",
    "The elf walks {path}. When does it reach the goal?",
)
STILL = (
    "Is the elf still on the ice after {n} of the moves {path}?",
    "Does the elf still stand after {n} moves of {path}?",
    "The elf walks {path}. Does it still stand after {n} moves?",
    "After {n} moves of {path}, is the elf still on the ice?",
)


def place_question(walk: LakeWalk, rng: np.random.Generator) -> Question:
    """Where the elf ends, in which direction the goal lies from there, or whether a hole is beside it."""
    (row, col), goal = walk.cells[-1], _find(walk.desc, "G")
    form = str(rng.choice(["place", "direction", "holes"]))
    if form == "place" and max(row, col) < MAX_STEPS:
        answer = f"It is in row {_NUMBERS[row + 1]}, place {_NUMBERS[col + 1]}."
        return _question(PLACE, answer, form, f"{row},{col}", walk, rng)
    if form == "holes":
        for action, way in ((0, "to the left"), (1, "below"), (2, "to the right"), (3, "above")):
            cell = neighbour((row, col), action, len(walk.desc), len(walk.desc[0]))
            if cell != (row, col) and walk.desc[cell[0]][cell[1]] == "H":
                return _question(HOLES, f"Yes, there is a hole {way}.", form, way, walk, rng)
        return _question(HOLES, "No, there is no hole.", form, "none", walk, rng)
    ways = [("below" if goal[0] > row else "above") if goal[0] != row else "", ""]
    ways[1] = ("to the right" if goal[1] > col else "to the left") if goal[1] != col else ""
    said = " and ".join(way for way in ways if way)
    answer = f"It lies {said}." if said else "It is here."
    return _question(DIRECTION, answer, "direction", said or "here", walk, rng)


def time_question(walk: LakeWalk, rng: np.random.Generator) -> Question:
    """After how many moves the elf falls or arrives, or whether it still stands after some of them."""
    if len(walk.path) > MAX_STEPS:
        raise WorldError(f"questions of time are about at most {MAX_STEPS} moves, got {len(walk.path)}")
    form = str(rng.choice(["falls", "arrives", "still"]))
    after = f"after {_NUMBERS[walk.steps]} move{'' if walk.steps == 1 else 's'}"
    if form == "still":
        n = int(rng.integers(1, len(walk.path) + 1))
        fallen = walk.end == "H" and n >= walk.steps
        answer = f"No, it falls {after}." if fallen else "Yes, it still stands."
        return _question(STILL, answer, form, "no" if fallen else "yes", walk, rng, n=_NUMBERS[n])
    true = walk.end == ("H" if form == "falls" else "G")
    never = "It never falls." if form == "falls" else "It never reaches the goal."
    kind, answer = (str(walk.steps), f"It {'falls' if form == 'falls' else 'reaches the goal'} {after}.")
    frames = WHEN if form == "falls" else ARRIVES
    return _question(frames, answer if true else never, form, kind if true else "never", walk, rng)


def _find(desc: Sequence[str], letter: str) -> tuple[int, int]:
    return next((r, row.index(letter)) for r, row in enumerate(desc) if letter in row)


def _question(
    frames: Sequence[str], answer: str, form: str, kind: str, walk: LakeWalk, rng: np.random.Generator, **words: str
) -> Question:
    path = ", ".join(ACTIONS[action] for action in walk.path)
    text = frames[int(rng.integers(len(frames)))].format(path=path, **words)
    return Question(text, answer, form, kind, (), {"desc": list(walk.desc), "path": path})


def skill_question(
    skill: str, rng: np.random.Generator, test: bool, steps: int = MAX_STEPS
) -> tuple[Question, LakeWalk]:
    """A question of that skill ("": how it ends) about a walk on a random map. Raises UnknownNameError."""
    if skill not in _SKILLS:
        raise UnknownNameError("skill", skill, _SKILLS)
    walk = draw_walk(rng, test_map if test else training_map, steps)
    return _SKILLS[skill](walk, rng), walk


_SKILLS: dict[str, Callable[[LakeWalk, np.random.Generator], Question]] = {
    "spatial": place_question,
    "temporal": time_question,
    "": lambda walk, rng: end_question(walk.path, ENDS.get(walk.end, "safe"), rng),
}
