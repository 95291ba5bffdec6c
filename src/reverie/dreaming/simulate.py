"""Simulating: given a world's picture and actions, dream the outcome frame by frame; then look what really happens.

The dream sees one picture, the first. Every further step starts from what was dreamed, written anew by the grammar. The
real world is stepped only when the dream is final, and only to say whether it agrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.dreaming.arbiter import Arbiter
from reverie.dreaming.dreamer import Dreamer
from reverie.dreaming.evaluators import Context
from reverie.nouns import Dream, Part, Triplet, Verdict
from reverie.worlds import World

if TYPE_CHECKING:
    from reverie.tokens.image import ImageTokenizer

__all__ = ["Simulation", "Step", "Walk", "walk"]

MEMORY = 8  # steps that a dream looks back on; longer chains start anew from a dreamed key frame


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


def walk(dreamer: Dreamer, walks: Sequence[Walk]) -> None:
    """Dream all ``walks`` to their ends, those at work together in one batch a step."""
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


def _history(dreamer: Dreamer, branch: Walk) -> list[int]:
    """The document so far: the last ``MEMORY`` steps, from a key frame on."""
    recent = branch.triplets[-MEMORY:]
    if len(recent) < len(branch.triplets):
        opening = Part(branch.start.text, recent[0].what.frame)
    else:
        opening = branch.start
    grammar = dreamer.grammar
    ids = dreamer.opening(opening, branch.question)
    for triplet in recent:
        ids += grammar.step_ids(triplet)
    return ids


def beside_reality(
    world: World,
    options: dict[str, Any],
    seed: int,
    actions: Sequence[tuple[int, str]],
    walks: Sequence[Walk],
    tokenizer: ImageTokenizer,
    arbiter: Arbiter,
) -> Simulation:
    """Judge the branches of one simulation, then step ``world`` beside the winner."""
    world.reset(seed=seed, options=options)
    start = np.asarray(world.render())
    dreams = [branch.dream() for branch in walks]
    frames = list({part.frame for dream in dreams for t in dream.triplets for part in (t.what, t.result) if part.frame})
    pictures = dict(zip(frames, tokenizer.decode(frames, world.cell_px), strict=True))
    scored, verdict = arbiter.decide(dreams, Context("", world, pictures))
    best = scored[verdict.branch]
    real = real_course(world, [number for number, _ in actions])
    real_frames = tokenizer.encode([picture for picture, _ in real], world.cell_px)
    steps = []
    for index, triplet in enumerate(best.triplets):
        frame, moment = triplet.result.frame, min(index, len(real) - 1)
        assert frame is not None
        exact = frame == real_frames[moment]
        steps.append(Step(triplet.action.text, pictures[frame], triplet.result.text, exact, *real[moment]))
    outcome, real_outcome = steps[-1].words, real[-1][1]
    agrees = len(steps) >= len(real) and all(step.exact for step in steps) and outcome == real_outcome
    names = tuple(words for _, words in actions)
    return Simulation(world.name, options, names, start, tuple(steps), outcome, real_outcome, agrees, scored, verdict)


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
