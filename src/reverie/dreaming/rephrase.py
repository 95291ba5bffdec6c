"""A free phrasing is rewritten into what the model was taught, if every thing and action that it names is kept.

The world's phrasebook reads the question (``parsing.py``) and says what to ask instead; the model is then asked that,
and what the question takes for granted with it. What a phrasebook does not cover to the last word is not rewritten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol

from reverie.dreaming.parsing import Parser, words_of
from reverie.nouns import Answer
from reverie.speakers.contract import Speaker
from reverie.worlds import make_world
from reverie.worlds.phrasebook import Asking, Bindings

__all__ = ["AnsweredRephrased", "Rephrased", "answer_rephrased", "rephrase"]

_EXAMPLES = (
    ("My son let the plate slip. What then?", "what happens when you drop a plate?"),
    ("Will butter stay solid over a fire?", "does butter melt when you heat it?"),
    ("Where will I find my ball if I shove it?", "where does a ball end up when you push it?"),
)
_NOTHING = "Something was asked."


@dataclass(frozen=True)
class Rephrased:
    """What became of a question: what to ask instead, or why there is nothing to ask.

    ``text``: the taught wording, "" where there is none; then ``reason`` says why, and ``left_over`` the words that
    no rewriting would keep. ``named``: what was understood, such as {"thing": "egg", "action": "drop", ...}.
    """

    question: str
    text: str = ""
    world: str = ""
    named: Bindings | None = None
    asking: Asking | None = None
    left_over: tuple[str, ...] = ()
    reason: str = ""

    @property
    def found(self) -> bool:
        return self.asking is not None


@dataclass(frozen=True)
class AnsweredRephrased:
    """``answer``: that of the rewritten question, None where there is none to stand behind; ``reason`` says why."""

    rephrased: Rephrased
    answer: Answer | None = None
    reason: str = ""


def rephrase(question: str, worlds: Sequence[str], speaker: Speaker | None = None) -> Rephrased:
    """``question`` in words that a model of these worlds was taught.

    ``speaker``: chooses where a question can be meant in several ways, if it has scores; else the way in which fewest
    pieces cover it is taken.
    """
    tried = [_rephrased(question, world, speaker) for world in worlds if _parser(world) is not None]
    if not tried:
        return Rephrased(question, reason="these worlds have no phrasebook")
    return min(tried, key=lambda one: (not one.found, bool(one.left_over), not _names_things(one.world), len(one.left_over)))


def _names_things(world: str) -> bool:
    book = make_world(world).phrasebook()
    return book is not None and bool(book.slots)


class Asks(Protocol):
    """A session, as far as it is asked here."""

    worlds: Any

    def ask_many(self, questions: Sequence[str], **settings: Any) -> list[Answer]: ...


def answer_rephrased(session: Asks, question: str, speaker: Speaker | None = None, **settings: Any) -> AnsweredRephrased:
    """The model's answer to ``question`` as it was taught to be asked; ``settings`` as in ``Session.ask_many``.

    Its dreams, confidence and evidence are those of the first question that was asked.
    """
    meant = rephrase(question, tuple(session.worlds), speaker)
    if meant.asking is None:
        return AnsweredRephrased(meant, reason=meant.reason)
    told = _ask(session, meant.asking, settings)
    said = [one.text if one.known else None for one in told]
    text = meant.asking.word(said) if meant.asking.word else said[0]
    if text is None:
        unsure = next((one for one in told if not one.known), None)
        reason = unsure.text if unsure else "what it dreams does not agree"
        return AnsweredRephrased(meant, reason=reason)
    known = [one for one in told if one.known]
    first = next((one for one in known if one.text == text), known[0])
    confidence = min(one.confidence for one in known)
    return AnsweredRephrased(meant, replace(first, text=text, known=True, confidence=confidence))


def _ask(session: Asks, asking: Asking, settings: dict[str, Any]) -> list[Answer]:
    """One answer to each question, of its first wording that the model knows."""
    told = session.ask_many([wordings[0] for wordings in asking.questions], **settings)
    longest = max(len(wordings) for wordings in asking.questions)
    for wording in range(1, longest):
        open_ = [
            place
            for place, wordings in enumerate(asking.questions)
            if not told[place].known and wording < len(wordings)
        ]
        if open_:
            again = session.ask_many([asking.questions[place][wording] for place in open_], **settings)
            for place, answer in zip(open_, again, strict=True):
                told[place] = answer if answer.known else told[place]
    return told


@cache
def _parser(world: str) -> Parser | None:
    book = make_world(world).phrasebook()
    return None if book is None else Parser(book)


def _rephrased(question: str, world: str, speaker: Speaker | None) -> Rephrased:
    parser, book = _parser(world), make_world(world).phrasebook()
    assert parser is not None and book is not None
    words = words_of(question)
    readings = parser.read(words)
    if not readings:
        left = parser.left_over(words)
        said = ", ".join(dict.fromkeys(left)) or "its words in this order"
        return Rephrased(question, world=world, left_over=left, reason=f"not what it was taught: {said}")
    meant: dict[tuple[tuple[str, ...], ...], Rephrased] = {}
    reasons = []
    least = None
    for reading in readings:
        asking = book.ask(reading.named)
        if isinstance(asking, str):
            reasons.append(asking)
            continue
        least = reading.cost if least is None else least
        if reading.cost <= least + (speaker is not None):
            found = Rephrased(question, asking.questions[0][0], world, reading.named, asking)
            meant.setdefault(asking.questions, found)
    if not meant:
        return Rephrased(question, world=world, reason=reasons[0])
    return _chosen(question, list(meant.values()), speaker)


def _chosen(question: str, candidates: list[Rephrased], speaker: Speaker | None) -> Rephrased:
    if len(candidates) == 1 or speaker is None or not speaker.abilities.scores:
        return candidates[0]
    scores = _contrast(question, [one.text for one in candidates], speaker)
    return candidates[max(range(len(candidates)), key=scores.__getitem__)]


def _contrast(question: str, candidates: Sequence[str], speaker: Speaker) -> list[float]:
    """How much more probable each candidate is after the question than after none, in nats an id."""
    asked = [(_prompt(asked), f" {one}") for asked in (question, _NOTHING) for one in candidates]
    scored = [one.mean for one in speaker.score(asked)]
    return [here - alone for here, alone in zip(scored, scored[len(candidates) :], strict=False)]


def _prompt(question: str) -> str:
    shown = "".join(f"Question: {free}\nIn plain words: {plain}\n\n" for free, plain in _EXAMPLES)
    return f"{shown}Question: {question}\nIn plain words:"
