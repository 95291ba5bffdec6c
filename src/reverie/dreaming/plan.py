"""Planning: find actions by dreaming. The model is the only simulator, and its words decide where the search stops.

Breadth first, level by level: every state of a level is a dreamed picture, dreamed one step further for every action;
pictures that were met before are not dreamed from again. The search ends at the first level that holds a goal. The real
world is asked once, when the plan is final.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from reverie.dreaming.dreamer import Dreamed, Dreamer, Prompt
from reverie.dreaming.model import Model
from reverie.dreaming.question import DreamSettings, check_text, whole_number
from reverie.dreaming.scenes import Scene, open_scene
from reverie.dreaming.simulate import real_course, start_frames
from reverie.errors import UsageError, WorldError
from reverie.nouns import Dream, Frame, Part, Triplet
from reverie.worlds import World

__all__ = ["Plan", "Search", "plan", "search"]


@dataclass(frozen=True)
class Plan:
    """A plan and how it was found.

    ``actions`` are names, empty when none was found; ``dream`` is the chosen path as it was imagined (None then);
    ``num_steps`` counts the imagined steps. ``reaches_goal`` and ``falls`` say what the real world did with the actions
    afterwards; both False when there is no plan. ``exhausted``: none was found although every picture that could be
    reached was dreamed from, so that more steps would not help.
    """

    world: str
    actions: tuple[str, ...]
    dream: Dream | None
    num_steps: int
    reaches_goal: bool
    falls: bool
    real_outcome: str = ""
    seconds: float = 0.0
    exhausted: bool = False

    @property
    def found(self) -> bool:
        return bool(self.actions)


@dataclass(frozen=True)
class _State:
    """A dreamed picture and the imagined path to it."""

    frame: Frame
    path: tuple[Triplet, ...] = ()
    log_prob: float = 0.0
    num_ids: int = 0


@dataclass
class Search:
    """One search in imagination.

    Args:
        start: the picture to start from
        actions: names of what can be done
        endings: result words after which nothing more happens -> whether that is the goal
        budget: most imagined steps
    """

    start: Frame
    actions: Sequence[str]
    endings: dict[str, bool]
    budget: int
    num_steps: int = 0
    found: Dream | None = None
    _level: list[_State] = field(default_factory=list)
    _seen: set[Frame] = field(default_factory=set)
    _whole: bool = True  # nothing was left out so far

    def __post_init__(self) -> None:
        self._level = [_State(self.start)]
        self._seen = {self.start}

    @property
    def over(self) -> bool:
        return self.found is not None or not self._level or self.num_steps >= self.budget

    @property
    def exhausted(self) -> bool:
        return self.found is None and not self._level and self._whole

    def prompts(self, dreamer: Dreamer) -> list[Prompt]:
        """One step from every state of the level, for every action, as far as the budget goes; the rows of a state
        share their prefix."""
        steps = [(state, action) for state in self._level for action in self.actions]
        return [
            dreamer.step_prompt(dreamer.opening(Part("", state.frame)), action)
            for state, action in steps[: self.budget - self.num_steps]
        ]

    def receive(self, dreamed: Sequence[Dreamed]) -> None:
        """Take the imagined steps of the level and go one deeper."""
        self.num_steps += len(dreamed)
        after: list[tuple[_State, str]] = []
        for index, step in enumerate(dreamed):
            if step.finished:
                after.append(_follow(self._level[index // len(self.actions)], step))
        after.sort(key=lambda pair: -pair[0].log_prob)  # the most probable path to a picture stands for it
        self._whole &= len(dreamed) == len(after) == len(self._level) * len(self.actions)
        goals = [state for state, words in after if self.endings.get(words)]
        if goals:
            best = goals[0]
            self.found = Dream(best.path, best.log_prob, seed=0, num_ids=best.num_ids)
            return
        self._level = []
        for state, words in after:
            if words not in self.endings and state.frame not in self._seen:
                self._seen.add(state.frame)
                self._level.append(state)


def _follow(state: _State, step: Dreamed) -> tuple[_State, str]:
    """Where an imagined step from ``state`` leads, and its words."""
    dreamed = step.document.triplets[-1]
    what = state.path[-1].result if state.path else Part("", state.frame)
    path = (*state.path, Triplet(what, dreamed.action, dreamed.result))
    frame = dreamed.result.frame
    assert frame is not None
    return _State(frame, path, state.log_prob + step.log_prob, state.num_ids + step.num_ids), dreamed.result.text


def plan(
    model: Model, world: str, scenes: Sequence[Scene], budget: int = 1000, seed: int = 0, expert: str = ""
) -> list[Plan]:
    """Find actions that reach the goal by dreaming alone: shortest plans, as far as dreams are right.

    All searches share batches. ``budget``: most imagined steps of each. A scene in which no goal could be imagined
    gives a plan without actions. ``expert``: one that learned to plan (``reverie learn --world``) dreams a single plan
    of its own, without any search.
    Raises WorldError for a world that has no goals, UnknownNameError for the expert.
    """
    if whole_number("a budget", budget) < 1:
        raise UsageError(f"a plan needs a budget of at least 1 imagined step, got {budget}")
    check_text("the world", world)
    seed, started = DreamSettings(seed=seed).seed, time.perf_counter()
    opened = [open_scene(world, scene, seed) for scene in scenes]
    if not all(any(made.endings.values()) for made, _ in opened):
        raise WorldError(f"{world} has no goal to plan for; name a world that has one")
    searches = [
        Search(start, made.action_names, made.endings, budget)
        for start, (made, _) in zip(start_frames(model, [made for made, _ in opened]), opened, strict=True)
    ]
    if expert:
        _at_once(model.dreamer, searches, [made for made, _ in opened], expert)
    else:
        search(model.dreamer, searches)
    seconds = time.perf_counter() - started
    return [_tried(one, made, options, seed, seconds) for one, (made, options) in zip(searches, opened, strict=True)]


def search(dreamer: Dreamer, searches: Sequence[Search]) -> None:
    """Run all searches to their ends, level by level, their steps together in the engine's batches."""
    while active := [one for one in searches if not one.over]:
        asked = [one.prompts(dreamer) for one in active]
        dreamed = dreamer.run([prompt for prompts in asked for prompt in prompts])
        start = 0
        for one, prompts in zip(active, asked, strict=True):
            one.receive(dreamed[start : start + len(prompts)])
            start += len(prompts)


