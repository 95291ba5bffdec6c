"""Answers of a speaker: it reads what memory recalls, dreams where the answer lies ahead, answers at once elsewhere.

``WordMind.answer`` is the whole way of one question. A base whose confidence was calibrated says what it is asked only
where that stands behind it, and keeps the rest as a guess; of one that was not, how fluent it was is all there is.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Protocol

import numpy as np

from reverie.dreaming.asked import Asked, read_question
from reverie.dreaming.checks import refused
from reverie.dreaming.confidence import FORMS, ConfidenceModel, admit
from reverie.dreaming.familiar import strange_of, word_surprises
from reverie.dreaming.grounding import Evidence, MemoryGrounding
from reverie.dreaming.prompting import PromptStyle, as_text
from reverie.dreaming.question import DreamSettings, Manner, Question, Speaking
from reverie.dreaming.reading import bears_out, only_named, read
from reverie.dreaming.streaming import without_edges
from reverie.dreaming.unknown import not_known
from reverie.dreaming.word_dreams import WordDreamer, likeness, tellable
from reverie.dreaming.word_signals import Spoken, begun, measure, measure_dreams, measure_reading
from reverie.engine import Sampling
from reverie.errors import UsageError, shorten
from reverie.experts.contract import Choice
from reverie.nouns import DIRECT, Answer, Attribution, Check, Dream, Fact, Verdict
from reverie.speakers.contract import Message, Speech, SpeechRequest

__all__ = ["WordConfig", "WordMind", "asks"]

_CUT = " …"
_UNCALIBRATED = "its confidence is not calibrated"  # but says how fluent it was, and how it agrees with itself
_ASKS = re.compile(
    r"\W*(?:who|whose|whom|what|when|where|which|why|how|name|in|on|at|for|is|are|was|were|am|do|does|did|has|have|had)\b",
    re.I,
)
_BEGS = re.compile(r"\W*(?:please|can you|could you|would you|will you|let's)\b", re.I)


_DREAMED = {"ahead": "dream", "whether": "whether", "back": "why"}  # kinds of questions → forms of their dreams


class Grounds(Protocol):
    """What dreams are held against: a ``MemoryGrounding``, or less."""

    def evidence(self, dreams: Sequence[Dream]) -> Evidence: ...


@dataclass(frozen=True)
class WordConfig:
    """When an answer in words counts as known."""

    sure: float = 0.5  # confidence from which it does, where that was not calibrated
    beside: int = 2  # most further answers that an answer at once is compared with, where there is no more to it
    measured: int = 4  # as many where the confidence was calibrated
    beside_ids: int = 24  # most ids of each


class WordMind:
    """A speaker that answers.

    Args:
        dreamer: of its dreams, with the speaker
        style: how it is asked at once: ``chat``, ``question`` (as "Question: … Answer:") or ``plain`` (it goes on)
        choose: who of the speaker's experts helps with a question; None: nobody
        credit: what each of them gave to what was said, as fields of ``Attribution``
        learned: what the lessons of those who help with a question have to say of it; None: nothing
        confidence: how sure it is of answers at once, fitted on questions like them; None: nobody fitted it
    """

    def __init__(
        self,
        dreamer: WordDreamer,
        style: PromptStyle = "chat",
        choose: Callable[[Question], Choice] | None = None,
        credit: Callable[[SpeechRequest, Speech, bool], dict[str, Any]] | None = None,
        config: WordConfig | None = None,
        confidence: ConfidenceModel | None = None,
        learned: Callable[[str, Choice], Check | None] = lambda question, experts: None,
    ):
        self._learned = learned
        self.dreamer, self.speaker, self.name = dreamer, dreamer.speaker, dreamer.speaker.name
        self.confidence = confidence
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
        told = None
        if not question.experts:  # who is named is asked; whom the router chose is heard after what memory has to say
            alone = replace(manner, dreams=replace(manner.dreams, branches=0)) if experts else manner
            told = self.read_or_dreamt(grounding, question, alone, facts, self.confidence is not None)
        if told is None:
            return self._answered_at_once(question, manner, experts, only_named(question.text, facts))
        manner.tell(told.text)
        return told

    def read_or_dreamt(
        self, grounding: Grounds, question: Question, manner: Manner, facts: Sequence[Fact], measured: bool
    ) -> Answer | None:
        """What ``facts`` say, else what is dreamed; None where the question is to be answered at once. ``measured``:
        with signals, and known as far as answers of its form were calibrated."""
        asked, text = read_question(question.text), _flat(question.text)
        reading = read(self.speaker, text, tellable(asked, facts))
        dreams = manner.dreams.branches and asked.kind != "plain"
        if reading is None and not (dreams and self.dreamer.has_room(asked)):
            return None
        surprises = word_surprises(self.speaker, [question.text])[0] if measured or reading is None else {}
        rarest = min(surprises.values(), default=0.0)
        if reading is not None:
            told = replace(self._told(reading.text, reading.confidence), evidence=reading.cited)
            if not measured:
                return told
            return self._trusted(replace(told, signals=measure_reading(self.speaker, text, reading, rarest)))
        told = self._dream_told(grounding, question, asked, facts, manner.dreams, rarest if measured else None)
        words = _words(surprises)
        return self._stood_behind(self._trusted(told, [words]) if measured else _uncalibrated(told), words)

    def _dream_told(
        self,
        grounding: Grounds,
        question: Question,
        asked: Asked,
        facts: Sequence[Fact],
        settings: DreamSettings,
        rarest: float | None,
    ) -> Answer:
        """What is dreamed, in words; measured where it is said how strange the question's ``rarest`` word is."""
        text = _flat(question.text)
        dreams, verdict = self._dreamt(grounding, question, asked, facts, settings)
        best = dreams[verdict.branch]
        leads = self.dreamer.leads(text, asked, best)
        told = self._told(self.dreamer.word(text, asked, best, leads), best.score, dreams, verdict)
        told = replace(told, evidence=tuple(fact for fact in facts if bears_out(fact, best.said)))
        if rarest is None:
            return told
        form = _DREAMED[asked.kind]
        return replace(told, signals=measure_dreams(self.speaker, text, dreams, best, form, leads, rarest))

    def _trusted(self, told: Answer, checks: Sequence[Check] = ()) -> Answer:
        """``told`` as sure as answers of its form turned out to be; not known, where nobody found that out."""
        if self.confidence is None or told.signals is None:
            return told
        trusted = self.confidence.of(told.signals.form)
        if trusted is not None:
            return _judged(told, trusted, checks)
        why = f"{FORMS[told.signals.form]} were not calibrated"
        if not self.confidence.forms and told.evidence and not told.dreams:
            return replace(told, why=why)  # of a file that knows of no forms: what a cited fact bears out is kept
        return replace(told, known=False, text=not_known(why), guess=told.text, why=why)

    def at_once(self, questions: Sequence[Question], manner: Manner) -> list[tuple[Answer, Spoken]]:
        """The bare base's answers to questions, all in common batches and without any memory, and what was said to make
        them; ``signals`` say what their confidence is made of, and nothing is made of it."""
        asked = [self._requests(one, manner, (), True) for one in questions]
        said = iter(self.speaker.speak([request for requests in asked for request in requests]))
        surprises = word_surprises(self.speaker, [one.text for one in questions])
        spoken = [
            Spoken(_flat(one.text), next(said), tuple(next(said) for _ in its[1:]), min(rare.values(), default=0.0))
            for one, its, rare in zip(questions, asked, surprises, strict=True)
        ]
        signals = iter(measure(self.speaker, [one for one in spoken if one.texts[0]]))
        told = [
            replace(
                self._told(one.speech.text.strip(), 0.0),
                signals=next(signals) if one.texts[0] else None,
                checks=(_words(rare),),
            )
            for one, rare in zip(spoken, surprises, strict=True)
        ]
        return list(zip(told, spoken, strict=True))

    def _answered_at_once(self, question: Question, manner: Manner, experts: Choice, named: Fact | None) -> Answer:
        """Told as it is said, but where it may turn out that it is not known."""
        trusted = None if experts or not asks(question.text) else self.confidence
        surprises = word_surprises(self.speaker, [question.text])[0]
        words = _words(surprises)
        lessons = self._learned(question.text, experts) if experts and asks(question.text) else None
        waits = trusted is not None or (lessons is not None and not lessons.held) or not (words.held or experts)
        told, spoken = self._at_once(question, replace(manner, on_text=None) if waits else manner, experts, trusted)
        if trusted is not None and spoken.speech.text.strip():
            spoken = replace(spoken, rarest=min(surprises.values(), default=0.0))
            told = _judged(replace(told, signals=measure(self.speaker, [spoken])[0]), trusted, [words])
        told = self._stood_behind(told, words, f"memory knows of {named.subject}, but not this" if named else "")
        if lessons is not None:
            told = replace(told, checks=(*told.checks, lessons)) if lessons.held else refused(told, lessons)
        if waits:
            manner.tell(told.text)
        return told if trusted is not None or not asks(question.text) else _uncalibrated(told)

    def _stood_behind(self, told: Answer, words: Check, why: str = "") -> Answer:
        """``told``, not known where ``why`` says so, or where the question is about words that nobody knows."""
        told = replace(told, checks=(words,))
        if not why and words.held:
            return told
        spoken = words.held or told.attribution.experts  # who was asked for by name may have learned the words
        text = told.text if spoken else admit({"strange": -1.0})
        return replace(told, text=text, known=False, why=why or words.why, guess=told.guess or told.text)

    def _check(self, question: Question) -> None:
        if question.shown:
            raise UsageError(
                f"{self.name} was taught no pictures: ask a model that was, or both, as in nano+{self.name}"
            )
        if question.experts and self._choose is None:
            raise UsageError(f"{self.name} has no experts, and '{shorten(question.experts[0])}' is asked for")

    def _dreamt(
        self,
        grounding: Grounds,
        question: Question,
        asked: Asked,
        facts: Sequence[Fact],
        settings: DreamSettings,
    ) -> tuple[tuple[Dream, ...], Verdict]:
        dreams = self.dreamer.dream(asked, facts, settings)
        return self.dreamer.judge(question.text, asked, dreams, grounding.evidence(dreams))

    def _at_once(
        self, question: Question, manner: Manner, experts: Choice, trusted: ConfidenceModel | None
    ) -> tuple[Answer, Spoken]:
        """The answer without dreams. A few more beginnings are drawn beside it: what it says each time, it knows."""
        requests = self._requests(question, manner, experts, trusted is not None)
        say = None if manner.on_text is None else without_edges(manner.on_text)
        tell = None if say is None else lambda row, piece: None if row else say(piece)
        speech, *others = self.speaker.speak(requests, tell)
        text = speech.text.strip()
        if text and not speech.finished:  # cut by max_ids, and said so
            text += _CUT
            manner.tell(_CUT)
        marks = [] if speech.log_prob is None else [math.exp(speech.log_prob / max(speech.num_ids or 1, 1))]
        if others and text and trusted is None:
            alike = likeness(self.speaker, [begun(one) for one in (text, *(other.text for other in others))])
            marks.append(float(alike[0, 1:].mean()))
        told = self._told(text, float(np.mean(marks)) if marks and text else 0.0)
        if not text:
            manner.tell(told.text)
        if experts and self._credit is not None:
            told = replace(told, attribution=Attribution(**self._credit(requests[0], speech, manner.explain)))
        return told, Spoken(_flat(question.text), speech, tuple(others))

    def _requests(self, question: Question, manner: Manner, experts: Choice, measured: bool) -> list[SpeechRequest]:
        """The answer, and beginnings of others beside it; ``measured``: as many as confidence is fitted on."""
        settings, speaking = manner.dreams, manner.speaking
        beside = self.config.measured if measured else max(min(self.config.beside, settings.branches - 1), 0)
        seed, *seeds = replace(settings, branches=beside + 1).branch_seeds
        stop = (*speaking.stop, *(("\n",) if self.style == "question" else ()))
        said = self._said(question, speaking)
        max_ids = max(min(speaking.max_ids, self.speaker.max_ids - self.speaker.count(said)), 1)
        first = SpeechRequest(said, max_ids, speaking.drawn(self.speaker.usual), seed, stop, None, experts)
        drawn = Sampling(max(settings.temperature, 0.3), top_p=0.95)
        few = min(max_ids, self.config.beside_ids)
        return [first, *(replace(first, max_ids=few, sampling=drawn, seed=one) for one in seeds)]

    def _said(self, question: Question, speaking: Speaking) -> str | tuple[Message, ...]:
        """The question after what was said before, as much of it as fits: the oldest turns go first, the system's words
        stay, and no turn is cut. Where it only said that it does not know, the turn is left out."""
        if self.style != "chat":
            return as_text(question.text, self.style)
        system = (Message("system", speaking.system),) if speaking.system else ()
        turns = [turn for turn in question.history if turn.said]
        room = self.speaker.max_ids - min(speaking.max_ids, self.speaker.max_ids // 4)

        def said(left_out: int) -> tuple[Message, ...]:
            pairs = [(Message("user", one.question), Message("assistant", one.said)) for one in turns[left_out:]]
            return (*system, *chain.from_iterable(pairs), Message("user", question.text))

        return said(bisect_left(range(len(turns)), True, key=lambda count: self.speaker.count(said(count)) <= room))

    def _told(self, text: str, sure: float, dreams: tuple[Dream, ...] = (), verdict: Verdict = DIRECT) -> Answer:
        sure = min(max(sure, 0.0), 1.0)
        known = bool(text) and sure >= self.config.sure
        text = text or "I have no words for this."
        return Answer(text, known, sure, "local", dreams, verdict, model=self.name)


def _words(surprises: Mapping[str, float]) -> Check:
    """Whether it has ever met the words that are asked about."""
    strange = strange_of(surprises)
    why = f"it does not know the word {', '.join(strange)}" if strange else "it has met all of the words"
    return Check("words", not strange, why, float(not strange))


def _judged(told: Answer, trusted: ConfidenceModel, checks: Sequence[Check]) -> Answer:
    """``told`` as sure as it turned out to be; what is not known is a guess."""
    assert told.signals is not None
    sure, parts = trusted.confidence(told.signals, checks), trusted.parts(told.signals, checks)
    told = replace(told, confidence=sure, attribution=replace(told.attribution, confidence=parts))
    if trusted.known(sure, checks):
        return replace(told, known=True)
    return replace(told, known=False, text=admit(parts), guess=told.text)


def _uncalibrated(told: Answer) -> Answer:
    return told if told.why else replace(told, why=_UNCALIBRATED)


def asks(text: str) -> bool:
    """Whether ``text`` asks for what is true or not: what is to be written or told at will, is neither."""
    return not _BEGS.match(text) and ("?" in text or bool(_ASKS.match(text)))


def _flat(text: str) -> str:
    """``text`` on one line, as the forms of prompts need it."""
    return " ".join(text.split())
