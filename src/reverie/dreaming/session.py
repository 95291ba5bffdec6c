"""A session with one model: what lasts from one question to the next. This is what ``reverie.load`` returns.

``ask`` and its kin make a ``Question`` and its ``DreamSettings`` and hand them to the stages of ``answering.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from reverie.dreaming.dreamer import Dreamer
from reverie.dreaming.grounding import MemoryGrounding, Remembering
from reverie.dreaming.minds import Mind, PictureMind
from reverie.dreaming.model import Model, frames_of
from reverie.dreaming.plan import Plan, plan
from reverie.dreaming.preview import Preview, RuntimeConfig
from reverie.dreaming.question import DreamSettings, Manner, Picture, Question, Speaking, Turn, check_list
from reverie.dreaming.scenes import Actions, Scene
from reverie.dreaming.simulate import Simulation, simulate
from reverie.dreaming.streaming import streamed
from reverie.dreaming.taught_answers import answered
from reverie.dreaming.unknown import told_as
from reverie.engine import AnyEngine
from reverie.errors import UsageError
from reverie.nouns import Answer, Dream, Frame
from reverie.progress import Progress, no_progress
from reverie.tokens.grammar import Grammar
from reverie.tokens.image import ImageTokenizer

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
        model: what a bundle opened to; others may work with it too, on the same thread; None for a speaker alone
        memory: what answers rest on: an open Memory, an address (see ``Store.open``), None for a temporary one of
            ``starter_facts``, False for none
        starter_facts: makes the rows of facts that a new memory starts with; None: what the model knows of its worlds
        runtime: how this client session runs
        observers: who hears its answers, in this order
        mind: who answers; None: ``model``, by what it was taught
    """

    def __init__(
        self,
        model: Model | None,
        memory: Memory | str | Path | bool | None = None,
        starter_facts: Iterable[Row] | None = None,
        runtime: RuntimeConfig | None = None,
        observers: Sequence[Observer] = (),
        mind: Mind | None = None,
    ):
        if mind is None:
            if model is None:
                raise UsageError("a session needs a model, or a mind that answers without one")
            mind = PictureMind(model)
        self._model, self.mind, self.name = model, mind, mind.name
        first = () if model is None else model.facts()
        self.grounding = MemoryGrounding(memory, first if starter_facts is None else starter_facts)
        self.preview = Preview(runtime or RuntimeConfig())
        self.observers = list(observers)
        self.history: tuple[Turn, ...] = ()

    @property
    def model(self) -> Model:
        """What dreams in pictures. Raises UsageError where nobody here does."""
        if self._model is None:
            raise UsageError(
                f"{self.name} only talks: what is pictured needs a bundle, such as nano or nano+{self.name}"
            )
        return self._model

    @property
    def worlds(self) -> Mapping[str, int]:
        """The worlds that were taught -> pixels per code."""
        return {} if self._model is None else self._model.worlds

    @property
    def grammar(self) -> Grammar:
        return self.model.grammar

    @property
    def tokenizer(self) -> ImageTokenizer:
        return self.model.tokenizer

    @property
    def engine(self) -> AnyEngine:
        return self.model.engine

    @property
    def dreamer(self) -> Dreamer:
        return self.model.dreamer

    def close(self) -> None:
        """Close the memory, which would be opened again by the next question, and let go of a speaker elsewhere."""
        self.grounding.close()
        self.mind.close()

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
        speaking: Speaking | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Answer:
        """Dream ``branches`` futures, pick one, and answer in its words.

        Arguments are those of ``Question`` and ``DreamSettings``; ``speaking`` says how free words are drawn, and what
        is said of what is not known. ``remember`` keeps what the winning dream claims in the memory, with a confidence
        of its own; ``explain`` also says how much less probable the answer would be without each expert; ``on_text`` is
        told the local model's words as they come. Raises UsageError for a call that makes no sense, PictureError and
        WorldError for what cannot be shown, BackendError for a speaker that is away.
        """
        asked = Question(question, images, world, scene, experts)
        settings = DreamSettings(branches, depth, temperature, seed)
        return self.answer(asked, Manner(settings, speaking or Speaking(), explain, on_text), remember)

    def chat(
        self,
        question: str,
        images: Sequence[Picture] = (),
        *,
        remember: bool = False,
        experts: Sequence[str] | None = None,
        speaking: Speaking | None = None,
        on_text: Callable[[str], None] | None = None,
        **settings: Any,
    ) -> Answer:
        """``ask`` within a talk: what was said before is part of the question, where the model has a form for that.

        ``settings`` as in ``DreamSettings``, the rest as in ``ask``. The talk is ``history``, the oldest turn first;
        what of it no longer fits is left out from its beginning, a whole turn at a time.
        """
        asked = Question(question, images, experts=experts, history=self.history)
        manner = Manner(DreamSettings(**settings), speaking or Speaking(), on_text=on_text)
        told = self.answer(asked, manner, remember)
        self.history = (*self.history, Turn(question, told.text, told.guess))
        return told

    def stream(self, question: str, **settings: Any) -> Iterator[str]:
        """The words of an answer piece by piece, as they are said; ``settings`` as in ``ask``. Whoever stops listening
        ends the answer."""
        return streamed(lambda say: self.ask(question, on_text=say, **settings))

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
        settings = DreamSettings(branches, depth, temperature, seed)
        told = answered(self.mind, self.grounding, asked, Manner(settings))
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
        return self.imagine(asked, settings).dreams

    def imagine(self, asked: Question, settings: DreamSettings) -> Answer:
        """``dream``, and whether it is to be stood behind: the text says what speaks against that."""
        return self.mind.imagine(self.grounding, asked, settings)

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

    def plan(self, world: str, scene: Scene, *, budget: int = 1000, seed: int = 0, expert: str = "") -> Plan:
        """Find actions that reach the goal by dreaming alone (see ``plan.plan``)."""
        return plan(self.model, world, [scene], budget, seed, expert)[0]

    def plan_many(
        self, world: str, scenes: Sequence[Scene], *, budget: int = 1000, seed: int = 0, expert: str = ""
    ) -> list[Plan]:
        """``plan`` for many scenes, in common batches."""
        return plan(self.model, world, scenes, budget, seed, expert)

    def decode(self, frames: Sequence[Frame]) -> list[np.ndarray]:
        """Frames as uint8 (H, W, 3) pictures, each at the size of the world that it shows."""
        return self.model.decode(frames)

    def pictures(self, dream: Dream) -> list[np.ndarray]:
        """The pictures of a dream in order: what it starts from, then every result; parts of words are left out."""
        return self.model.decode(frames_of(dream))

    def answer(self, asked: Question, manner: Manner, remember: bool = False) -> Answer:
        """``ask``, for who has made its question already; the talk so far is the question's own."""
        started = time.perf_counter()
        told = told_as(answered(self.mind, self.grounding, [asked], manner)[0], manner.speaking.unknown)
        first: list[Observer] = [self.preview, *([Remembering(self.grounding, self.name)] if remember else [])]
        told = _observed(asked, told, [*first, *self.observers])
        return replace(told, seconds=time.perf_counter() - started)


def _observed(asked: Question, told: Answer, observers: Iterable[Observer]) -> Answer:
    for observer in observers:
        told = observer.answered(asked, told) or told
    return told


Reverie = Session
