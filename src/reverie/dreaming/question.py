"""What is asked, and how it is dreamed: frozen, and checked before any work."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from reverie.dreaming.scenes import Scene
from reverie.dreaming.unknown import UNKNOWN_MODES, Unknown, own_words
from reverie.engine.sampling import Sampling
from reverie.errors import UsageError, shorten
from reverie.settings import build_settings
from reverie.tokens.questions import clean_question

__all__ = [
    "MAX_BRANCHES",
    "MAX_QUESTION",
    "DreamSettings",
    "Manner",
    "Picture",
    "Question",
    "Speaking",
    "Turn",
    "check_list",
    "check_text",
    "whole_number",
]

Picture = str | Path | Image.Image | np.ndarray

MAX_BRANCHES = 64
MAX_QUESTION = 200_000  # characters: more than the contexts of most models hold; each says what fits into its own
_SEEDS_APART = 1000  # branch b of seed s is drawn with seed 1000 s + b
MAX_SEED = 9 * 10**15  # the engine's seeds end at 2^63, and each step of a simulation has one of its own


@dataclass(frozen=True)
class Turn:
    """An earlier question of the same talk, and what was answered; ``guess``: beside an answer that was not known."""

    question: str
    answer: str
    guess: str = ""

    @property
    def said(self) -> str:
        """What a model reads as its own words; "" where it said nothing."""
        return own_words(self.answer) or own_words(self.guess)


@dataclass(frozen=True)
class Question:
    """One question as it is asked. Raises UsageError, on construction, for what makes no sense.

    Args:
        text: up to ``MAX_QUESTION`` characters; a model that was taught the grammar reads fewer (see ``cleaned``)
        pictures: at most one that the dreams start from: a file, a Pillow picture, or uint8 (H, W, 3)
        world, scene: start from a world's scene instead of a picture (see ``scenes.open_scene``), or say which world
            the picture shows
        experts: who dreams it, as ``name`` or ``name=weight``; () for nobody, None lets the router choose
        history: what was said before, the oldest first
    """

    text: str
    pictures: Sequence[Picture] = ()
    world: str | None = None
    scene: Scene = None
    experts: Sequence[str] | None = None
    history: tuple[Turn, ...] = ()

    def __post_init__(self) -> None:
        clean_question(check_text("the question", self.text), MAX_QUESTION)
        if self.world is not None:
            check_text("the world", self.world)
        object.__setattr__(self, "pictures", check_list("pictures", self.pictures))
        if self.experts is not None:
            named = check_list("experts", self.experts)
            object.__setattr__(self, "experts", tuple(check_text("an expert", one) for one in named))
        object.__setattr__(self, "history", check_list("history", self.history))
        if not all(isinstance(turn, Turn) for turn in self.history):
            raise UsageError(f"history is a list of turns, got {shorten(repr(self.history), 60)}")
        for picture in self.pictures:
            if not isinstance(picture, Picture) or (isinstance(picture, str) and not picture):
                raise UsageError(f"a picture is a file, a Pillow picture or an array, got {shorten(repr(picture), 60)}")
        if not isinstance(self.scene, (str, Sequence, Mapping, type(None))):
            raise UsageError(f"a scene is a text, a list or a mapping, got {shorten(repr(self.scene), 60)}")
        if len(self.pictures) > 1:
            raise UsageError(f"one picture can be asked about at once, got {len(self.pictures)}")
        if self.pictures and self.scene is not None:
            raise UsageError("give a picture or a scene to start from, not both")

    @property
    def cleaned(self) -> str:
        """The text as a taught model reads it. Raises UsageError where it is too long for that (see
        ``clean_question``)."""
        return clean_question(self.text)

    @property
    def shown(self) -> bool:
        """Whether the dreams start from something to see."""
        return bool(self.pictures or self.world or self.scene is not None)


@dataclass(frozen=True)
class DreamSettings:
    """How a question is dreamed. Raises UsageError, on construction, for what is out of range.

    ``branches``: 0 answers directly, without dreams; ``depth``: most triplets of a dream; ``temperature``: of all
    branches but the first, which is the most probable dream; ``seed``: the same one gives the same dreams.
    """

    branches: int = 4
    depth: int = 12
    temperature: float = 0.7
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("branches", "depth", "seed"):
            object.__setattr__(self, name, whole_number(name, getattr(self, name)))
        if isinstance(self.temperature, bool) or not isinstance(self.temperature, (int, float, np.number)):
            raise UsageError(f"temperature is a number, got {shorten(repr(self.temperature), 60)}")
        object.__setattr__(self, "temperature", float(self.temperature))
        if not 0 <= self.branches <= MAX_BRANCHES:
            raise UsageError(f"branches lie between 0 and {MAX_BRANCHES}, got {self.branches}")
        if self.depth < 1 or not 0 <= self.temperature <= 10 or math.isnan(self.temperature):
            raise UsageError(
                f"depth is at least 1 and temperature between 0 and 10, got {self.depth} and {self.temperature}"
            )
        if not 0 <= self.seed <= MAX_SEED:
            raise UsageError(f"a seed is a whole number from 0 to {MAX_SEED}, got {self.seed}")

    @property
    def branch_seeds(self) -> list[int]:
        """The seed of each row: one a branch, and one for a direct answer."""
        return [self.seed * _SEEDS_APART + branch for branch in range(max(self.branches, 1))]

    @property
    def temperatures(self) -> list[float]:
        """The temperature of each row."""
        return [0.0, *[self.temperature] * (self.branches - 1)]


@dataclass(frozen=True)
class Speaking:
    """How an answer in free words is said, where no dream words it.

    ``system``: what the speaker is told first; ``max_ids``: most ids of an answer; ``sampling``: how they are drawn,
    None as the speaker usually is, or the fields of ``Sampling`` that are to differ from that; ``stop``: texts that end
    it; ``unknown``: what is said, by whomever, in the place of what is not known: ``say``, ``guess`` or ``strict``.
    Raises UsageError, on construction, for what makes no sense.
    """

    system: str = ""
    max_ids: int = 256
    sampling: Sampling | Mapping[str, float] | None = None
    stop: tuple[str, ...] = ()
    unknown: Unknown = "say"

    def __post_init__(self) -> None:
        check_text("the system prompt", self.system)
        object.__setattr__(self, "max_ids", whole_number("max_ids", self.max_ids))
        object.__setattr__(self, "stop", tuple(check_text("a stop text", one) for one in check_list("stop", self.stop)))
        if self.max_ids < 1:
            raise UsageError(f"max_ids is at least 1, got {self.max_ids}")
        if not all(self.stop):
            raise UsageError("a stop text is not empty")
        if self.unknown not in UNKNOWN_MODES:
            raise UsageError(
                f"what is not known is told as {', '.join(UNKNOWN_MODES)}, got {shorten(repr(self.unknown))}"
            )
        if isinstance(self.sampling, Mapping):
            checked = build_settings(Sampling, self.sampling)
            object.__setattr__(self, "sampling", {name: getattr(checked, name) for name in self.sampling})

    def drawn(self, usual: Sampling) -> Sampling:
        """How ids are drawn from a speaker that is drawn in the ``usual`` way. Filters need something to choose from:
        with one of them a speaker that says its likeliest words is drawn at temperature 1."""
        if isinstance(self.sampling, Sampling):
            return self.sampling
        changes: dict[str, Any] = dict(self.sampling or {})
        filtered = usual.greedy and changes.keys() & {"top_k", "top_p", "min_p"}
        return replace(usual, **{"temperature": 1.0} | changes if filtered else changes)


@dataclass(frozen=True)
class Manner:
    """How questions are answered: what is dreamed, how free words are said, whether to ``explain`` what it rests on,
    and who is told the words of a single one as they come."""

    dreams: DreamSettings
    speaking: Speaking = field(default_factory=Speaking)
    explain: bool = False
    on_text: Callable[[str], None] | None = None

    def tell(self, text: str) -> None:
        """Words of an answer, to whoever listens."""
        if self.on_text is not None:
            self.on_text(text)


def whole_number(what: str, value: Any) -> int:
    """``value`` as an int; UsageError where it is none."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise UsageError(f"{what} is a whole number, got {shorten(repr(value), 60)}")
    return operator.index(value)


def check_text(what: str, value: Any) -> str:
    """``value``, or UsageError where it is no text."""
    if not isinstance(value, str):
        raise UsageError(f"{what} is a text, got {shorten(repr(value), 60)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{what} holds what is no text (UTF-8), got {shorten(value, 60)!a}") from error
    return value


def check_list(what: str, values: Any) -> tuple[Any, ...]:
    """``values`` as a tuple, or UsageError where they are no list."""
    if isinstance(values, (str, bytes, Path, np.ndarray)) or not isinstance(values, Sequence):
        raise UsageError(f"{what} are given as a list, got {shorten(repr(values), 60)}")
    return tuple(values)
