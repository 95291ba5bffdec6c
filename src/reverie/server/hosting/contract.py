"""What is asked of a hosted model and what comes back, whatever API it was asked through.

A ``TextRequest`` (a text to go on with, or a talk to answer) becomes a ``Run``: an asynchronous iterator of ``Piece``s,
whose ``final`` says how it ended once it is over. Texts of pieces joined are the answer: characters are never broken,
and stop texts are no part of it.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from reverie.engine import Constraint
from reverie.errors import UsageError, shorten
from reverie.experts.contract import Choice

if TYPE_CHECKING:
    from reverie.dreaming.engine_speaker import EngineSpeaker
    from reverie.nouns import Answer

__all__ = ["MAX_TOP", "ChatMessage", "Drawing", "Final", "Piece", "Run", "Said", "TextRequest", "Timing", "Token"]

MAX_TOP = 20  # likeliest ids that can be told of each place

Finish = Literal["stop", "length"]


@dataclass(frozen=True)
class ChatMessage:
    """One turn of a talk. ``fields``: further fields that a chat template may read, such as ``tool_calls``.

    ``images``: pictures of the turn, each a base64 text or a data: URI; only who dreams in pictures looks at one.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    images: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)


Said = str | tuple[int, ...] | tuple[ChatMessage, ...]
"""A text to go on with, the same as ids of the base's own tokenizer, or a talk whose last turn is to be answered."""


