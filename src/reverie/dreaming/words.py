"""Answers of a speaker: it reads what memory recalls, dreams where the answer lies ahead, answers at once elsewhere.

``WordMind.answer`` is the whole way of one question.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from reverie.dreaming.asked import Asked, read_question
from reverie.dreaming.familiar import strange_words
from reverie.dreaming.grounding import MemoryGrounding
from reverie.dreaming.prompting import PromptStyle, as_text
from reverie.dreaming.question import DreamSettings, Manner, Question, Speaking
from reverie.dreaming.reading import bears_out, only_named, read
from reverie.dreaming.streaming import without_edges
from reverie.dreaming.word_dreams import WordDreamer, likeness, tellable
from reverie.engine import Sampling
from reverie.errors import UsageError, shorten
from reverie.experts.contract import Choice
from reverie.nouns import DIRECT, Answer, Dream, Fact, Verdict
from reverie.speakers.contract import Message, Speech, SpeechRequest

__all__ = ["WordConfig", "WordMind"]

_CUT = " …"


@dataclass(frozen=True)
class WordConfig:
    """When an answer in words counts as known."""

    sure: float = 0.5  # confidence from which it does
    beside: int = 2  # most further answers that an answer at once is compared with
    beside_ids: int = 24  # most ids of each


class WordMind:
    """A speaker that answers.

    Args:
        dreamer: of its dreams, with the speaker
        style: how it is asked at once: ``chat``, ``question`` (as "Question: … Answer:") or ``plain`` (it goes on)
        choose: who of the speaker's experts helps with a question; None: nobody
        credit: what each of them gave to what was said, as fields of ``Attribution``
    """

    def __init__(
        self,
        dreamer: WordDreamer,
        style: PromptStyle = "chat",
        choose: Callable[[Question], Choice] | None = None,
        credit: Callable[[SpeechRequest, Speech, bool], dict[str, Any]] | None = None,
        config: WordConfig | None = None,
    ):
        self.dreamer, self.speaker, self.name = dreamer, dreamer.speaker, dreamer.speaker.name
        self.style: PromptStyle = style if style != "chat" or self.speaker.abilities.talks else "question"
        self.config, self._choose, self._credit = config or WordConfig(), choose, credit

    def answer(self, grounding: MemoryGrounding, questions: Sequence[Question], manner: Manner) -> list[Answer]:
        """As ``Mind.answer``, one question after another."""
        return [self._answer(grounding, one, manner) for one in questions]

    def imagine(self, grounding: MemoryGrounding, question: Question, settings: DreamSettings) -> Answer:
        """As ``Mind.imagine``. Raises UsageError where the question asks for nothing to dream of."""
        self._check(question)
        if question.experts:
            raise UsageError("dreams in words are those of the bare model: ask for them without experts")
        if not settings.branches:
            raise UsageError("dreaming needs at least 1 branch")
        asked = read_question(question.text)
        if asked.kind == "plain":
            raise UsageError("the question asks for nothing to dream of: ask what happens if …, or use ask")
        facts = grounding.recall(question.text)
        dreams, _ = self._dreamt(grounding, question, asked, facts, settings)
        told = self._told("", max(dream.score for dream in dreams), dreams)
        return replace(told, text="" if told.known else "I am not sure of any of this.", verdict=Verdict(-1, ""))

    def close(self) -> None:
        """As ``Mind.close``: then it says nothing more."""
        self.speaker.close()

    def _answer(self, grounding: MemoryGrounding, question: Question, manner: Manner) -> Answer:
        self._check(question)
        facts = grounding.recall(question.text, passages=True)
        experts = self._choose(question) if self._choose is not None else ()
        asked = read_question(question.text)
        reading = None if experts else read(self.speaker, _flat(question.text), tellable(asked, facts))
        if reading is not None:
            told = replace(self._told(reading.text, reading.confidence), evidence=reading.cited)
        elif manner.dreams.branches and asked.kind != "plain" and not experts and self.dreamer.has_room(asked):
            dreams, verdict = self._dreamt(grounding, question, asked, facts, manner.dreams)
            best = dreams[verdict.branch]
            told = self._told(self.dreamer.word(_flat(question.text), asked, best), best.score, dreams, verdict)
            told = replace(told, evidence=tuple(fact for fact in facts if bears_out(fact, best.said)))
        else:
            told = self._at_once(question, manner, experts)
            named = only_named(question.text, facts)
            return self._doubted(question, told, f"memory knows of {named.subject}, but not this" if named else "")
        manner.tell(told.text)
        return told if reading is not None else self._doubted(question, told)

    def _doubted(self, question: Question, told: Answer, why: str = "") -> Answer:
        """``told``, not known where ``why`` says so, or where the question is about words that nobody knows."""
        if not why and told.known and (strange := strange_words(self.speaker, question.text)):
            why = f"it does not know the word {', '.join(strange)}"
        return replace(told, known=False, why=why) if why else told

    def _check(self, question: Question) -> None:
        if question.shown:
            raise UsageError(
                f"{self.name} was taught no pictures: ask a model that was, or both, as in nano+{self.name}"
            )
        if question.experts and self._choose is None:
            raise UsageError(f"{self.name} has no experts, and '{shorten(question.experts[0])}' is asked for")

    def _dreamt(
        self,
        grounding: MemoryGrounding,
        question: Question,
        asked: Asked,
        facts: Sequence[Fact],
        settings: DreamSettings,
    ) -> tuple[tuple[Dream, ...], Verdict]:
        dreams = self.dreamer.dream(asked, facts, settings)
        return self.dreamer.judge(question.text, asked, dreams, grounding.evidence(dreams))

    def _at_once(self, question: Question, manner: Manner, experts: Choice) -> Answer:
        """The answer without dreams. A few more beginnings are drawn beside it: what it says each time, it knows."""
        settings, speaking = manner.dreams, manner.speaking
        seed, *seeds = settings.branch_seeds
        stop = (*speaking.stop, *(("\n",) if self.style == "question" else ()))
        sampling = speaking.drawn(self.speaker.usual)
        said = self._said(question, speaking)
        max_ids = max(min(speaking.max_ids, self.speaker.max_ids - self.speaker.count(said)), 1)
        first = SpeechRequest(said, max_ids, sampling, seed, stop, None, experts)
        drawn = Sampling(max(settings.temperature, 0.3), top_p=0.95)
        beside = [
            replace(first, max_ids=min(first.max_ids, self.config.beside_ids), sampling=drawn, seed=seed)
            for seed in seeds[: self.config.beside]
        ]
        say = None if manner.on_text is None else without_edges(manner.on_text)
        tell = None if say is None else lambda row, piece: None if row else say(piece)
        speech, *others = self.speaker.speak([first, *beside], tell)
        text = speech.text.strip()
        if text and not speech.finished:  # cut by max_ids, and said so
            text += _CUT
            manner.tell(_CUT)
        marks = [] if speech.log_prob is None else [math.exp(speech.log_prob / max(speech.num_ids or 1, 1))]
        if others and text:
            alike = likeness(self.speaker, [_begun(one) for one in (text, *(other.text for other in others))])
            marks.append(float(alike[0, 1:].mean()))
        told = self._told(text, float(np.mean(marks)) if marks and text else 0.0)
        if not text:
            manner.tell(told.text)
        if not experts or self._credit is None:
            return told
        return replace(told, attribution=replace(told.attribution, **self._credit(first, speech, manner.explain)))

    def _said(self, question: Question, speaking: Speaking) -> str | tuple[Message, ...]:
        """The question after what was said before, as much of it as fits: the oldest turns go first, the system's words
        stay, and no turn is cut."""
        if self.style != "chat":
            return as_text(question.text, self.style)
        system = (Message("system", speaking.system),) if speaking.system else ()
        turns, room = question.history, self.speaker.max_ids - min(speaking.max_ids, self.speaker.max_ids // 4)

        def said(left_out: int) -> tuple[Message, ...]:
            pairs = [(Message("user", one.question), Message("assistant", one.answer)) for one in turns[left_out:]]
            return (*system, *chain.from_iterable(pairs), Message("user", question.text))

        return said(bisect_left(range(len(turns)), True, key=lambda count: self.speaker.count(said(count)) <= room))

    def _told(self, text: str, sure: float, dreams: tuple[Dream, ...] = (), verdict: Verdict = DIRECT) -> Answer:
        sure = min(max(sure, 0.0), 1.0)
        known = bool(text) and sure >= self.config.sure
        text = text or "I have no words for this."
        return Answer(text, known, sure, "local", dreams, verdict, model=self.name)


def _begun(text: str) -> str:
    """The first sentence of an answer."""
    return re.split(r"(?<=[.!?])\s", text.strip(), maxsplit=1)[0]


def _flat(text: str) -> str:
    """``text`` on one line, as the forms of prompts need it."""
    return " ".join(text.split())
