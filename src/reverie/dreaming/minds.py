"""Who answers a session's questions: a model that dreams in pictures, a speaker that dreams in words, or both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from reverie.dreaming.answering import answer, imagine
from reverie.dreaming.grounding import MemoryGrounding
from reverie.dreaming.model import Model
from reverie.dreaming.question import DreamSettings, Manner, Question
from reverie.dreaming.rephrase import answer_rephrased, rephrase
from reverie.nouns import Answer
from reverie.tokens.questions import MAX_CHARS

if TYPE_CHECKING:
    from reverie.dreaming.words import WordMind

__all__ = ["JoinedMind", "Mind", "PictureMind"]


class Mind(Protocol):
    """Answers questions. Raises UsageError for what cannot be asked, PictureError and WorldError for what cannot be
    shown, BackendError for a speaker that is away."""

    name: str

    def answer(self, grounding: MemoryGrounding, questions: Sequence[Question], manner: Manner) -> list[Answer]:
        """An answer a question."""
        ...

    def imagine(self, grounding: MemoryGrounding, question: Question, settings: DreamSettings) -> Answer:
        """The dreams alone, undecided; the text says what speaks against them."""
        ...

    def close(self) -> None:
        """Let go of who speaks elsewhere."""
        ...


class PictureMind:
    """A model that was taught the grammar: it dreams in pictures and words."""

    def __init__(self, model: Model):
        self.model, self.name = model, model.name

    def answer(self, grounding: MemoryGrounding, questions: Sequence[Question], manner: Manner) -> list[Answer]:
        """As ``Mind.answer``, all questions in common batches. Its words are those of its dreams, however they would be
        spoken."""
        told = answer(self.model, grounding, questions, manner.dreams, manner.explain)
        for first in told[:1]:
            manner.tell(first.text)
        return [replace(one, model=self.name) for one in told]

    def imagine(self, grounding: MemoryGrounding, question: Question, settings: DreamSettings) -> Answer:
        return replace(imagine(self.model, grounding, [question], settings)[0], model=self.name)

    def close(self) -> None:
        """There is nobody elsewhere."""


class JoinedMind:
    """What ``model`` was taught it pictures; everything else is left to a speaker.

    A question goes to the model where its worlds' phrasebooks read every word of it, and is asked as it was taught.

    Args:
        model: it dreams in pictures
        open_words: opens the speaker's mind, when it is first needed
        others: the name of that one
    """

    def __init__(self, model: Model, open_words: Callable[[], WordMind], others: str):
        self.pictures = PictureMind(model)
        self.name = model.name if model.name == others else f"{model.name}+{others}"
        self._open, self._others = open_words, others

    @cached_property
    def words(self) -> WordMind:
        return self._open()

    def answer(self, grounding: MemoryGrounding, questions: Sequence[Question], manner: Manner) -> list[Answer]:
        return [self._answer(grounding, one, manner) for one in questions]

    def imagine(self, grounding: MemoryGrounding, question: Question, settings: DreamSettings) -> Answer:
        meant = self._meant(question)
        if meant == "":
            return self.words.imagine(grounding, question, settings)
        return self.pictures.imagine(grounding, replace(question, text=meant), settings)

    def close(self) -> None:
        """As ``Mind.close``; the speaker would be opened again by the next question."""
        if "words" in self.__dict__:
            self.words.close()
            del self.words

    def _meant(self, question: Question) -> str:
        """The question as the model is to be asked, "" where it is not for it."""
        if question.shown or question.experts:
            return question.text
        return "" if len(question.text) > MAX_CHARS else rephrase(question.text, tuple(self.pictures.model.worlds)).text

    def _answer(self, grounding: MemoryGrounding, question: Question, manner: Manner) -> Answer:
        pictures = self.pictures
        if question.shown or question.experts:
            told = pictures.answer(grounding, [question], manner)[0]
            what = "what is shown is" if question.shown else "the experts are"
            return replace(told, why=f"{pictures.name} was asked, as {what} its own")
        reason = f"it is longer than {pictures.name} reads"
        if len(question.text) <= MAX_CHARS:
            asking = _Asking(pictures, grounding, question, replace(manner, on_text=None))
            tried = answer_rephrased(asking, question.text)
            if tried.answer is not None:
                manner.tell(tried.answer.text)
                asked = tried.rephrased.text
                same = asked.rstrip("?") == question.cleaned.rstrip("?")
                why = f"{pictures.name} was taught this" + ("" if same else f', as "{asked}"')
                return replace(tried.answer, model=pictures.name, why=why)
            reason = f"{pictures.name} says: {tried.reason}"
        told = self.words.answer(grounding, [question], manner)[0]
        why = f"{self._others} was asked: {reason}"
        return replace(told, why=f"{why.rstrip('.')}; {told.why}" if told.why else why)


class _Asking:
    """The model as ``answer_rephrased`` asks it: many questions in the place of one."""

    def __init__(self, mind: PictureMind, grounding: MemoryGrounding, question: Question, manner: Manner):
        self.worlds, self._mind, self._grounding = mind.model.worlds, mind, grounding
        self._question, self._manner = question, manner

    def ask_many(self, questions: Sequence[str], **_: Any) -> list[Answer]:
        asked = [replace(self._question, text=text) for text in questions]
        return self._mind.answer(self._grounding, asked, self._manner)
