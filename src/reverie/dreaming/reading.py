"""How a speaker reads what memory recalls: which of the facts the question is about, what they answer, which to cite.

A small base that is shown eight facts names the wrong one more often than not, but it is nearly never wrong about which
fact a question is about when it is asked the other way round: how much more probable does a fact make the *question*
(query likelihood, Ponte and Croft 1998, by contrast with no fact)? So facts are ranked by that, few are read, and an
answer counts only if it is borne out by a fact that it then cites. A speaker that gives no such numbers is shown all of
them, and held to the last rule.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from reverie.memory.relation_patterns import relation_words, stem
from reverie.nouns import SAYS, Fact
from reverie.speakers.contract import Message, Speaker, SpeechRequest
from reverie.tokens.questions import words_of

__all__ = ["Reading", "ReadingConfig", "read", "told"]

_EXAMPLES = (
    ("Alma school is led by Jane Roe.", "Who leads Alma school?", "Jane Roe"),
    ("The Rova car weighs 900 kilograms.", "How heavy is the Rova car?", "900 kilograms"),
    ("Peter Lind likes plums, and he lives in Arden.", "What does Peter Lind like?", "plums"),
)
_NEUTRAL = "There is {}."
_ORDERS = re.compile(
    r"\b(?:ignore|disregard|forget)\b.{0,40}\b(?:instruction|above|earlier|previous|prompt|rule)"
    r"|\byou (?:must|are now)\b|\b(?:system prompt|new instructions?)\b|<\|",
    re.I,
)


_NUMBER = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|dozen|hundred|thousand|million)\b", re.I
)
_COUNTS = re.compile(r"\W*(?:how (?:many|tall|high|old|far|deep|wide|heavy|fast)|(?:in )?(?:what|which) year)\b", re.I)
_NAMES = re.compile(r"\W*(?:who|whose|whom|where)\b", re.I)


@dataclass(frozen=True)
class ReadingConfig:
    """How facts are read."""

    share: float = 0.25  # most of the context that they may fill
    shown: int = 8  # most facts that are looked at
    about: float = 6.0  # nats by which a fact must make the question more probable than none does
    says: float = 0.0  # and than its subject alone does, together with how readily its object answers
    near: float = 1.0  # nats behind the best within which a fact is read too
    max_ids: int = 32  # of an answer


@dataclass(frozen=True)
class Reading:
    """What was read: the answer, and the facts that bear it out, which its numbers in brackets count from 1."""

    text: str
    cited: tuple[Fact, ...]
    confidence: float


def told(fact: Fact) -> str:
    """A fact as a sentence. What in it gives orders is left out: it is data."""
    if fact.relation == SAYS:
        return _data(fact.object)
    return _data(f"{fact.subject} {relation_words(fact.relation)} {fact.object}".rstrip(". ") + ".")


def read(speaker: Speaker, question: str, facts: Sequence[Fact], config: ReadingConfig | None = None) -> Reading | None:
    """What ``facts``, the best first, say to ``question``; None where they do not."""
    config = config or ReadingConfig()
    shown = _fitting(speaker, facts[: config.shown], config)
    if not shown or not question.strip():
        return None
    if speaker.abilities.scores:
        shown = _about(speaker, question, shown, config)
    return _answered(speaker, question, shown, config) if shown else None


def _fitting(speaker: Speaker, facts: Sequence[Fact], config: ReadingConfig) -> list[Fact]:
    """Those that fit into their share of the context, whole."""
    fitting, room = list[Fact](), int(config.share * speaker.max_ids)
    for fact in facts:
        room -= speaker.count(told(fact)) + 4
        if room >= 0:
            fitting.append(fact)
    return fitting


def _about(speaker: Speaker, question: str, facts: Sequence[Fact], config: ReadingConfig) -> list[Fact]:
    """The facts that the question is about, the best first."""
    asked = f" {question.strip()}"
    given = [told(fact) for fact in facts]
    alone = [_NEUTRAL.format(fact.subject) for fact in facts]
    before = [_examples() + f"Fact: {words}\nQuestion:" for words in ("Something is so.", *given, *alone)]
    pairs = [(each, asked) for each in before]
    pairs += [
        (f"{_examples()}Fact: {words}\nQuestion:{asked}\nAnswer:", f" {_answer(fact)}\n")
        for words, fact in zip(given, facts, strict=True)
    ]
    none, *scored = speaker.score(pairs)
    count = len(facts)
    ranked = []
    for place, fact in enumerate(facts):
        with_fact, with_subject, answers = scored[place], scored[count + place], scored[2 * count + place]
        gain = with_fact.log_prob - none.log_prob
        added = with_fact.log_prob - with_subject.log_prob
        if fact.relation == SAYS:
            added, answers_mean = 0.0, 0.0
        else:
            answers_mean = answers.mean
        if (
            gain >= config.about
            and _can_answer(question, fact)
            and added + 2 * max(answers_mean, -3.0) + 1.0 >= config.says
        ):
            ranked.append((gain + answers_mean, fact))
    ranked.sort(key=lambda one: -one[0])
    return [fact for worth, fact in ranked if worth >= ranked[0][0] - config.near]


def _can_answer(question: str, fact: Fact) -> bool:
    """Whether a fact's object is of the kind that the question asks for: who is not a number, how many is."""
    if fact.relation == SAYS:
        return True
    number, words = bool(_NUMBER.search(fact.object)), len(re.findall(r"[a-z]{3,}", fact.object, re.I))
    if _COUNTS.match(question):
        return number
    return not (number and not words and _NAMES.match(question))


