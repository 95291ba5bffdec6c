"""Skills: questions about the worlds that the packaged model was not taught, one expert each.

spatial    where on the lake the elf ends, how far from the goal, in which direction that lies
temporal   at which step it falls or arrives, whether it still stands
causal     why something happens, or does not
abstract   what several things have in common, and which is the most
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reverie.dreaming.questions import clean_question
from reverie.errors import UnknownNameError
from reverie.nouns import Frame, Part
from reverie.tokens.grammar import Grammar
from reverie.tokens.image import ImageTokenizer
from reverie.tokens.vocabulary import EOS
from reverie.training.sources import EverydayDreams, LakeFrames, Segments, Source, test_map, training_map
from reverie.worlds import Episode, Question, frozenlake, make_world
from reverie.worlds.everyday import is_held_out, is_test_scene
from reverie.worlds.everyday.compare import compare_question
from reverie.worlds.everyday.things import Scene
from reverie.worlds.everyday.why import why_kinds, why_question
from reverie.worlds.frozenlake import ACTIONS, OUTCOMES
from reverie.worlds.lake_questions import MAX_STEPS, LakeWalk, place_question, time_question, walk_of

__all__ = ["Comparisons", "LakeAnswers", "Reasons", "SkillMix", "skill_names", "skill_questions", "skill_source"]

_QUESTION_WEIGHT = 0.2  # as everywhere: how likely a question is tells later whether it was ever taught


class LakeAnswers:
    """Walks from the start of random maps, dreamed step by step as the backbone dreams them, with another question."""

    def __init__(
        self,
        grammar: Grammar,
        tokenizer: ImageTokenizer,
        ask: Callable[[LakeWalk, np.random.Generator], Question],
        test: bool = False,
        steps: int = MAX_STEPS,
    ):
        self.grammar, self.ask, self.steps = grammar, ask, steps
        self.frames = LakeFrames(tokenizer)
        self.maps = test_map if test else training_map

    def question(self, rng: np.random.Generator) -> tuple[Question, LakeWalk]:
        walk = walk_of(*lake_walk(rng, self.maps, self.steps))
        return self.ask(walk, rng), walk

    def draw(self, rng: np.random.Generator) -> Segments:
        question, walk = self.question(rng)
        grammar, elf = self.grammar, walk.cells[0]
        frame = self.frames.frame(walk.desc, elf)
        what = grammar.what_ids(Part("", frame))
        segments: Segments = [
            (grammar.question_ids(clean_question(question.text)), _QUESTION_WEIGHT),
            (what[:1], 1.0),  # that it is to be dreamed, not answered at once; what lies where nobody can know
            (what[1:], 0.0),
        ]
        for action, there in zip(walk.path, walk.cells[1:], strict=False):
            codes = frame.codes.copy()
            codes[elf] = self.frames.code(walk.desc, *elf, False)
            codes[there] = self.frames.code(walk.desc, *there, True)
            after = Frame(codes)
            canonical = {"H": "falls", "G": "goal"}.get(walk.desc[there[0]][there[1]], "safe")
            segments.append((grammar.action_ids(ACTIONS[action]), 1.0))
            segments.append((grammar.glimpse_ids([there], frame), 1.0))
            segments.append((grammar.result_ids(Part(canonical, after), frame), 1.0))
            elf, frame = there, after
        return [*segments, (grammar.answer_ids(question.answer), 1.0), ([EOS], 1.0)]


def lake_walk(
    rng: np.random.Generator, maps: Callable[[np.random.Generator], tuple[str, ...]], steps: int = MAX_STEPS
) -> tuple[tuple[str, ...], list[int]]:
    """A map and a path. Blind paths soon end in a hole, so half of them avoid holes where they can."""
    desc = maps(rng)
    length, careful = int(rng.integers(1, steps + 1)), rng.random() < 0.5
    path: list[int] = []
    for _ in range(length):
        choices = rng.permutation(4).tolist()
        safe = [action for action in choices if walk_of(desc, [*path, action]).end != "H"]
        path.append(safe[0] if careful and safe else choices[0])
    return desc, path


class Reasons:
    """Why-questions about everyday scenes, dreamed before they are answered.

    Most causes lie in the thing; those in surface and height are rare and need the scene, so they come as often.
    """

    def __init__(self, dreams: EverydayDreams):
        self.dreams = dreams
        self.by_kind: dict[str, list[tuple[Episode, tuple[Frame, ...]]]] = {}
        for episode, frames in dreams.episodes:
            for kind in why_kinds(Scene.of(episode.options)):
                self.by_kind.setdefault(kind, []).append((episode, frames))

    def question(self, rng: np.random.Generator) -> tuple[Question, Episode, tuple[Frame, ...]]:
        kind = str(rng.choice(sorted(self.by_kind)))
        episode, frames = self.by_kind[kind][int(rng.integers(len(self.by_kind[kind])))]
        question = why_question(Scene.of(episode.options), rng, kind)
        assert question is not None
        return question, episode, frames

    def draw(self, rng: np.random.Generator) -> Segments:
        return self.dreams.document(*self.question(rng))


@dataclass(frozen=True)
class Comparisons:
    """Comparisons of things, answered at once."""

    grammar: Grammar
    test: bool = False

    def draw(self, rng: np.random.Generator) -> Segments:
        question = compare_question(rng, self.test)
        return [
            (self.grammar.question_ids(clean_question(question.text)), _QUESTION_WEIGHT),
            (self.grammar.answer_ids(question.answer), 1.0),
            ([EOS], 1.0),
        ]


@dataclass(frozen=True)
class SkillMix:
    """All of several sources, each as often."""

    sources: Sequence[Source]

    def draw(self, rng: np.random.Generator) -> Segments:
        return self.sources[int(rng.integers(len(self.sources)))].draw(rng)


def _reasons(grammar: Grammar, tokenizer: ImageTokenizer, seed: int, test: bool) -> Source:
    return Reasons(EverydayDreams.record(grammar, tokenizer, 600 if test else 12_000, seed, test=test))


_SKILLS: dict[str, Callable[[Grammar, ImageTokenizer, int, bool], Source]] = {
    "spatial": lambda grammar, tokenizer, seed, test: LakeAnswers(grammar, tokenizer, place_question, test),
    "temporal": lambda grammar, tokenizer, seed, test: LakeAnswers(grammar, tokenizer, time_question, test),
    "causal": _reasons,
    "abstract": lambda grammar, tokenizer, seed, test: Comparisons(grammar, test),
}


def skill_names() -> list[str]:
    """The single skills, and ``all``: the four mixed."""
    return [*_SKILLS, "all"]


def skill_source(name: str, grammar: Grammar, tokenizer: ImageTokenizer, seed: int, test: bool = False) -> Source:
    """Documents of a skill; with ``test`` from maps, scenes and comparisons that are kept for testing."""
    if name == "all":
        return SkillMix([make(grammar, tokenizer, seed, test) for make in _SKILLS.values()])
    if name not in _SKILLS:
        raise UnknownNameError("skill", name, skill_names())
    return _SKILLS[name](grammar, tokenizer, seed, test)


def skill_questions(name: str, count: int, rng: np.random.Generator) -> list[tuple[Question, tuple[str | None, Any]]]:
    """Questions of a skill about what is kept for testing, each with the (world, scene) to ask it about.

    ``lake``: what the backbone was taught, how a walk ends.
    """
    found: list[tuple[Question, tuple[str | None, Any]]] = []
    while len(found) < count:
        if name == "abstract":
            found.append((compare_question(rng, test=True), (None, None)))
        elif name == "causal":
            options = make_world("Everyday").sample_options(rng)
            kinds = why_kinds(Scene.of(options)) if is_test_scene(options) and not is_held_out(options) else ()
            kind = ("height", "surface", "thing")[len(found) % 3]
            if kind in kinds and (question := why_question(Scene.of(options), rng, kind)):
                found.append((question, (None, None)))
        elif name in _LAKE:
            desc, path = lake_walk(rng, test_map)
            walk = walk_of(desc, path)
            found.append((_LAKE[name](walk, rng), ("FrozenLake", {"desc": list(desc)})))
        else:
            raise UnknownNameError("skill", name, [*_SKILLS, "lake"])
    return found


def _outcome_question(walk: LakeWalk, rng: np.random.Generator) -> Question:
    """How a walk ends, as the backbone was taught it."""
    path = ", ".join(ACTIONS[action] for action in walk.path)
    kind = {"H": "falls", "G": "goal"}.get(walk.end, "safe")
    return Question(
        frozenlake.QUESTIONS[int(rng.integers(len(frozenlake.QUESTIONS)))].format(path=path),
        OUTCOMES[kind],
        "walk",
        kind,
    )


_LAKE = {"spatial": place_question, "temporal": time_question, "lake": _outcome_question}
