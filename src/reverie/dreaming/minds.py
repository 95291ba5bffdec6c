"""Who answers a session's questions: a model that dreams in pictures, a speaker that dreams in words, or both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from reverie.dreaming.answering import answer, imagine
from reverie.dreaming.checks import Understood, checked, refused
from reverie.dreaming.grounding import MemoryGrounding
from reverie.dreaming.model import Model
from reverie.dreaming.question import DreamSettings, Manner, Question
from reverie.dreaming.rephrase import Rephrased, answer_rephrased, rephrase
from reverie.nouns import Answer
from reverie.tokens.questions import MAX_CHARS
from reverie.worlds import make_world

if TYPE_CHECKING:
    from reverie.dreaming.words import WordMind

__all__ = ["JoinedMind", "Mind", "PictureMind"]

_ILL_POSED = ("scene", "compared")  # checks of what nobody else could answer either


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
    """A model that was taught the grammar: it dreams in pictures and words.

    A question without a picture is asked as it was taught, where a phrasebook of its worlds reads every word of it
    (``rephrase``). What none of them reads is not known, unless a world has none, or an expert that the worlds do not
    know of is chosen for it.
    """

    def __init__(self, model: Model):
        self.model, self.name = model, model.name

    def answer(self, grounding: MemoryGrounding, questions: Sequence[Question], manner: Manner) -> list[Answer]:
        """As ``Mind.answer``, all questions in common batches. Its words are those of its dreams, however they would be
        spoken."""
        told = self.tried(grounding, questions, manner)
        for first in told[:1]:
            manner.tell(first.text)
        return told

    def tried(
        self, grounding: MemoryGrounding, questions: Sequence[Question], manner: Manner, guessing: bool = True
    ) -> list[Answer]:
        """``answer``, told to nobody; ``guessing``: what is not known has a guess where there is one."""

        def ask(some: Sequence[Question]) -> list[Answer]:
            return answer(self.model, grounding, some, manner.dreams, manner.explain)

        meant = [self.meant(question) for question in questions]
        read = [place for place, one in enumerate(meant) if one is not None]
        as_is = [place for place, one in enumerate(meant) if one is None]
        said = answer_rephrased(ask, [(questions[at], one) for at, one in enumerate(meant) if one], guessing)
        told = dict(zip(read, said, strict=True))
        if as_is:
            asked = ask([questions[at] for at in as_is])
            told |= {at: checked(one, Understood(questions[at].text)) for at, one in zip(as_is, asked, strict=True)}
        return [
            replace(told[at], model=self.name, why=self._why(question, meant[at]))
            for at, question in enumerate(questions)
        ]

    def imagine(self, grounding: MemoryGrounding, question: Question, settings: DreamSettings) -> Answer:
        return self.imagined(grounding, question, settings, self.meant(question))

    def imagined(
        self, grounding: MemoryGrounding, question: Question, settings: DreamSettings, meant: Rephrased | None
    ) -> Answer:
        """``imagine``, of a question that was read before."""
        asked = replace(question, text=meant.text) if meant and meant.text else question
        told = replace(imagine(self.model, grounding, [asked], settings)[0], model=self.name)
        return replace(refused(told, meant.refusal), guess="") if meant and meant.refusal else told

    def close(self) -> None:
        """There is nobody elsewhere."""

    def meant(self, question: Question) -> Rephrased | None:
        """How a question is read; None where it is asked as it is."""
        if question.shown or question.experts:
            return None
        meant = rephrase(question.cleaned, self.model.worlds)
        return meant if meant.found or (meant.closed and not self._taught_more) else None

    @cached_property
    def _taught_more(self) -> bool:
        """Whether it has an expert that its worlds' phrasebooks do not know of."""
        library = self.model.experts.library
        skills = {skill for world in self.model.worlds for skill in make_world(world).skills}
        return library is not None and not skills.issuperset(library.names())

    def _why(self, question: Question, meant: Rephrased | None) -> str:
        if meant is None or not meant.found:
            return ""
        same = meant.text.rstrip("?") == question.cleaned.rstrip("?")
        return f"{self.name} was taught this" + ("" if same else f', as "{meant.text}"')


class JoinedMind:
    """What ``model`` was taught it pictures; everything else is left to a speaker.

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
        short = [place for place, one in enumerate(questions) if self._own(one) or len(one.text) <= MAX_CHARS]
        tried = self.pictures.tried(grounding, [questions[at] for at in short], manner, guessing=False)
        told = dict(zip(short, tried, strict=True))
        return [self._answer(grounding, one, manner, told.get(at)) for at, one in enumerate(questions)]

    def imagine(self, grounding: MemoryGrounding, question: Question, settings: DreamSettings) -> Answer:
        if self._own(question):
            return self.pictures.imagine(grounding, question, settings)
        meant = self.pictures.meant(question) if len(question.text) <= MAX_CHARS else None
        if meant is not None and meant.found:
            return self.pictures.imagined(grounding, question, settings, meant)
        return self.words.imagine(grounding, question, settings)

    def close(self) -> None:
        """As ``Mind.close``; the speaker would be opened again by the next question."""
        if "words" in self.__dict__:
            self.words.close()
            del self.words

    def _own(self, question: Question) -> bool:
        """Whether nobody but the model can be asked: what is shown, and the experts, are its own."""
        return question.shown or bool(question.experts)

    def _answer(self, grounding: MemoryGrounding, question: Question, manner: Manner, tried: Answer | None) -> Answer:
        name, reason = self.pictures.name, f"it is longer than {self.pictures.name} reads"
        if tried is not None:
            why = f"{name} was asked, as {'what is shown is' if question.shown else 'the experts are'} its own"
            posed = all(check.held or check.name not in _ILL_POSED for check in tried.checks)
            if self._own(question) or tried.known or not posed:
                manner.tell(tried.text)
                return replace(tried, why=why) if self._own(question) else tried
            failed = [check.why for check in tried.checks if not check.held]
            reason = f"{name} says: {failed[0] if failed else tried.text.rstrip('.')}"
        told = self.words.answer(grounding, [question], manner)[0]
        why = f"{self._others} was asked: {reason}"
        return replace(told, why=f"{why}; {told.why}" if told.why else why)
