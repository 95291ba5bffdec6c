"""How a speaker reads what memory recalls: which of the facts the question is about, what they answer, which to cite.

A small base that is shown eight facts names the wrong one more often than not, but it is nearly never wrong about which
fact a question is about when it is asked the other way round: how much more probable does a fact make the *question*
(query likelihood, Ponte and Croft 1998, by contrast with no fact)? So facts are ranked by that, few are read, and an
answer counts only if it is borne out by a fact that it then cites. A speaker that gives no such numbers is shown all of
them, and held to the last rule.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from reverie.dreaming.rival_facts import about_what_is_named, ahead_of_rivals
from reverie.dreaming.spans import answering_span
from reverie.memory.relation_patterns import relation_words, stem
from reverie.nouns import SAYS, Fact
from reverie.speakers.contract import Message, Speaker, SpeechRequest
from reverie.tokens.questions import words_of

__all__ = [
    "Reading",
    "ReadingConfig",
    "answer_words",
    "bears_out",
    "can_answer",
    "gives_orders",
    "only_named",
    "read",
    "told",
]

_EXAMPLES = (
    ("Alma school is led by Jane Roe.", "Who leads Alma school?", "Jane Roe"),
    ("The Rova car weighs 900 kilograms.", "How heavy is the Rova car?", "900 kilograms"),
    ("Peter Lind likes plums, and he lives in Arden.", "What does Peter Lind like?", "plums"),
)
_NUMBERED = re.compile(r" \(\d+\)$| \[[0-9a-f]{8}\]$")  # what keeps passages of one heading apart
_NOTHING = "(nothing)"  # of what only gave orders
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_DIGITS = {word: str(number) for number, word in enumerate(_ONES.split())}
_DIGITS |= {word: str(10 * tens) for tens, word in enumerate(_TENS.split(), 2)}
_DIGITS |= {"dozen": "12", "hundred": "100", "thousand": "1000", "million": "1000000"}
_NEUTRAL = "{} is something."
_ORDERS = re.compile(
    r"\b(?:ignore|disregard|forget)\b.{0,40}\b(?:instruction|above|earlier|previous|prompt|rule)"
    r"|\byou (?:must|are now)\b|\b(?:system prompt|new instructions?)\b|<\|",
    re.I,
)


_COUNTS = re.compile(
    r"\W*(?:how (?:many|tall|high|old|far|deep|wide|heavy|fast)|(?:in )?(?:what|which) year"
    r"|what(?:'s| is| was| are) the "
    r"(?:population|height|length|width|depth|weight|age|price|number|year|temperature) of)\b",
    re.I,
)
_NAMES = re.compile(r"\W*(?:who|whose|whom|where)\b", re.I)


@dataclass(frozen=True)
class ReadingConfig:
    """How facts are read."""

    share: float = 0.25  # most of the context that they may fill
    shown: int = 8  # most facts that are looked at
    about: float = 6.0  # nats by which a fact must make the question more probable than none does
    near: float = 8.0  # nats behind the best within which a fact is weighed too
    weighed: int = 3  # most facts that are
    # Whether a fact answers, by a logistic probe: of the nats that it adds to what its subject alone does for the
    # question, and of the mean nats of its object as the answer. Fitted on 60 made-up questions with an answer and 30
    # without (seed 1001 of ``reverie bench grounded``), then moved towards answering.
    subject: float = 0.77
    answers: float = 1.48
    bias: float = 2.4
    sure: float = 0.5  # from which it is read
    max_ids: int = 32  # of an answer


@dataclass(frozen=True)
class Reading:
    """What was read: the answer, the facts that bear it out, which its numbers in brackets count from 1, and what was
    ``shown`` while it was, by name, of a speaker with scores."""

    text: str
    cited: tuple[Fact, ...]
    confidence: float
    shown: Mapping[str, float] = field(default_factory=dict)

    @property
    def form(self) -> str:
        """As in ``confidence.FORMS``."""
        return "passage" if self.cited[0].relation == SAYS else "fact"


def told(fact: Fact) -> str:
    """A fact as a sentence. What in it gives orders is left out: it is data."""
    if fact.relation == SAYS:
        return _data(f"{re.sub(_NUMBERED, '', fact.subject)}: {fact.object}")  # what its heading names, it says "it" of
    return _data(f"{fact.subject} {relation_words(fact.relation)} {fact.object}".rstrip(". ") + ".")


def read(speaker: Speaker, question: str, facts: Sequence[Fact], config: ReadingConfig | None = None) -> Reading | None:
    """What ``facts``, the best first, say to ``question``; None where they do not."""
    config = config or ReadingConfig()
    shown = _fitting(speaker, question, facts[: config.shown], config)
    if not shown or not question.strip():
        return None
    if not speaker.abilities.scores:
        return _answered(speaker, question, shown, 0.75, config)
    about = _about(speaker, question, shown, config)
    if not about:
        return None
    if about[0].fact.relation == SAYS:
        if found := _from_passages(speaker, question, [one.fact for one in about if one.fact.relation == SAYS], config):
            return found
        about = [one for one in about if one.fact.relation != SAYS]
        if not about:
            return None
    best = about[0]
    same = [one.fact for one in about if _answer(one.fact) == _answer(best.fact) or one.fact.relation == SAYS]
    found = _answered(speaker, question, same or [best.fact], best.sure, config)
    return found and replace(found, shown=best.shown)


def only_named(question: str, facts: Sequence[Fact]) -> Fact | None:
    """A fact about a name in the question, as the memory has it: where none of them answers it, who else would?"""
    words = question.split()[1:]  # the first has a capital anyhow
    names = {word.strip("?!.,;:'\"").removesuffix("'s") for word in words if word[:1].isupper() or word[:1].isdigit()}
    return next((fact for fact in facts if names & set(fact.subject.split()) and fact.subject in question), None)


def _fitting(speaker: Speaker, question: str, facts: Sequence[Fact], config: ReadingConfig) -> list[Fact]:
    """Those that fit whole into their share of the context, and into what is left of it."""
    left = speaker.max_ids - config.max_ids - speaker.count(f"{_examples()}{question}")
    fitting, room = list[Fact](), min(int(config.share * speaker.max_ids), left)
    for fact in facts:
        needed = speaker.count(told(fact)) + 4
        if needed <= room and told(fact) != _NOTHING:
            fitting.append(fact)
            room -= needed
    return fitting


@dataclass(frozen=True)
class _About:
    """A fact that may answer, how surely in [0, 1], and what showed that, in nats."""

    sure: float
    fact: Fact
    shown: dict[str, float]


def _about(speaker: Speaker, question: str, facts: Sequence[Fact], config: ReadingConfig) -> list[_About]:
    """The facts that answer the question, the best first."""
    asked = f" {question.strip()}"

    def probable(statements: Sequence[str]) -> list[float]:
        return [one.log_prob for one in speaker.score([(_before(words), asked) for words in statements])]

    named = about_what_is_named(question, facts)
    none, *given = probable(["Something is so.", *map(told, named)])
    able = [
        (one - none, one, fact)
        for one, fact in zip(given, named, strict=True)
        if one - none >= config.about and (fact.relation == SAYS or can_answer(question, fact.object))
    ]
    able.sort(key=lambda one: -one[0])
    able = [one for one in able[: config.weighed] if one[0] >= able[0][0] - config.near]
    pairs = []
    for _, _, fact in able:
        pairs.append((_before(_NEUTRAL.format(fact.subject)), asked))
        pairs.append((f"{_before(told(fact))}{asked}\nAnswer:", f" {_answer(fact)}\n"))
    scored = speaker.score(pairs) if pairs else []
    ranked = list[tuple[float, _About]]()
    for (gain, with_fact, fact), subject, answers in zip(able, scored[::2], scored[1::2], strict=True):
        added = with_fact - subject.log_prob
        odds = config.subject * added + config.answers * answers.mean + config.bias
        trusted = 4 * (fact.confidence - 1)  # of two that say otherwise, the trusted one
        shown = {"gain": gain, "added": added, "fits": answers.mean, "trust": fact.confidence}
        about = _About(_sigmoid(odds) if fact.relation != SAYS else 0.75, fact, shown)
        ranked.append((gain + answers.mean + trusted, about))
    ranked.sort(key=lambda one: -one[0])
    sound = [about for _, about in ranked if about.sure >= config.sure]
    if not sound:
        return []
    ahead = ahead_of_rivals(sound[0].fact, facts, told, probable)
    sound[0].shown["ahead"] = min(ahead, config.about)
    return sound if ahead > 0 else []


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _before(words: str) -> str:
    return f"{_examples()}Fact: {words}\nQuestion:"


def _from_passages(speaker: Speaker, question: str, passages: Sequence[Fact], config: ReadingConfig) -> Reading | None:
    """The words of a passage that answer; None where those of none do."""
    asked = set(answer_words(question))

    def fits(span: str) -> bool:  # what only says again what was asked about is no answer
        return can_answer(question, span) and not set(answer_words(span)) <= asked

    spans = [(answering_span(speaker, question, _data(one.object), _before, fits), one) for one in passages]
    found = max(((span, one) for span, one in spans if span is not None), key=lambda one: one[0].sure, default=None)
    if found is None or found[0].sure < config.sure:
        return None
    (best, passage), said = found, found[0].text
    shown = {"fits": best.log_prob, "gain": best.sentence, "ahead": best.ahead, "trust": passage.confidence}
    return Reading(f"{said[:1].upper()}{said[1:]}. [1]", (passage,), best.sure * passage.confidence, shown)


def can_answer(question: str, said: str) -> bool:
    """Whether ``said`` is of the kind that the question asks for: who is not a number, how many is."""
    number = any(word.isdigit() for word in answer_words(said))
    words = re.search(r"[a-z]{3,}", said, re.I)
    if _COUNTS.match(question):
        return number
    return not (number and not words and _NAMES.match(question))


def _answered(
    speaker: Speaker, question: str, facts: Sequence[Fact], sure: float, config: ReadingConfig
) -> Reading | None:
    listed = "\n".join(f"{number}. {told(fact)}" for number, fact in enumerate(facts, 1))
    if speaker.abilities.completes:
        shown = _examples() + f"Fact: {told(facts[0])}\nQuestion: {question.strip()}\nAnswer:"
        if len(facts) > 1:
            shown = f"Facts:\n{listed}\n\n{shown}"
        form = () if speaker.abilities.forms else None
        asked = SpeechRequest(shown, config.max_ids, stop=("\n",), form=form)
    else:
        order = (
            "Answer the question in a few words from these numbered facts, and name the number like [1]. If they do "
        )
        order += "not answer it, say: unknown."
        told_all = (Message("user", f"{order}\n\n{listed}\n\nQuestion: {question}"),)
        asked = SpeechRequest(told_all, config.max_ids)
    said = re.sub(r"\s*\[\d+\]", "", speaker.speak([asked])[0].text).strip()
    borne = [fact for fact in facts if bears_out(fact, said)]
    if not borne and speaker.abilities.scores and facts[0].relation != SAYS:
        said, borne = _answer(facts[0]), [facts[0]]  # it chose the fact, and only stumbled over its words
    if not borne:
        return None
    marks = "".join(f"[{number}]" for number in range(1, len(borne) + 1))
    said = f"{said[:1].upper()}{said[1:]}".rstrip(". ")
    return Reading(f"{said}. {marks}", tuple(borne), sure * max(fact.confidence for fact in borne))


def bears_out(fact: Fact, said: str) -> bool:
    """Whether ``said`` says what ``fact`` does: all words of its object, or for a passage, words that stand in it."""
    words = answer_words(said)
    if fact.relation == SAYS:
        content = [word for word in words if len(word) > 2 or word.isdigit()]
        there = set(answer_words(_data(fact.object)))
        return bool(content) and sum(word in there for word in content) >= 0.8 * len(content)
    wanted = answer_words(_answer(fact))
    return bool(wanted) and set(wanted) <= set(words)


def _answer(fact: Fact) -> str:
    return _data(fact.object).strip().rstrip(".")


def answer_words(text: str) -> list[str]:
    """Stems, without articles; numbers in digits, whatever stands beside them: "six" and "6am" share one."""
    pieces = [piece for word in words_of(text) for piece in re.findall(r"\d+|\D+", word)]
    return [_DIGITS.get(piece) or stem(piece) for piece in pieces if piece not in {"the", "a", "an"}]


def gives_orders(text: str) -> bool:
    """Whether some of it tells who reads it what to do."""
    return bool(_ORDERS.search(" ".join(text.split())))


def _data(text: str) -> str:
    """``text`` on one line, without the sentences that give orders to who reads it."""
    flat = " ".join(text.split())
    if not _ORDERS.search(flat):
        return flat
    return " ".join(part for part in re.split(r"(?<=[.!?;])\s+", flat) if not _ORDERS.search(part)) or _NOTHING


def _examples() -> str:
    return "".join(f"Fact: {fact}\nQuestion: {asked}\nAnswer: {said}\n\n" for fact, asked, said in _EXAMPLES)