def _at_once(dreamer: Dreamer, searches: Sequence[Search], worlds: Sequence[World], expert: str) -> None:
    """The likeliest dream of each, as far as its actions can be done; found where it ends at a goal."""
    prompts = [
        replace(dreamer.plan_prompt(world, one.start), experts=((expert, 1.0),))
        for one, world in zip(searches, worlds, strict=True)
    ]
    for one, dreamed in zip(searches, dreamer.run(prompts), strict=True):
        dream = dreamed.as_dream()
        one.num_steps = len(dream.triplets)
        ended = bool(dream.triplets) and one.endings.get(dream.triplets[-1].result.text, False)
        if ended and all(triplet.action.text in one.actions for triplet in dream.triplets):
            one.found = dream


def _tried(found: Search, world: World, options: dict[str, Any], seed: int, seconds: float) -> Plan:
    """The plan of a finished search, and what the real world makes of it."""
    if found.found is None:
        return Plan(world.name, (), None, found.num_steps, False, False, "", seconds, exhausted=found.exhausted)
    actions = tuple(triplet.action.text for triplet in found.found.triplets)
    world.reset(seed=seed, options=options)
    outcome = real_course(world, [world.action_names.index(action) for action in actions])[-1][1]
    reaches = found.endings.get(outcome, False)
    falls = outcome in found.endings and not reaches
    return Plan(world.name, actions, found.found, found.num_steps, reaches, falls, outcome, seconds)
