"""A free phrasing is rewritten into what the model was taught, if every thing and action that it names is kept.

The world's phrasebook reads the question (``parsing.py``) and says what to ask instead; the model is then asked that,
and what the question takes for granted with it. What a phrasebook does not cover to the last word is not rewritten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from reverie.dreaming.checks import Understood, checked, named_words, refused
from reverie.dreaming.english import words_of
from reverie.dreaming.gist import Gist, read_gist
from reverie.dreaming.parsing import Parser
from reverie.dreaming.question import Question
from reverie.nouns import Answer, Check
from reverie.worlds import make_world
from reverie.worlds.phrasebook import Asking, Bindings, Loose, Refusal

__all__ = ["Rephrased", "answer_rephrased", "rephrase"]

Wordings = tuple[Question, ...]

_BATCH = 16  # questions asked together
_TWICE = 3  # from so many wordings of a question on, two must be answered alike
_ALL_WORDS = Check("words", True, "every word of the question was understood")
_DOUBT = Check("words", False, "what it dreams does not fit the question", 0.25)


@dataclass(frozen=True)
class Rephrased:
    """What became of a question: what to ask instead, or why there is nothing to ask.

    ``refusal``: which check says that there is nothing to ask, and why; ``left_over``: the words that no rewriting
    would keep, and ``asking`` then what would be asked without them. ``named``: what was understood, such as
    {"thing": "egg", "action": "drop", …}. ``closed``: every world has a phrasebook or hears questions about its
    scenes, so that what none of them reads was not taught in any words. ``gist``: how it was read, where that was
    loosely.
    """

    question: str
    world: str = ""
    named: Bindings | None = None
    asking: Asking | None = None
    left_over: tuple[str, ...] = ()
    refusal: Check | None = None
    closed: bool = True
    gist: str = ""

    @property
    def found(self) -> bool:
        return self.refusal is None

    @property
    def text(self) -> str:
        """The taught wording, "" where there is none."""
        return self.asking.questions[0][0] if self.asking else ""

    @property
    def reason(self) -> str:
        return self.refusal.why if self.refusal else ""


def rephrase(question: str, worlds: Iterable[str]) -> Rephrased:
    """``question`` in words that a model of these worlds was taught; where it can be meant in several ways, in the one
    of the fewest pieces."""
    known = tuple(worlds)
    parsers = {world: parser for world in known if (parser := _parser(world)) is not None}
    heard = {world: own for world in known if world not in parsers and (own := make_world(world).hear(question))}
    closed = bool(known) and len(parsers) + len(heard) == len(known)
    tried = [_rephrased(question, world, parser) for world, parser in parsers.items()]
    if best := next((one for one in tried if one.found), None):
        return replace(best, closed=closed)
    if unseen := next((world for world, own in heard.items() if own.seen), None):
        return Rephrased(question, unseen, refusal=no_scene(unseen), closed=closed)
    if tried:
        return replace(min(tried, key=lambda one: bool(one.left_over)), closed=closed)
    if not closed:
        no_book = Check("words", False, "no world that it was taught has a phrasebook", 0.0)
        return Rephrased(question, refusal=no_book, closed=False)
    strange = [word for own in heard.values() for word in own.strange]
    return Rephrased(question, refusal=_fault(words_of(question), strange, ()))


def no_scene(world: str) -> Check:
    """The check of a question about a scene of ``world`` that nobody shows."""
    why = f"it asks about a scene of the world {world}, and none is shown: give its map (--map) or a picture (--image)"
    return Check("scene", False, why, 0.0)


def answer_rephrased(
    ask: Callable[[Sequence[Question]], list[Answer]],
    questions: Sequence[tuple[Question, Rephrased]],
    guessing: bool = True,
) -> list[Answer]:
    """The answers of a model that is asked questions in the words that it was taught, in common batches.

    Where a question takes for granted what the dreams deny, the answer says so. Dreams and evidence are those of one
    of the questions that were asked, the confidence the least of all that counted. What is not known says why;
    ``guessing``: it is asked what can be understood all the same.
    """
    asked = [
        [tuple(replace(question, text=text) for text in wordings) for wordings in one.asking.questions]
        if one.asking and (one.found or guessing)
        else []
        for question, one in questions
    ]
    told = _ask(ask, {wordings for some in asked for wordings in some})
    return [
        _worded(one, [told[wordings] for wordings in some]) for (_, one), some in zip(questions, asked, strict=True)
    ]


def _ask(ask: Callable[[Sequence[Question]], list[Answer]], asked: set[Wordings]) -> dict[Wordings, Answer]:
    """One answer to each question, of its first wording that the model knows. Of three wordings and more two are asked
    at once, and must be answered alike; where they are not, the third decides, or nothing is known."""
    heard: dict[Wordings, list[Answer]] = {one: [] for one in asked}
    order = sorted(asked, key=lambda wordings: [one.text for one in wordings])
    while missing := [one for one in order if not _settled(one, heard[one])]:
        for start in range(0, len(missing), _BATCH):
            wanted = [(one, text) for one in missing[start : start + _BATCH] for text in _next(one, len(heard[one]))]
            for (one, _), answer in zip(wanted, ask([text for _, text in wanted]), strict=True):
                heard[one].append(answer)
    return {one: _agreed(answers) for one, answers in heard.items()}


def _next(wordings: Wordings, done: int) -> Wordings:
    return wordings[done : done + (2 if len(wordings) >= _TWICE and not done else 1)]


def _settled(wordings: Wordings, answers: Sequence[Answer]) -> bool:
    known = [_core(one.text) for one in answers if one.known]
    enough = bool(known) if len(wordings) < _TWICE else len(set(known)) < len(known)
    return enough or len(answers) == len(wordings)


def _agreed(answers: Sequence[Answer]) -> Answer:
    """The answer that most wordings got, the first of them; refused where what is known differs each time."""
    known = [one for one in answers if one.known]
    if not known:
        return answers[0]
    said = [_core(one.text) for one in known]
    most = max(known, key=lambda one: said.count(_core(one.text)))
    if len(set(said)) > 1 and said.count(_core(most.text)) < 2:
        return refused(most, Check("wordings", False, "asked in other words, it dreams something else", 0.25))
    return most


def _worded(meant: Rephrased, answers: Sequence[Answer]) -> Answer:
    """One answer of those to what was asked."""
    if not answers or meant.asking is None:
        return refused(Answer("", False, 0.0, "local"), meant.refusal or _DOUBT)
    said = [one.text if one.known else None for one in answers]
    denied = meant.asking.denial(said)
    text = denied or meant.asking.worded(said)
    known = [place for place, one in enumerate(answers) if one.known]
    if text is None or not known:
        unsure = next((one for one in answers if not one.known), None)
        if meant.refusal or unsure is None:
            return refused(unsure or answers[-1], meant.refusal or _DOUBT)
        return unsure
    shown = next((place for place in known if _core(answers[place].text) in _core(text)), known[-1])
    told = replace(answers[shown], text=text, confidence=min(answers[place].confidence for place in known))
    if meant.refusal:
        return refused(told, meant.refusal)
    understood = Check("gist", True, meant.gist) if meant.gist else _ALL_WORDS
    checks = [understood]
    if meant.asking.denied:
        why = "the dream denies what the question takes for granted, and the answer says so"
        checks.append(
            Check("presupposition", True, why if denied else "what the question takes for granted is dreamed")
        )
    heard = Understood(meant.asking.questions[shown][0], _parser(meant.world))
    return checked(replace(told, checks=tuple(checks)), heard)


def _core(sentence: str) -> str:
    return sentence.lower().rstrip(".")


@cache
def _parser(world: str) -> Parser | None:
    book = make_world(world).phrasebook()
    return None if book is None else Parser(book)


def _rephrased(question: str, world: str, parser: Parser) -> Rephrased:
    words = words_of(question)
    found = _asked(question, world, parser, words)
    if found is not None:
        return found
    if loosely := _loosely(question, world):
        return loosely
    strange, left = parser.strange(words), parser.left_over(words)
    rests = (_asked(question, world, parser, [word for word in words if word not in out]) for out in (strange, left))
    asking = next((rest.asking for rest in rests if rest and rest.asking), None)
    return Rephrased(question, world, asking=asking, left_over=left, refusal=_fault(words, strange, left))


@cache
def _loose(world: str) -> tuple[Loose, Parser] | None:
    book = make_world(world).phrasebook()
    if book is None or book.loose is None:
        return None
    loose = book.loose()
    return loose, Parser(loose.words)


def _loosely(question: str, world: str) -> Rephrased | None:
    """What the question asks for by what its words mention; None where that is not plain."""
    loose = _loose(world)
    found = read_gist(question, *loose) if loose else Gist({})
    return Rephrased(question, world, found.named, found.asking, gist=found.why) if found.asking else None


def _fault(words: Sequence[str], strange: Sequence[str], left: Sequence[str]) -> Check:
    """That these words are not covered, by name: those that are in no pattern, else those that are left over."""
    if strange:
        why = f"{named_words(strange)} {'is' if len(set(strange)) == 1 else 'are'} not among what was taught"
    elif left:
        why = f'"{" ".join(left)}" does not go with what was taught'
    else:
        why = "it joins what was taught apart" if words else "it has no words"
    return Check("words", False, why, (1 - len(left) / max(len(words), 1)) / 2)


def _asked(question: str, world: str, parser: Parser, words: Sequence[str]) -> Rephrased | None:
    """What the words ask for; None where no reading covers them."""
    askings = [(reading.named, parser.ask(reading.named)) for reading in parser.read(words)]
    refusals = [one if isinstance(one, Refusal) else Refusal(one) for _, one in askings if not isinstance(one, Asking)]
    vetoes = [one for one in refusals if one.veto]
    found = next(((named, one) for named, one in askings if isinstance(one, Asking)), None)
    if found and not vetoes:
        return Rephrased(question, world, *found)
    for why in (*vetoes, *refusals):
        return Rephrased(question, world, refusal=Check(why.check, False, why.why, 0.0))
    return None