def _answered(speaker: Speaker, question: str, facts: Sequence[Fact], config: ReadingConfig) -> Reading | None:
    listed = "\n".join(f"{number}. {told(fact)}" for number, fact in enumerate(facts, 1))
    if speaker.abilities.completes:
        shown = _examples() + f"Fact: {told(facts[0])}\nQuestion: {question.strip()}\nAnswer:"
        if len(facts) > 1:
            shown = f"Facts:\n{listed}\n\n{shown}"
        asked = SpeechRequest(shown, config.max_ids, stop=("\n",), form=() if speaker.abilities.forms else None)
    else:
        order = (
            "Answer the question in a few words from these numbered facts, and name the number like [1]. If they do "
        )
        order += "not answer it, say: unknown."
        asked = SpeechRequest((Message("user", f"{order}\n\n{listed}\n\nQuestion: {question}"),), config.max_ids)
    said = re.sub(r"\s*\[\d+\]", "", speaker.speak([asked])[0].text).strip()
    borne = [fact for fact in facts if bears_out(fact, said)]
    if not borne and speaker.abilities.scores and facts[0].relation != SAYS:
        said, borne = _answer(facts[0]), [facts[0]]  # it chose the fact, and only stumbled over its words
    if not borne:
        return None
    marks = "".join(f"[{number}]" for number in range(1, len(borne) + 1))
    said = f"{said[:1].upper()}{said[1:]}".rstrip(". ")
    return Reading(f"{said}. {marks}", tuple(borne), max(fact.confidence for fact in borne))


def bears_out(fact: Fact, said: str) -> bool:
    """Whether ``said`` says what ``fact`` does: all words of its object, or for a passage, words that stand in it."""
    words = _words(said)
    if fact.relation == SAYS:
        content = [word for word in words if len(word) > 2 or word.isdigit()]
        there = set(_words(_data(fact.object)))
        return bool(content) and sum(word in there for word in content) >= 0.8 * len(content)
    wanted = _words(_answer(fact))
    return bool(wanted) and set(wanted) <= set(words)


def _answer(fact: Fact) -> str:
    return _data(fact.object).strip().rstrip(".")


def _words(text: str) -> list[str]:
    return [stem(word) for word in words_of(text) if word not in {"the", "a", "an"}]


def _data(text: str) -> str:
    """``text`` on one line, without the sentences that give orders to who reads it."""
    flat = " ".join(text.split())
    if not _ORDERS.search(flat):
        return flat
    return " ".join(part for part in re.split(r"(?<=[.!?;])\s+", flat) if not _ORDERS.search(part)) or "(nothing)"


def _examples() -> str:
    return "".join(f"Fact: {fact}\nQuestion: {asked}\nAnswer: {said}\n\n" for fact, asked, said in _EXAMPLES)
