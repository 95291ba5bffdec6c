"""Simulating: given a world's picture and actions, dream the outcome frame by frame; then look what really happens.

The dream sees one picture, the first. Every further step starts from what was dreamed, written anew by the grammar. The
real world is stepped only when the dream is final, and only to say whether it agrees.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reverie.dreaming.dreamer import Dreamer
from reverie.dreaming.evaluators import Context
from reverie.dreaming.model import Model, frames_of
from reverie.dreaming.question import DreamSettings, check_text
from reverie.dreaming.scenes import Actions, Scene, open_scene, read_actions
from reverie.errors import UsageError, shorten
from reverie.nouns import Dream, Frame, Part, Triplet, Verdict
from reverie.progress import Progress, no_progress
from reverie.tokens.questions import clean_question
from reverie.worlds import World

__all__ = ["MAX_ACTIONS", "Simulation", "Step", "Walk", "real_course", "simulate", "start_frames", "walk"]

MAX_ACTIONS = 1000  # of one simulation
CONTEXT_STEPS = 8  # steps that a dream looks back on; longer chains start anew from a dreamed key frame


@dataclass(frozen=True)
class Step:
    """One action of a simulation, dreamed and real. Pictures are uint8 (H, W, 3).

    ``words`` and ``real_words`` say the result; ``exact`` is True where all codes of both pictures are equal. Once the
    real world has ended it stays as it is.
    """

    action: str
    picture: np.ndarray
    words: str
    exact: bool
    real_picture: np.ndarray
    real_words: str


@dataclass(frozen=True)
class Simulation:
    """A dreamed course of actions beside the real one.

    ``outcome`` is the last word of the winning dream, ``real_outcome`` the world's; ``agrees`` holds when every dreamed
    picture equals the real one, code for code, and so do the outcomes. ``dreams`` are all branches, scored.
    """

    world: str
    options: dict[str, Any]
    actions: tuple[str, ...]
    start: np.ndarray
    steps: tuple[Step, ...]
    outcome: str
    real_outcome: str
    agrees: bool
    dreams: tuple[Dream, ...]
    verdict: Verdict
    seconds: float = 0.0


@dataclass
class Walk:
    """One branch while it is being dreamed."""

    start: Part
    actions: Sequence[str]
    question: str = ""
    endings: dict[str, bool] = field(default_factory=dict)
    seed: int = 0
    temperature: float = 0.0
    triplets: list[Triplet] = field(default_factory=list)
    log_prob: float = 0.0
    num_ids: int = 0

    @property
    def over(self) -> bool:
        """All actions were taken, or the last words say that nothing more happens."""
        ended = bool(self.triplets) and self.triplets[-1].result.text in self.endings
        return ended or len(self.triplets) == len(self.actions)

    def dream(self) -> Dream:
        return Dream(tuple(self.triplets), self.log_prob, self.seed, num_ids=self.num_ids)


def simulate(
    model: Model,
    world: str,
    jobs: Sequence[tuple[Scene, Actions]],
    settings: DreamSettings,
    progress: Progress = no_progress,
) -> list[Simulation]:
    """Dream what actions do to scenes of ``world``, all in common batches, then say whether the real world agrees.

    The first branch is the most probable dream; further ones are sampled, and the arbiter picks. Raises UsageError
    without branches or for more than ``MAX_ACTIONS`` actions, WorldError for a scene or an action that the world lacks.
    """
    if not settings.branches:
        raise UsageError("a simulation needs at least 1 branch, got 0")
    started = time.perf_counter()
    check_text("the world", world)
    for _, actions in jobs:
        if not isinstance(actions, Sequence):
            raise UsageError(f"actions are a text or a list, got {shorten(repr(actions))}")
    scenes = [open_scene(world, scene, settings.seed) for scene, _ in jobs]
    taken = [read_actions(made, actions) for (made, _), (_, actions) in zip(scenes, jobs, strict=True)]
    if (most := max(map(len, taken), default=0)) > MAX_ACTIONS:
        raise UsageError(f"a simulation takes at most {MAX_ACTIONS:,} actions, got {most:,}")
    frames = start_frames(model, [made for made, _ in scenes])
    if model.world(world).wordless:
        questions, starts = [""] * len(jobs), [Part("", frame) for frame in frames]
    else:  # dreams of other worlds answer a question, and begin with words
        questions = [clean_question(f"What happens here if you {actions[0][1]}?") for actions in taken]
        starts = model.dreamer.put_into_words(frames, questions)
    groups = [
        [
            Walk(start, [words for _, words in actions], question, made.endings, seed, temperature)
            for seed, temperature in zip(settings.branch_seeds, settings.temperatures, strict=True)
        ]
        for (made, _), start, question, actions in zip(scenes, starts, questions, taken, strict=True)
    ]
    walk(model.dreamer, [branch for group in groups for branch in group], progress)
    seconds = time.perf_counter() - started
    return [
        _beside_reality(model, made, options, settings.seed, actions, [branch.dream() for branch in group], seconds)
        for (made, options), actions, group in zip(scenes, taken, groups, strict=True)
    ]


def start_frames(model: Model, worlds: Sequence[World]) -> list[Frame]:
    """What each world shows now."""
    return [model.tokenizer.encode([np.asarray(world.render())], world.cell_px)[0] for world in worlds]


def walk(dreamer: Dreamer, walks: Sequence[Walk], progress: Progress = no_progress) -> None:
    """Dream all ``walks`` to their ends, those at work together in one batch a step."""
    most = max((len(branch.actions) for branch in walks), default=0)
    while active := [branch for branch in walks if not branch.over]:
        prompts = [
            dreamer.step_prompt(
                _history(dreamer, branch),
                branch.actions[len(branch.triplets)],
                seed=branch.seed + 31 * len(branch.triplets),
                temperature=branch.temperature,
            )
            for branch in active
        ]
        for branch, dreamed in zip(active, dreamer.run(prompts), strict=True):
            last = branch.triplets[-1].result if branch.triplets else branch.start
            if dreamed.finished:
                whole = dreamed.document.triplets[-1]
                triplet = Triplet(last, whole.action, whole.result)
            else:  # it ran out of room before the result was whole: nothing was seen to change
                triplet = Triplet(last, Part(branch.actions[len(branch.triplets)]), last)
            branch.triplets.append(triplet)
            branch.log_prob += dreamed.log_prob
            branch.num_ids += dreamed.num_ids
        progress("dreamed steps", max(len(branch.triplets) for branch in walks), most)


def _history(dreamer: Dreamer, branch: Walk) -> list[int]:
    """The document so far: the last ``CONTEXT_STEPS`` steps, from a key frame on."""
    recent = branch.triplets[-CONTEXT_STEPS:]
    if len(recent) < len(branch.triplets):
        opening = Part(branch.start.text, recent[0].what.frame)
    else:
        opening = branch.start
    grammar = dreamer.grammar
    ids = dreamer.opening(opening, branch.question)
    for triplet in recent:
        ids += grammar.step_ids(triplet)
    return ids


def _beside_reality(
    model: Model,
    world: World,
    options: dict[str, Any],
    seed: int,
    actions: Sequence[tuple[int, str]],
    dreams: Sequence[Dream],
    seconds: float,
) -> Simulation:
    """Judge the branches of one simulation, then step ``world`` beside the winner."""
    world.reset(seed=seed, options=options)
    start = np.asarray(world.render())
    frames = list(dict.fromkeys(frame for dream in dreams for frame in frames_of(dream)))
    pictures = dict(zip(frames, model.tokenizer.decode(frames, world.cell_px), strict=True))
    scored, verdict = model.arbiter.decide(dreams, Context("", world, pictures))
    best = scored[verdict.branch]
    real = real_course(world, [number for number, _ in actions])
    real_frames = model.tokenizer.encode([picture for picture, _ in real], world.cell_px)
    steps = []
    for index, triplet in enumerate(best.triplets):
        frame, moment = triplet.result.frame, min(index, len(real) - 1)
        assert frame is not None
        exact = frame == real_frames[moment]
        steps.append(Step(triplet.action.text, pictures[frame], triplet.result.text, exact, *real[moment]))
    outcome, real_outcome = steps[-1].words, real[-1][1]
    agrees = len(steps) >= len(real) and all(step.exact for step in steps) and outcome == real_outcome
    names = tuple(words for _, words in actions)
    return Simulation(
        world.name, options, names, start, tuple(steps), outcome, real_outcome, agrees, scored, verdict, seconds
    )


def real_course(world: World, actions: Sequence[int]) -> list[tuple[np.ndarray, str]]:
    """What really happens from the world's present state: (picture, canonical words) a step, until it ends."""
    course = []
    for action in actions:
        before = world.state()
        _, _, terminated, truncated, _ = world.step(action)
        course.append((np.asarray(world.render()), world.narrator.say_result(before, action, world.state())[0]))
        if terminated or truncated:
            break
    return course
