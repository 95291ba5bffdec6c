"""A base under our own engine, asked in words: the speaker that can be held to everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from reverie.dreaming.expert_pool import expert_shares
from reverie.dreaming.said import FormConstraint, SaidConstraint, TextMasks
from reverie.engine import AnyEngine, Completion, Request, Sampling
from reverie.errors import UsageError
from reverie.experts.contract import Choice
from reverie.speakers.contract import MAX_TOP, Abilities, Message, SaidId, Scored, Speech, SpeechRequest
from reverie.speakers.cutting import Cutter
from reverie.tokens.base_words import BaseWords
from reverie.tokens.growing import GrowingText
from reverie.tokens.guided import Guide

__all__ = ["EngineSpeaker"]


class EngineSpeaker:
    """Speaks with a base.

    Args:
        name: of its bundle
        engine: runs it
        words: how it reads and ends texts
        first: id of its first text id in the engine's numbering
        vocab_size, max_ids: ids and positions of the base

    Attributes:
        masks: which ids may be drawn, for constraints of one's own
    """

    def __init__(self, name: str, engine: AnyEngine, words: BaseWords, first: int, vocab_size: int, max_ids: int):
        self.name, self.engine, self.words, self.max_ids = name, engine, words, max_ids
        talks, forms = words.template is not None, bool(words.line_ends[0])
        self.abilities = Abilities(talks=talks, forms=forms, scores=True, embeds=True, experts=True, tops=MAX_TOP)
        self.usual = _usual(words)
        self.first, self.vocab_size, self.masks = first, vocab_size, TextMasks(words, first, vocab_size)

    @cached_property
    def guide(self) -> Guide:
        """Holds answers to forms: JSON by a schema, grammars."""
        return Guide(self.words, self.first, self.vocab_size)

    def speak(
        self, requests: Sequence[SpeechRequest], on_text: Callable[[int, str], None] | None = None
    ) -> list[Speech]:
        """As ``Speaker.speak``; all requests side by side."""
        saying = [
            _Saying(self.words, one, None if on_text is None else partial(on_text, row))
            for row, one in enumerate(requests)
        ]

        def tell(row: int, token: int) -> None:
            saying[row].take(token - self.first)

        drawn = self.engine.generate([self._request(one) for one in requests], None if on_text is None else tell)
        if on_text is None:
            for row, one in enumerate(drawn):
                for token in one.ids:
                    tell(row, token)
        return [
            Speech(each.end(), one.finished, len(one.ids), one.log_prob, self._told(one), len(self.ids(asked.said)))
            for each, one, asked in zip(saying, drawn, requests, strict=True)
        ]

    def _told(self, drawn: Completion) -> tuple[SaidId, ...]:
        data = self.words.data
        return tuple(
            SaidId(data(token - self.first), nats, tuple((data(one - self.first), value) for one, value in best))
            for token, nats, best in zip(drawn.ids, drawn.log_probs, drawn.likeliest)
        )

    def score(self, wanted: Sequence[tuple[str, str]], experts: Choice = ()) -> list[Scored]:
        """As ``Speaker.score``, all pairs in one pass. A space between the two texts belongs to the second."""
        pairs = []
        for before, after in wanted:
            kept = before.rstrip(" ")
            said = self.words.plain(before[len(kept) :] + after)
            pairs.append((self.ids(kept), self._ids(self.words.encode(said, whole=False)), experts))
        return [Scored(float(each.sum()), len(each)) for each in self.engine.score_many(pairs)]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """The mean of the base's final states over each text: float32 (n, D)."""
        return self.engine.embed_many([self.ids(text) for text in texts])

    def count(self, said: str | tuple[Message, ...]) -> int:
        return len(self.ids(said))

    def close(self) -> None:
        """There is nothing to let go of."""

    def ids(self, said: str | tuple[Message, ...]) -> tuple[int, ...]:
        """The engine's ids of a text, or of a talk up to where its answer begins. Neither can name the base's special
        tokens. Raises UsageError for a talk where the base has no chat template."""
        if isinstance(said, str):
            return self._ids(self.words.encode(self.words.plain(said)) or self.words.start)
        if self.words.template is None:
            raise UsageError(f"{self.name} has no chat template to be talked to by: ask it to go on with a text")
        turns = [{"role": one.role, "content": self.words.plain(one.content)} for one in said]
        return self._ids(self.words.encode(self.words.template.render(turns), whole=False))

    def _ids(self, ids: Sequence[int]) -> tuple[int, ...]:
        return tuple(self.first + token for token in ids)

    def _text(self, ids: Sequence[int]) -> str:
        return self.words.decode([token - self.first for token in ids])

    def _request(self, one: SpeechRequest) -> Request:
        prefix = self.ids(one.said)
        room = self.max_ids - len(prefix)
        if room < 1:
            raise UsageError(f"{len(prefix)} ids of words do not fit into the {self.max_ids} of {self.name}: ask less")
        constraint = SaidConstraint(self.masks, one.stop)
        return Request(
            prefix,
            one.seed,
            one.sampling,
            constraint if one.form is None else FormConstraint(self.masks, one.form),
            min(one.max_ids, room),
            frozenset(self.first + token for token in self.words.ends),
            one.experts,
            one.top,
        )

    def credit(self, asked: SpeechRequest, speech: Speech, alone: bool) -> dict[str, Any]:
        """What each expert gave to an answer, as fields of ``Attribution``; ``alone`` as in ``expert_shares``."""
        prefix = self.ids(asked.said)
        ids = self._ids(self.words.encode(speech.text, whole=False))[
            : self.max_ids - len(prefix)
        ]  # cut anew: maybe more
        shares = expert_shares(self.engine, prefix, ids, asked.experts, alone) if ids else {}
        return {"experts": shares, "ids": tuple(self._text([token]) for token in ids)}


class _Saying:
    """One answer as it grows: what of it is sure is told, each piece once."""

    def __init__(self, words: BaseWords, asked: SpeechRequest, say: Callable[[str], None] | None):
        self._cutter = Cutter(asked.stop, None if asked.form is None else 1 + len(asked.form))
        self._text, self._say, self._said = GrowingText(words), say, list[str]()

    def take(self, token: int) -> None:
        self._tell(self._cutter.feed(self._text.feed(token)))

    def end(self) -> str:
        """What of it counts."""
        self._tell(self._cutter.feed(self._text.rest()) + self._cutter.rest())
        return "".join(self._said)

    def _tell(self, piece: str) -> None:
        if piece:
            self._said.append(piece)
            if self._say is not None:
                self._say(piece)


def _usual(words: BaseWords) -> Sampling:
    told = words.drawing
    if not told:
        return Sampling(0.0)
    return Sampling(
        told.get("temperature", 1.0),
        int(told.get("top_k", 0)),
        told.get("top_p", 1.0),
        told.get("min_p", 0.0),
        told.get("repetition_penalty", 1.0),
    )
