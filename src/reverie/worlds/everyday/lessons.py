"""Lessons of perception: a picture, recalled facts and a question that calls the thing in the picture "this thing".

The facts say what comes of the same action with several things, and in a share of the lessons they say of the one in
the picture what comes of it with another: then the right fact has to be found by the picture.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from reverie.nouns import CAUSES, Fact, situation
from reverie.tokens.questions import clean_question
from reverie.worlds import Episode, record_episode
from reverie.worlds.documents import without_pictures
from reverie.worlds.everyday.documents import renamed
from reverie.worlds.everyday.things import THINGS, Thing
from reverie.worlds.everyday.world import Everyday, is_held_out, is_test_scene

__all__ = ["Lesson", "Lessons"]


@dataclass(frozen=True)
class Lesson:
    """A picture, facts, a question and its answer."""

    scene: int  # whose picture
    question: str  # the thing is "this thing"
    answer: str  # it is "the thing", as one can say without having seen
    named: str  # the answer with its name
    facts: tuple[Fact, ...]
    deciding: int  # place of the fact about the thing in the picture
    told: bool  # it says what comes of another thing


@dataclass(frozen=True)
class _Scene:
    episode: Episode  # without pictures
    picture: np.ndarray  # uint8 (H, W, 3), before anything happens
    thing: Thing

    @property
    def kind(self) -> str:
        """Scenes alike but for the thing and where it stands."""
        return json.dumps([self.episode.options[name] for name in ("action", "surface", "height", "support")])

    @cached_property
    def outcome(self) -> str:
        """What comes of it, without saying of what thing."""
        return renamed(self.fact[1], self.thing, _nameless(self.thing))

    @property
    def fact(self) -> tuple[str, str]:
        first, last = self.episode.transitions[0], self.episode.transitions[-1]
        return situation(first.what_text, first.action_text), last.result_text


class Lessons:
    """Scenes of the everyday world with their pictures, and lessons drawn from them."""

    def __init__(self, scenes: Sequence[_Scene], among: Sequence[_Scene] = ()):
        """``among``: the scenes whose outcomes are told and whose facts stand beside; default: the same."""
        self.scenes = list(scenes)
        self.narrator = Everyday().narrator
        self._alike: dict[str, dict[str, _Scene]] = {}  # by kind and thing
        for scene in among or scenes:
            self._alike.setdefault(scene.kind, {})[scene.thing.name] = scene

    @classmethod
    def record(cls, count: int, seed: int, among: Lessons | None = None) -> Lessons:
        """``count`` scenes, or all there are, of the training share, with ``among`` of the test share.

        Held-out pairs are in neither.
        """
        world = Everyday()
        rng = np.random.default_rng([seed, 41])
        found: dict[str, _Scene] = {}
        misses = 0
        while len(found) < count and misses < 20 * count + 1000:
            options = world.sample_options(rng)
            key = json.dumps(options)
            if key in found or is_held_out(options) or is_test_scene(options) != (among is not None):
                misses += 1
                continue
            episode = record_episode(world, options)
            picture = episode.transitions[0].what
            found[key] = _Scene(without_pictures(episode), picture, THINGS[options["thing"]])
        return cls(list(found.values()), among.scenes if among is not None else ())

    def draw(self, rng: np.random.Generator, others: int, told: float) -> Lesson:
        """A lesson with 1 to ``others`` facts beside the one that decides, or as many as differ in what they tell."""
        while True:
            number = int(rng.integers(len(self.scenes)))
            scene = self.scenes[number]
            alike = self._alike.get(scene.kind, {})
            source = self._source(scene, alike, rng, told)
            asked = [one for one in self.narrator.questions(source.episode, rng) if one.form != "property"]
            if asked:
                break
        question = asked[int(rng.integers(len(asked)))]
        hidden = _nameless(source.thing)
        facts, outcomes = [_fact(scene, source, rng)], {source.outcome}
        names = [name for name in alike if name != scene.thing.name]
        wanted = int(rng.integers(1, others + 1)) if others else 0
        for place in rng.permutation(len(names)):
            other = alike[names[place]]
            says = self._source(other, alike, rng, told)
            if len(facts) <= wanted and says.outcome not in outcomes:
                facts.append(_fact(other, says, rng))
                outcomes.add(says.outcome)
        order = rng.permutation(len(facts))
        return Lesson(
            number,
            clean_question(renamed(question.text, source.thing, hidden)),
            renamed(question.answer, source.thing, hidden),
            renamed(question.answer, source.thing, scene.thing),
            tuple(facts[place] for place in order),
            int(np.flatnonzero(order == 0)[0]),
            source is not scene,
        )

    def _source(self, scene: _Scene, alike: dict[str, _Scene], rng: np.random.Generator, told: float) -> _Scene:
        """The scene whose outcome is said of this one: itself, or one with another thing."""
        names = sorted(name for name, other in alike.items() if name != scene.thing.name and not other.thing.contents)
        if scene.thing.contents or not names or rng.random() >= told:
            return scene
        return alike[names[int(rng.integers(len(names)))]]


def _nameless(thing: Thing) -> Thing:
    return replace(thing, short="thing", indefinite=("this thing",))


def _fact(scene: _Scene, source: _Scene, rng: np.random.Generator) -> Fact:
    outcome = renamed(source.fact[1], source.thing, scene.thing) if source is not scene else scene.fact[1]
    return Fact(scene.fact[0], CAUSES, outcome, "told", 1.0, float(rng.uniform(0.5, 1.0)))
