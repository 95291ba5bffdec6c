"""Whether a question asks for what a fact says, or for something else about the same thing.

A base that is asked how tall a tower is, and shown when it was built, answers with the year. But it knows which
statement such a question goes with: if made-up ones about the same thing (that it is 30 metres tall) make the question
more probable than the fact does, what is asked for is not what the fact says. The made-up ones are the common kinds of
things to say, and what the memory says of other things.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from reverie.nouns import SAYS, Fact

__all__ = ["RivalsConfig", "about_what_is_named", "ahead_of_rivals", "asked_for"]

_SAYINGS = (
    "is 30 metres tall", "was built in 1850", "belongs to Jane Roe", "is made of wood",
    "lies in the north of the country", "is famous for its songs", "costs 20 euros", "has 500 members",
    "smells of soap", "is led by Jane Roe", "opens at nine", "weighs 10 kilograms", "is 12 years old", "likes plums",
    "was invented by Jane Roe", "is red", "takes 3 hours", "died in 1900", "can swim", "is used for cooking",
)  # fmt: skip


@dataclass(frozen=True)
class RivalsConfig:
    """By how many nats a made-up statement must make the question more probable than a fact does, to rule it out.
    Chosen on 100 made-up questions, 40 of them without an answer (seed 1001 of ``reverie bench grounded``)."""

    margin: float = 3.0
    alike: float = 6.0  # where both give the same kind of thing: another wording of the same can be more probable


def about_what_is_named(question: str, facts: Sequence[Fact]) -> list[Fact]:
    """Without what is said of others, where some thing that ``facts`` are about stands in the question by name: of
    Drimlow cheese nothing follows from what Drimlow Cross cheese is like. Passages stay."""
    subjects = {_words(fact.subject) for fact in facts if fact.relation != SAYS}
    named = {name for name in subjects if _stands_in(name, _words(question))}
    named = {name for name in named if not any(name != other and _stands_in(name, other) for other in named)}
    return [
        fact
        for fact in facts
        if not named or fact.relation == SAYS or named & {_words(fact.subject), _words(fact.object)}
    ]


def asked_for(
    fact: Fact,
    others: Sequence[Fact],
    told: Callable[[Fact], str],
    probable: Callable[[Sequence[str]], list[float]],
    config: RivalsConfig | None = None,
) -> bool:
    """Whether the question asks for what ``fact`` says; takes what ``ahead_of_rivals`` does."""
    return ahead_of_rivals(fact, others, told, probable, config) > 0


def ahead_of_rivals(
    fact: Fact,
    others: Sequence[Fact],
    told: Callable[[Fact], str],
    probable: Callable[[Sequence[str]], list[float]],
    config: RivalsConfig | None = None,
) -> float:
    """By how many nats every made-up statement about the same thing stays short of ruling out that the question asks
    for what ``fact`` says; below 0 one does.

    Args:
        others: facts about anything, of which those with another relation are told of the same thing
        told: a fact as a sentence
        probable: statements → the log-probability of the question after each
    """
    if fact.relation == SAYS:
        return math.inf
    config = config or RivalsConfig()
    kinds = {other.relation: other.object for other in others if other.relation not in {fact.relation, SAYS}}
    rivals = [(told(replace(fact, relation=name, object=value)), value) for name, value in kinds.items()]
    rivals += [(f"{fact.subject} {saying}.", saying) for saying in _SAYINGS]
    own, *found = probable([told(fact), *(words for words, _ in rivals)])
    margins = (config.alike if _kind(value) == _kind(fact.object) else config.margin for _, value in rivals)
    return min(margin - (one - own) for one, margin in zip(found, margins, strict=True))


def _kind(value: str) -> str:
    """What kind of thing is said: a year, an amount, a name, or something in words."""
    if re.search(r"\b1\d{3}\b|\b20\d{2}\b", value) and not re.search(r"\d+ +[a-z]", value):
        return "year"
    if re.search(r"\d", value):
        return "amount"
    return "name" if re.search(r"\b[A-Z]", value) else "words"


def _stands_in(name: Sequence[str], words: Sequence[str]) -> bool:
    return bool(name) and f" {' '.join(name)} " in f" {' '.join(words)} "


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.sub(r"['’]s\b", "", text.casefold()).translate(_MARKS).split())


_MARKS = dict.fromkeys(map(ord, "?!.,;:\"'()[]"), " ")
