"""A session with one model: what lasts from one question to the next. This is what ``reverie.load`` returns.

``ask`` and its kin make a ``Question`` and its ``DreamSettings`` and hand them to the stages of ``answering.py``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from reverie.dreaming.answering import answer, imagine
from reverie.dreaming.grounding import MemoryGrounding, Remembering
from reverie.dreaming.model import Model, frames_of
from reverie.dreaming.plan import Plan, plan
from reverie.dreaming.preview import Preview, RuntimeConfig
from reverie.dreaming.question import DreamSettings, Picture, Question, Turn, check_list
from reverie.dreaming.scenes import Actions, Scene
from reverie.dreaming.simulate import Simulation, simulate
from reverie.errors import UsageError
from reverie.nouns import Answer, Dream, Frame
from reverie.progress import Progress, no_progress

if TYPE_CHECKING:
    from reverie.data import Row
    from reverie.memory.memory import Memory

__all__ = ["Observer", "Reverie", "Session"]


class Observer(Protocol):
    """Hears every answer of a session."""

    def answered(self, question: Question, answer: Answer) -> Answer | None:
        """What it returns stands in the answer's place; None leaves it as it is."""
        ...


class Session:
    """A model at work.

    Args:
        model: what a bundle opened to; others may work with it too, on the same thread
        memory: what answers rest on: an open Memory, an address (see ``Store.open``), None for a temporary one of
            ``starter_facts``, False for none
        starter_facts: makes the rows of facts that a new memory starts with; None: what the model knows of its worlds
        runtime: how this client session runs
        observers: who hears its answers, in this order
    """

    def __init__(
        self,
        model: Model,
        memory: Memory | str | Path | bool | None = None,
        starter_facts: Iterable[Row] | None = None,
        runtime: RuntimeConfig | None = None,
        observers: Sequence[Observer] = (),
    ):
        self.model, self.name, self.worlds = model, model.name, model.worlds
        self.grammar, self.tokenizer = model.grammar, model.tokenizer
        self.engine, self.dreamer = model.engine, model.dreamer
        self.grounding = MemoryGrounding(memory, model.facts() if starter_facts is None else starter_facts)
        self.preview = Preview(runtime or RuntimeConfig())
        self.observers = list(observers)
        self.history: tuple[Turn, ...] = ()

    def close(self) -> None:
        """Close the memory. It would be opened again by the next question."""
        self.grounding.close()

    def ask(
        self,
        question: str,
        images: Sequence[Picture] = (),
        *,
        branches: int = 4,
        depth: int = 12,
        world: str | None = None,
        scene: Scene = None,
        temperature: float = 0.7,
        seed: int = 0,
        remember: bool = False,
        experts: Sequence[str] | None = None,
        explain: bool = False,
    ) -> Answer:
        """Dream ``branches`` futures, pick one, and answer in its words.

        Arguments are those of ``Question`` and ``DreamSettings``. ``remember`` keeps what the winning dream claims in
        the memory, with a confidence of its own; ``explain`` also says how much less probable the answer would be
        without each expert. Raises UsageError for a call that makes no sense, PictureError and WorldError for what
        cannot be shown.
        """
        asked = Question(question, images, world, scene, experts)
        return self._ask(asked, DreamSettings(branches, depth, temperature, seed), remember, explain)

    def chat(self, question: str, **settings: Any) -> Answer:
        """``ask`` within a talk: what was said before is part of the question, where the model has a form for that.

        ``settings`` as in ``DreamSettings``. The talk is ``history``, the oldest turn first.
        """
        told = self._ask(Question(question, history=self.history), DreamSettings(**settings))
        self.history = (*self.history, Turn(question, told.text))
        return told

    def ask_many(
        self,
        questions: Sequence[str],
        *,
        branches: int = 4,
        depth: int = 12,
        temperature: float = 0.7,
        seed: int = 0,
        images: Sequence[Sequence[Picture]] = (),
        scenes: Sequence[tuple[str | None, Scene]] = (),
        experts: Sequence[str] | None = None,
    ) -> list[Answer]:
        """``ask`` for many questions in common batches; the remote preview is never asked.

        ``images``: pictures, ``scenes``: a world and a scene of it to start from, for each question, or none at all.
        """
        count = len(check_list("questions", questions))
        shown, starts = [*images] or [()] * count, [*scenes] or [(None, None)] * count
        if not count == len(shown) == len(starts):
            raise UsageError(f"{count} questions need as many pictures and scenes, got {len(shown)} and {len(starts)}")
        asked = [
            Question(text, pictures, world, scene, experts)
            for text, pictures, (world, scene) in zip(questions, shown, starts, strict=True)
        ]
        told = answer(self.model, self.grounding, asked, DreamSettings(branches, depth, temperature, seed))
        return [_observed(*each, self.observers) for each in zip(asked, told, strict=True)]

    def dream(
        self,
        question: str,
        images: Sequence[Picture] = (),
        *,
        branches: int = 4,
        depth: int = 12,
        world: str | None = None,
        scene: Scene = None,
        temperature: float = 0.7,
        seed: int = 0,
        experts: Sequence[str] | None = None,
    ) -> tuple[Dream, ...]:
        """The branches alone, scored but undecided; arguments as in ``ask``."""
        asked = Question(question, images, world, scene, experts)
        settings = DreamSettings(branches, depth, temperature, seed)
        return imagine(self.model, self.grounding, [asked], settings)[0].dreams

    def simulate(
        self,
        world: str,
        scene: Scene,
        actions: Actions,
        *,
        branches: int = 1,
        temperature: float = 0.7,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Simulation:
        """Dream what ``actions`` do to a scene, then say whether the real world agrees (see ``simulate.simulate``)."""
        settings = DreamSettings(branches, temperature=temperature, seed=seed)
        return simulate(self.model, world, [(scene, actions)], settings, progress)[0]

    def simulate_many(
        self,
        world: str,
        jobs: Sequence[tuple[Scene, Actions]],
        *,
        branches: int = 1,
        temperature: float = 0.7,
        seed: int = 0,
    ) -> list[Simulation]:
        """``simulate`` for many (scene, actions), in common batches."""
        return simulate(self.model, world, jobs, DreamSettings(branches, temperature=temperature, seed=seed))

    def plan(self, world: str, scene: Scene, *, budget: int = 1000, seed: int = 0) -> Plan:
        """Find actions that reach the goal by dreaming alone (see ``plan.plan``)."""
        return plan(self.model, world, [scene], budget, seed)[0]

    def plan_many(self, world: str, scenes: Sequence[Scene], *, budget: int = 1000, seed: int = 0) -> list[Plan]:
        """``plan`` for many scenes, in common batches."""
        return plan(self.model, world, scenes, budget, seed)

    def decode(self, frames: Sequence[Frame]) -> list[np.ndarray]:
        """Frames as uint8 (H, W, 3) pictures, each at the size of the world that it shows."""
        return self.model.decode(frames)

    def pictures(self, dream: Dream) -> list[np.ndarray]:
        """The pictures of a dream in order: what it starts from, then every result; parts of words are left out."""
        return self.model.decode(frames_of(dream))

    def _ask(self, asked: Question, settings: DreamSettings, remember: bool = False, explain: bool = False) -> Answer:
        started = time.perf_counter()
        told = answer(self.model, self.grounding, [asked], settings, explain)[0]
        first: list[Observer] = [self.preview, *([Remembering(self.grounding, self.name)] if remember else [])]
        told = _observed(asked, told, [*first, *self.observers])
        return replace(told, seconds=time.perf_counter() - started)


def _observed(asked: Question, told: Answer, observers: Iterable[Observer]) -> Answer:
    for observer in observers:
        told = observer.answered(asked, told) or told
    return told


Reverie = Session
