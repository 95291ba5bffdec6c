"""Training documents about walks on lakes, drawn anew each time: frames are put together from the codes of cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from reverie.nouns import Frame, Part
from reverie.tokens.questions import clean_question
from reverie.tokens.vocabulary import EOS
from reverie.worlds.contract import Segments
from reverie.worlds.documents import QUESTION_WEIGHT
from reverie.worlds.frozenlake import pictures
from reverie.worlds.frozenlake.maps import ACTIONS, neighbour
from reverie.worlds.frozenlake.narrator import ENDS, OUTCOMES, QUESTIONS
from reverie.worlds.frozenlake.questions import MAX_STEPS, skill_question
from reverie.worlds.frozenlake.walks import LakeWalk, training_map

if TYPE_CHECKING:
    from reverie.tokens.grammar import Grammar
    from reverie.tokens.image import ImageTokenizer

__all__ = ["LakeAnswers", "LakeFrames", "LakeWalks", "lake_walk"]


class LakeFrames:
    """Frames of lakes put together from the codes of their cells.

    The tokenizer sees each cell alone, so this equals encoding the whole picture (a test holds it to that).
    """

    def __init__(self, tokenizer: ImageTokenizer):
        tiles = pictures.cell_pictures()
        frames = tokenizer.encode(list(tiles.values()), pictures.CELL_PX)
        self.codes = {tile: int(frame.codes[0, 0]) for tile, frame in zip(tiles, frames, strict=True)}

    def frame(self, desc: Sequence[str], elf: tuple[int, int] | None) -> Frame:
        return Frame(
            np.array(
                [
                    [self.code(desc, row, col, (row, col) == elf) for col in range(len(desc[0]))]
                    for row in range(len(desc))
                ]
            )
        )

    def code(self, desc: Sequence[str], row: int, col: int, elf: bool) -> int:
        return self.codes[pictures.tile_of(desc, row, col, elf)]

    def moved(self, desc: Sequence[str], frame: Frame, elf: tuple[int, int], there: tuple[int, int]) -> Frame:
        """``frame`` after the elf went from one cell to another."""
        codes = frame.codes.copy()
        codes[elf] = self.code(desc, *elf, False)
        codes[there] = self.code(desc, *there, True)
        return Frame(codes)


class LakeWalks:
    """Walks on random lakes: from any cell, in any direction, until a hole, the goal or the last step.

    Each step first looks at the cell that it leads to. Without that, what lies there had to be known before the first
    id of the result (a hole stays as it is, so the elf's old cell is all that changes), and was wrong in 15 % of the
    steps after 600 steps of training, while everything else was right.

    Args:
        maps: draws a map; the default draws any size from 3 to 8 and never one of the test split
        asked: share of walks that answer a question naming the path; the others have no question
    """

    def __init__(
        self,
        grammar: Grammar,
        tokenizer: ImageTokenizer,
        maps: Callable[[np.random.Generator], tuple[str, ...]] = training_map,
        steps: int = 9,
        asked: float = 0.15,
    ):
        self.grammar, self.steps, self.asked = grammar, steps, asked
        self.frames = LakeFrames(tokenizer)
        self.maps = maps

    def draw(self, rng: np.random.Generator) -> Segments:
        grammar = self.grammar
        desc = self.maps(rng)
        rows, cols = len(desc), len(desc[0])
        places = [(r, c) for r in range(rows) for c in range(cols) if desc[r][c] in "SF"]
        start = next(cell for cell in places if desc[cell[0]][cell[1]] == "S")
        elf = start if rng.random() < 0.4 else places[rng.integers(len(places))]
        asked = rng.random() < self.asked
        goal_ends = rng.random() < 0.5  # some lakes let the elf walk on over the goal
        path = rng.integers(4, size=rng.integers(1, self.steps + 1)).tolist()
        frame = self.frames.frame(desc, elf)
        what = Part("", frame)
        question, canonical = "", ""
        if asked:
            names = ", ".join(ACTIONS[action] for action in path)
            question = QUESTIONS[rng.integers(len(QUESTIONS))].format(path=names)
        segments: Segments = [
            (grammar.question_ids(question), QUESTION_WEIGHT if asked else 0.0),
            (grammar.what_ids(what), 0.0),
        ]
        for action in path:
            there = neighbour(elf, action, rows, cols)
            after = self.frames.moved(desc, frame, elf, there)
            letter = desc[there[0]][there[1]]
            canonical = ENDS.get(letter, "safe")
            words = grammar.action_ids(ACTIONS[action])
            # without a question nobody can know where the walk goes next, or whether it goes on
            segments.append((words[:1], 1.0 if asked else 0.0))
            segments.append((words[1:], 1.0 if asked else 0.0))
            segments.append((grammar.glimpse_ids([there], frame), 1.0))
            segments.append((grammar.result_ids(Part(canonical, after), frame), 1.0))
            elf, frame = there, after
            if letter == "H" or (letter == "G" and (asked or goal_ends)):
                break
        ended = canonical == "falls" or (canonical == "goal" and goal_ends)
        if asked:
            segments += [(grammar.answer_ids(OUTCOMES[canonical]), 1.0), ([EOS], 1.0)]
        else:
            segments.append(([EOS], 1.0 if ended else 0.0))
        return segments


class LakeAnswers:
    """Walks from the start of random maps, dreamed step by step as the backbone dreams them, with another question."""

    def __init__(
        self, grammar: Grammar, tokenizer: ImageTokenizer, skill: str, test: bool = False, steps: int = MAX_STEPS
    ):
        self.grammar, self.skill, self.test, self.steps = grammar, skill, test, steps
        self.frames = LakeFrames(tokenizer)

    def draw(self, rng: np.random.Generator) -> Segments:
        question, walk = skill_question(self.skill, rng, self.test, self.steps)
        grammar = self.grammar
        asked, what, *steps = lake_walk(grammar, self.frames, clean_question(question.text), walk)
        return [
            (asked[0], QUESTION_WEIGHT),
            (what[0][:1], 1.0),  # that it is to be dreamed, not answered at once; what lies where nobody can know
            (what[0][1:], 0.0),
            *steps,
            (grammar.answer_ids(question.answer), 1.0),
            ([EOS], 1.0),
        ]


def lake_walk(grammar: Grammar, frames: LakeFrames, question: str, walk: LakeWalk) -> Segments:
    """A question, the first picture and the steps of a walk, each of which looks at the cell that it leads to first."""
    elf = walk.cells[0]
    frame = frames.frame(walk.desc, elf)
    segments: Segments = [(grammar.question_ids(question), 0.0), (grammar.what_ids(Part("", frame)), 0.0)]
    for action, there in zip(walk.path, walk.cells[1:], strict=False):
        after = frames.moved(walk.desc, frame, elf, there)
        canonical = ENDS.get(walk.desc[there[0]][there[1]], "safe")
        segments.append((grammar.action_ids(ACTIONS[action]), 1.0))
        segments.append((grammar.glimpse_ids([there], frame), 1.0))
        segments.append((grammar.result_ids(Part(canonical, after), frame), 1.0))
        elf, frame = there, after
    return segments
