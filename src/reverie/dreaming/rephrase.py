"""A free phrasing is rewritten into what the model was taught, if every thing and action that it names is kept.

The world's phrasebook reads the question (``parsing.py``) and says what to ask instead; the model is then asked that,
and what the question takes for granted with it. What a phrasebook does not cover to the last word is not rewritten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol

from reverie.dreaming.english import words_of
from reverie.dreaming.parsing import Parser
from reverie.nouns import Answer
from reverie.speakers.contract import Speaker
from reverie.worlds import make_world
from reverie.worlds.phrasebook import Asking, Bindings

__all__ = ["AnsweredRephrased", "Rephrased", "answer_rephrased", "answer_rephrased_many", "rephrase"]

Wordings = tuple[str, ...]

_EXAMPLES = (
    ("My son let the plate slip. What then?", "what happens when you drop a plate?"),
    ("Will butter stay solid over a fire?", "does butter melt when you heat it?"),
    ("Where will I find my ball if I shove it?", "where does a ball end up when you push it?"),
)
_NOTHING = "Something was asked."
_BATCH = 16  # questions asked together


@dataclass(frozen=True)
class Rephrased:
    """What became of a question: what to ask instead, or why there is nothing to ask.

    ``closed``: every world has a phrasebook, so that what none of them reads was not taught in any words.
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
    closed: bool = True

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
    parsers = {world: parser for world in worlds if (parser := _parser(world)) is not None}
    if not parsers:
        return Rephrased(question, reason="no world that it was taught has a phrasebook", closed=False)
    tried = [_rephrased(question, world, parser, speaker) for world, parser in parsers.items()]
    best = min(tried, key=lambda one: (not one.found, bool(one.left_over), not parsers[one.world].names_things))
    return replace(best, closed=len(parsers) == len(worlds))


class Asks(Protocol):
    """A session, as far as it is asked here."""

    @property
    def worlds(self) -> Iterable[str]: ...

    @property
    def ask_many(self) -> Callable[..., list[Answer]]: ...


def answer_rephrased(
    session: Asks, question: str, speaker: Speaker | None = None, **settings: Any
) -> AnsweredRephrased:
    """The model's answer to ``question`` in the words that it was taught; ``settings`` as in ``Session.ask_many``.

    Where a question takes for granted what the dreams deny, the answer says so. Dreams and evidence are those of one
    of the questions that were asked, the confidence the least of all that counted.
    """
    return answer_rephrased_many(session, [question], speaker, **settings)[0]


def answer_rephrased_many(
    session: Asks, questions: Sequence[str], speaker: Speaker | None = None, **settings: Any
) -> list[AnsweredRephrased]:
    """``answer_rephrased`` for many questions in common batches."""
    meant = [rephrase(question, tuple(session.worlds), speaker) for question in questions]
    told = _ask(session, {wordings for one in meant if one.asking for wordings in one.asking.questions}, settings)
    return [_worded(one, told) for one in meant]


def _ask(session: Asks, asked: set[Wordings], settings: dict[str, Any]) -> dict[Wordings, Answer]:
    """One answer to each question, of its first wording that the model knows."""
    told: dict[Wordings, Answer] = {}
    for turn in range(max(map(len, asked), default=0)):
        missing = sorted(one for one in asked if turn < len(one) and not (one in told and told[one].known))
        for start in range(0, len(missing), _BATCH):
            some = missing[start : start + _BATCH]
            answers = session.ask_many([one[turn] for one in some], **settings)
            told |= {one: answer for one, answer in zip(some, answers, strict=True) if answer.known or not turn}
    return told


def _worded(meant: Rephrased, told: Mapping[Wordings, Answer]) -> AnsweredRephrased:
    """One answer of those to what was asked."""
    if meant.asking is None:
        return AnsweredRephrased(meant, reason=meant.reason)
    answers = [told[wordings] for wordings in meant.asking.questions]
    said = [one.text if one.known else None for one in answers]
    text = meant.asking.word(said) if meant.asking.word else said[0]
    known = [one for one in answers if one.known]
    if text is None or not known:
        unsure = next((one.text for one in answers if not one.known), "")
        return AnsweredRephrased(meant, reason=unsure or "what it dreams does not fit the question")
    shown = next((one for one in known if one.text == text), known[0])
    sure = min(one.confidence for one in known)
    return AnsweredRephrased(meant, replace(shown, text=text, confidence=sure))


@cache
def _parser(world: str) -> Parser | None:
    book = make_world(world).phrasebook()
    return None if book is None else Parser(book)


def _rephrased(question: str, world: str, parser: Parser, speaker: Speaker | None) -> Rephrased:
    words = words_of(question)
    readings = parser.read(words)
    if not readings:
        left = parser.left_over(words)
        reason = (
            f"not what it was taught: {', '.join(dict.fromkeys(left))}" if left else "it joins what was taught apart"
        )
        return Rephrased(question, world=world, left_over=left, reason=reason)
    meant: dict[tuple[tuple[str, ...], ...], Rephrased] = {}
    reasons = []
    least = None
    for reading in readings:
        asking = parser.ask(reading.named)
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