@dataclass(frozen=True)
class Drawing:
    """How ids are drawn. What is None stays as the base's makers have it drawn (its greedy way, where they do not say).

    A filter (top_p, top_k, min_p) alone, with a base that is drawn greedily, draws at temperature 1.
    """

    temperature: float | None = None  # 0: the likeliest id
    top_p: float | None = None
    top_k: int | None = None  # 0: all
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None  # taken off the logit of an id that was drawn before
    frequency_penalty: float | None = None  # the same for each time that it was

    def given(self) -> dict[str, float]:
        """The settings that are said."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class TextRequest:
    """What is to be said. Raises UsageError, on construction, for what makes no sense.

    Args:
        model: a name as ``Hosting.resolve`` takes it: ``smol``, ``smol:auto``, ``smol:causal+spatial@0.7``
        said: a text, ids, or a talk
        drawing: how ids are drawn
        seed: None draws one at random; else the same seed gives the same words
        max_ids: most ids of the answer; None: as the server has it; 0 only reads (with ``echo``)
        stop: texts that end the answer, and are no part of it
        experts: who helps; None: as the model's name says. Names of experts with weights, () for nobody
        top: likeliest ids that are told of each place, 0 to ``MAX_TOP``; None: no log-probabilities at all
        echo: the log-probabilities of the prompt's own ids are told, too (``Final.prompt``); without ``top`` only its
            text is
        constraint: makes what holds one answer to a form; asked once a request, with the model that says it and the
            most ids that the answer may have
        tools: as a chat template takes them (``tools`` in its variables), JSON objects
        keep_alive: seconds for which the model stays loaded after this; below 0 for good, None as the server has it
        dreams: branches that are dreamed before the answer; None: as many as usual where the model is one that dreams,
            and the base's own words where it talks
        raw: a text is the whole prompt as it stands: it may name the base's special tokens
    """

    model: str
    said: Said
    drawing: Drawing = field(default_factory=Drawing)
    seed: int | None = None
    max_ids: int | None = None
    stop: tuple[str, ...] = ()
    experts: Choice | None = None
    top: int | None = None
    echo: bool = False
    constraint: Callable[[EngineSpeaker, int], Constraint] | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    keep_alive: float | None = None
    dreams: int | None = None
    raw: bool = False

    def __post_init__(self) -> None:
        if not self.said and not isinstance(self.said, str):
            raise UsageError("there is nothing to go on with: send a text, ids, or at least one message")
        if self.max_ids is not None and self.max_ids < (0 if self.echo else 1):
            raise UsageError(f"at least 1 id is to be said, got {self.max_ids}")
        if self.top is not None and not 0 <= self.top <= MAX_TOP:
            raise UsageError(f"log-probabilities are told of 0 to {MAX_TOP} ids a place, got {self.top}")
        if not all(self.stop):
            raise UsageError("a stop text is not empty")
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise UsageError(f"a seed is a whole number from 0 to 2^63 - 1, got {shorten(str(self.seed))}")
        if self.keep_alive is not None and not math.isfinite(self.keep_alive):
            raise UsageError("keep_alive is a finite number of seconds")

    @property
    def talk(self) -> tuple[ChatMessage, ...] | None:
        """The talk, None where it is a text or ids."""
        first = self.said[0] if isinstance(self.said, tuple) else None
        return self.said if isinstance(first, ChatMessage) else None  # type: ignore[return-value]


@dataclass(frozen=True)
class Token:
    """One id that was drawn, or read.

    Args:
        id: in the base's own numbering
        text: what it says alone; where it is a part of a character, U+FFFD stands for that
        data: the bytes that it stands for
        log_prob: in nats, among what was allowed, at temperature 1; None where it was not asked for, and of the first
            id of a prompt
        top: the likeliest ids there (id, text, bytes, log-probability), the likeliest first, as many as were asked for
        offset: characters of the text before it
    """

    id: int
    text: str
    data: bytes
    log_prob: float | None = None
    top: tuple[tuple[int, str, bytes, float], ...] = ()
    offset: int = 0


@dataclass(frozen=True)
class Piece:
    """What is surely part of an answer: some of its text, and the ids that it is the text of.

    ``tokens`` are all there whether or not log-probabilities were asked for; a piece may have no text (an id that is
    only part of a character waits for the others). Answers that were dreamed have no tokens.
    """

    text: str
    tokens: tuple[Token, ...] = ()


@dataclass(frozen=True)
class Timing:
    """Seconds that a request took, in the order in which they passed."""

    load: float = 0.0  # until the model was there; 0 where it was
    queue: float = 0.0  # until there was room to run
    prompt: float = 0.0  # until the first id was drawn, choosing experts included
    decode: float = 0.0  # from then on
    total: float = 0.0


@dataclass(frozen=True)
class Final:
    """How an answer ended.

    Args:
        finish: stop: it came to its end, or to a stop text; length: its ids, its time or the model's positions ran out
        stop_text: which stop text ended it, "" for none
        num_prompt, num_ids: ids of the prompt, ids that were drawn (that which ended it included)
        experts: who helped
        prompt: the prompt's ids, where ``echo`` was asked for
        prompt_text: the prompt as text, where ``echo`` was asked for
        answer: of a model that dreams: dreams, evidence, confidence
    """

    finish: Finish
    stop_text: str = ""
    num_prompt: int = 0
    num_ids: int = 0
    timing: Timing = Timing()
    experts: Choice = ()
    prompt: tuple[Token, ...] = ()
    prompt_text: str = ""
    answer: Answer | None = None


class Run(Protocol):
    """An answer under way. Iterate it once; then ``final`` is there. ``close`` ends it, and frees its room at once."""

    model: str  # the name that was asked for, made whole, as "smol:auto"
    fingerprint: str  # changes whenever the bundle's files do

    @property
    def before(self) -> Final:
        """What is known before the first piece: the prompt, who helps, the timing so far."""
        ...

    def __aiter__(self) -> AsyncIterator[Piece]:
        """Its pieces as they come. Raises RequestError for what went wrong meanwhile."""
        ...

    @property
    def final(self) -> Final:
        """How it ended; only once it has."""
        ...

    async def whole(self) -> tuple[str, tuple[Token, ...], Final]:
        """All of it, at its end."""
        ...

    def close(self) -> None:
        """Nobody listens any more. It may be called twice."""
        ...
