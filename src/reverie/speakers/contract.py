"""What a speaker is: a model that is asked in words and answers in words, wherever it runs.

A base under our own engine is one (``dreaming.engine_speaker``), and so are models behind HTTP and llama.cpp. They
differ in what they can be held to: ``Abilities`` says it, and who asks makes do. ``check_speaker`` holds a speaker to
this contract.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from reverie.engine.sampling import Sampling
from reverie.errors import ConfigError
from reverie.experts.contract import Choice

__all__ = ["MAX_TOP", "Abilities", "Message", "SaidId", "Scored", "Speaker", "Speech", "SpeechRequest"]

MAX_TOP = 100  # likeliest ids that may be asked for at a place; a speaker tells ``Abilities.tops`` of them at most


@dataclass(frozen=True)
class Abilities:
    """What a speaker can be asked for."""

    completes: bool = True  # goes on with a text as it stands; else it only answers talks
    talks: bool = True  # answers talks; else it only goes on with texts
    forms: bool = False  # is held to ``SpeechRequest.form``; else the form is asked for by example, and may be missed
    scores: bool = False  # says how probable given words are (``Speaker.score``)
    embeds: bool = False  # turns texts into vectors (``Speaker.embed``)
    seeds: bool = True  # the same seed gives the same words
    experts: bool = False  # has experts that a request may name
    tops: int = 0  # how many of the likeliest ids it tells at each place (``SpeechRequest.top``); 0: none


@dataclass(frozen=True)
class Message:
    """One turn of a talk."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class SpeechRequest:
    """What is to be said.

    Args:
        said: a text to go on with, or a talk whose last turn is to be answered
        max_ids: most ids of the answer, at least 1
        sampling: how they are drawn; the likeliest, where nothing is said
        seed: of this request alone
        stop: texts that end the answer, and are no part of it
        form: labels of further lines. The answer is then one line that holds words, and for each label a line that
            begins with it and holds words; with ("Result:",) such as " you drop it\\nResult: it breaks". Who has not
            ``Abilities.forms`` may miss it.
        experts: who helps, where the speaker has experts
        top: how many of the likeliest ids are told wherever one is drawn (``Speech.ids``), at most ``MAX_TOP``; 0:
            none. Who tells fewer (``Abilities.tops``) tells as many as it can.
    """

    said: str | tuple[Message, ...]
    max_ids: int = 256
    sampling: Sampling = field(default_factory=lambda: Sampling(0.0))
    seed: int = 0
    stop: tuple[str, ...] = ()
    form: tuple[str, ...] | None = None
    experts: Choice = ()
    top: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.top, int) or not 0 <= self.top <= MAX_TOP:
            raise ConfigError(f"top is a whole number from 0 to {MAX_TOP}, got {self.top}")
        if not isinstance(self.max_ids, int) or self.max_ids < 1:
            raise ConfigError(f"max_ids is a whole number of at least 1, got {self.max_ids}")
        if not self.said or any(not one for one in self.stop):
            raise ConfigError("a speaker is asked with words, and no stop text is empty")


@dataclass(frozen=True)
class SaidId:
    """An id that was drawn: its bytes (a part of a letter is some of its bytes; an id that only ends has none), its
    log-probability in nats at temperature 1, and the bytes and log-probabilities of the likeliest there, best first."""

    bytes: bytes
    log_prob: float
    top: tuple[tuple[builtins.bytes, float], ...] = ()


@dataclass(frozen=True)
class Speech:
    """What was said, without the stop text.

    ``finished``: it came to an end by itself, by a stop text or by its form; False where ``max_ids`` ran out.
    ``num_ids``, with the one that ended it where it counts that, and ``log_prob`` (the sum over them, in nats, at
    temperature 1) are None where the speaker does not tell. ``ids``: one by one, where ``SpeechRequest.top`` asked for
    them and the speaker tells; their bytes joined are the text (with blanks before it that it may lack), and go on
    behind it where a stop text or a form ended it. ``prompt_ids``: of what was asked, where the speaker tells.
    """

    text: str
    finished: bool
    num_ids: int | None = None
    log_prob: float | None = None
    ids: tuple[SaidId, ...] = ()
    prompt_ids: int | None = None


@dataclass(frozen=True)
class Scored:
    """How probable given words are: their log-probability in nats, summed over ``num_ids`` ids."""

    log_prob: float
    num_ids: int

    @property
    def mean(self) -> float:
        return self.log_prob / max(self.num_ids, 1)


class Speaker(Protocol):
    """A model that is asked in words. One thread at a time unless it says otherwise."""

    name: str  # such as "smol", "ollama:llama3.2"
    abilities: Abilities
    max_ids: int  # of a prompt and its answer together
    usual: Sampling  # how its makers have it drawn; greedy where they do not say

    def speak(
        self, requests: Sequence[SpeechRequest], on_text: Callable[[int, str], None] | None = None
    ) -> list[Speech]:
        """One answer a request, in their order. ``on_text(request, piece)`` is told each piece as it is said, in the
        caller's thread; the pieces of a request joined are its text.

        An answer is at most as long as ``max_ids`` has room for. Raises BackendError for a speaker that is away or
        answers nonsense, UsageError for a prompt that leaves no room, for a text to go on with where
        ``abilities.completes`` is False, and for a talk where ``abilities.talks`` is.
        """
        ...

    def score(self, wanted: Sequence[tuple[str, str]], experts: Choice = ()) -> list[Scored]:
        """How probable the second text is after the first, for each pair. Raises UsageError without ``scores``."""
        ...

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """float32 (n, D), one vector a text. Raises UsageError without ``embeds``."""
        ...

    def count(self, said: str | tuple[Message, ...]) -> int:
        """How many ids that takes of ``max_ids``; an estimate, rather too high, where the speaker does not tell."""
        ...

    def close(self) -> None:
        """Let go of what it holds. It may be called twice."""
        ...
