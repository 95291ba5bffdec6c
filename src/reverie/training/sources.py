"""Where the backbone's training documents come from. Each source draws from a generator that is passed in.

A document is a list of segments ``(ids, weight)``: what must be predicted weighs 1, what could not be known (which way
a random walk goes, what a random map holds) weighs 0.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from reverie.dreaming.questions import clean_question
from reverie.nouns import Frame, Part
from reverie.tokens.grammar import Grammar
from reverie.tokens.image import ImageTokenizer
from reverie.tokens.vocabulary import DELTA, EOS, RES
from reverie.worlds import Episode, Question, frozenlake, make_world, record_episode
from reverie.worlds.frozenlake import ACTIONS, OUTCOMES

if TYPE_CHECKING:
    from reverie.worlds.everyday.things import Thing

__all__ = ["Drills", "EverydayDreams", "LakeFrames", "LakeWalks", "Segments", "Source", "parity_maps", "training_map"]

Segments = list[tuple[list[int], float]]


class Source(Protocol):
    """Draws one document."""

    def draw(self, rng: np.random.Generator) -> Segments: ...


@dataclass(frozen=True)
class Drills:
    """Looking cells up, on key frames of random codes, before there is anything to understand.

    After the frame come questions whose only answer lies in it: a position is followed by its code, and a position
    with a direction by the code of the cell next to it. Random codes leave no way but to look.
    """

    grammar: Grammar
    max_side: int = 8
    questions: int = 14

    def draw(self, rng: np.random.Generator) -> Segments:
        v = self.grammar.vocabulary
        rows, cols = rng.integers(2, self.max_side + 1, size=2)
        codes = np.full((rows, cols), rng.integers(v.num_codes))
        if self.grammar.backdrops and rng.random() < 0.5:
            base = self.grammar.backdrops[rng.integers(len(self.grammar.backdrops))].codes
            if base.shape[0] >= rows and base.shape[1] >= cols:
                codes = base[:rows, :cols].copy()
        few = rng.integers(2, v.num_codes, size=4)  # a small palette as often as a large one
        filled = rng.random((rows, cols)) < rng.uniform(0.1, 0.7)
        palette = few if rng.random() < 0.3 else np.arange(v.num_codes)
        codes[filled] = rng.choice(palette, size=int(filled.sum()))
        segments: Segments = [(self.grammar.question_ids("") + self.grammar.what_ids(Part("", Frame(codes))), 0.0)]
        for _ in range(self.questions):
            row, col = int(rng.integers(rows)), int(rng.integers(cols))
            if rng.random() < 0.35:
                segments.append(([DELTA, v.position(row, col)], 0.0))
            else:
                action = int(rng.integers(4))
                segments.append(([DELTA, v.position(row, col), *self.grammar.action_ids(ACTIONS[action]), RES], 0.0))
                row, col = frozenlake.neighbour((row, col), action, rows, cols)
                if rng.random() < 0.5:
                    segments.append(([v.position(row, col)], 1.0))
            segments.append(([v.code_start + int(codes[row, col])], 1.0))
        return segments


class LakeFrames:
    """Frames of lakes put together from the codes of their cells.

    The tokenizer sees each cell alone, so this equals encoding the whole picture (a test holds it to that).
    """

    def __init__(self, tokenizer: ImageTokenizer):
        tiles = frozenlake.cell_pictures()
        self.codes = dict(
            zip(
                tiles,
                (int(f.codes[0, 0]) for f in tokenizer.encode(list(tiles.values()), frozenlake.CELL_PX)),
                strict=True,
            )
        )

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
        letter = desc[row][col]
        name = letter + frozenlake.crack(row, col) if letter == "F" else letter
        return self.codes[(name, elf and letter != "H")]


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
        maps: Callable[[np.random.Generator], tuple[str, ...]] | None = None,
        steps: int = 9,
        asked: float = 0.15,
    ):
        self.grammar, self.steps, self.asked = grammar, steps, asked
        self.frames = LakeFrames(tokenizer)
        self.maps = maps or training_map

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
            question = frozenlake.QUESTIONS[rng.integers(len(frozenlake.QUESTIONS))].format(path=names)
        segments: Segments = [(grammar.question_ids(question), 0.2 if asked else 0.0), (grammar.what_ids(what), 0.0)]
        for action in path:
            there = frozenlake.neighbour(elf, action, rows, cols)
            codes = frame.codes.copy()
            codes[elf] = self.frames.code(desc, *elf, False)
            codes[there] = self.frames.code(desc, *there, True)
            after = Frame(codes)
            letter = desc[there[0]][there[1]]
            canonical = {"H": "falls", "G": "goal"}.get(letter, "safe")
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


def training_map(rng: np.random.Generator, sides: tuple[int, int] = (3, 8), test: bool = False) -> tuple[str, ...]:
    """A random map outside the test split (inside it with ``test``); it need not be solvable."""
    while True:
        desc = frozenlake.any_map(int(rng.integers(sides[0], sides[1] + 1)), rng)
        if frozenlake.in_test_split(desc) == test:
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


class EverydayDreams:
    """Questions about the everyday world, each with the dream that answers it.

    The question is predicted too, at a low weight: how likely a question is tells later whether it was ever taught.

    Args:
        direct: share of questions that are answered at once, without a dream
        told: share of dreams that go to the end in one step and say it in words, unpictured: so can a memory tell it
    """

    def __init__(
        self,
        grammar: Grammar,
        episodes: Sequence[tuple[Episode, tuple[Frame, ...]]],
        direct: float = 0.0,
        told: float = 0.0,
    ):
        self.grammar, self.episodes, self.direct, self.told = grammar, episodes, direct, told
        self.narrator = make_world("Everyday").narrator
        self._by_options = {json.dumps(each[0].options): each for each in episodes} if told else {}

    @classmethod
    def record(
        cls,
        grammar: Grammar,
        tokenizer: ImageTokenizer,
        count: int,
        seed: int,
        direct: float = 0.0,
        test: bool = False,
        motion: int = 1,
        told: float = 0.0,
    ) -> EverydayDreams:
        """Record ``count`` episodes of training scenes, or of test scenes with ``test``; held-out pairs never.

        Scenes of pushing, throwing and stacking count ``motion`` times.
        """
        from reverie.worlds.everyday import is_held_out, is_test_scene

        world = make_world("Everyday")
        rng = np.random.default_rng([seed, 1])
        seen: dict[str, tuple[Episode, tuple[Frame, ...]]] = {}
        episodes: list[tuple[Episode, tuple[Frame, ...]]] = []
        while len(episodes) < count:
            options = world.sample_options(rng)
            if is_held_out(options) or is_test_scene(options) != test:
                continue
            key = json.dumps(options)
            if key not in seen:
                episode = record_episode(world, options)
                pictures = [episode.transitions[0].what, *(step.result for step in episode.transitions)]
                seen[key] = without_pictures(episode), tuple(tokenizer.encode(pictures, world.cell_px))
            episodes += [seen[key]] * (motion if options["action"] in ("push", "throw", "stack") else 1)
        return cls(grammar, episodes, direct, told)

    def draw(self, rng: np.random.Generator) -> Segments:
        episode, frames = self.episodes[int(rng.integers(len(self.episodes)))]
        questions = self.narrator.questions(episode, rng)
        properties = [question for question in questions if question.form == "property"]
        others = [question for question in questions if question.form != "property"]
        from_memory = not others or (bool(properties) and rng.random() < 0.12)  # needs no picture of what happens
        group = properties if from_memory else others
        question = group[rng.integers(len(group))]
        if from_memory or rng.random() < self.direct:
            return self.document(question)
        if self.told and rng.random() < self.told:
            question, result = self.tell(episode, question, rng)
            told = replace(episode, transitions=(replace(episode.transitions[0], result_text=result),))
            return self.document(question, told, frames, told=True)
        return self.document(question, episode, frames)

    def tell(self, episode: Episode, question: Question, rng: np.random.Generator) -> tuple[Question, str]:
        """A question about ``episode`` and the end of it in words.

        Half of the time it is what comes of it with another thing, said of this one: so the answer has to listen to
        what is told, whatever the model would have expected.
        """
        from reverie.worlds.everyday.things import THINGS

        this, result = THINGS[episode.options["thing"]], episode.transitions[-1].result_text
        if rng.random() < 0.5:
            name = sorted(THINGS)[int(rng.integers(len(THINGS)))]
            other = self._by_options.get(json.dumps({**episode.options, "thing": name}))
            if other is not None and not this.contents and not THINGS[name].contents:
                asked = [q for q in self.narrator.questions(other[0], rng) if q.form != "property"]
                if asked:
                    taken = asked[int(rng.integers(len(asked)))]
                    text, answer = (renamed(words, THINGS[name], this) for words in (taken.text, taken.answer))
                    question = replace(taken, text=text, answer=answer)
                    result = renamed(other[0].transitions[-1].result_text, THINGS[name], this)
        return question, result

    def document(
        self, question: Question, episode: Episode | None = None, frames: Sequence[Frame] = (), told: bool = False
    ) -> Segments:
        """A question, the dream of ``episode`` (its results in words alone with ``told``), and the answer."""
        grammar = self.grammar
        segments: Segments = [(grammar.question_ids(clean_question(question.text)), 0.2)]
        if episode is not None:
            steps = episode.transitions
            segments.append((grammar.what_ids(Part(steps[0].what_text, frames[0])), 1.0))
            for step, before, after in zip(steps, frames, frames[1:], strict=False):
                segments.append((grammar.action_ids(step.action_text), 1.0))
                result = Part(step.result_text, None if told else after)
                segments.append((grammar.result_ids(result, before), 1.0))
        return [*segments, (grammar.answer_ids(question.answer), 1.0), ([EOS], 1.0)]


def renamed(words: str, thing: Thing, other: Thing) -> str:
    """``words`` about ``thing``, said of ``other``."""
    names = dict.fromkeys(thing.indefinite, other.a) | {thing.short: other.short}
    found = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))

    def put(match: re.Match[str]) -> str:
        name = names[match.group().lower()]
        return name[0].upper() + name[1:] if match.group()[0].isupper() else name

    return re.sub(rf"\b(?:{found})\b", put, words, flags=re.IGNORECASE)


def without_pictures(episode: Episode) -> Episode:
    """The same episode with its pictures left out: their frames are kept instead."""
    none = np.zeros((0, 0, 3), dtype=np.uint8)
    return replace(episode, transitions=tuple(replace(step, what=none, result=none) for step in episode.transitions))
