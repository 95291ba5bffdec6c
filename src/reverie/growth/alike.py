"""When two questions ask the same, and two answers say the same: by their words, without a model."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache

from reverie.dreaming.reading import answer_words
from reverie.memory.relation_patterns import stem
from reverie.memory.spelling import fold

__all__ = ["ASKS", "Questions", "echoes", "question_terms", "same_answer", "telling"]

# numbers, words, and signs that mean something, among them a minus but no hyphen
_TERM = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*|-(?=\s|\d)|[^\w\s.,;:!?'\"’“”‘()\[\]…-]")
_SMALL = frozenset(
    map(
        stem,
        """a an the is are was were be been am do does did has have had what which please tell me us can could would you
        know say name of in s it that this there to for""".split(),
    )
)
_NO = frozenset("no not never cannot nt none nothing".split())
ASKS = frozenset(map(stem, "who whom whose which when where why how many much".split()))
_STORY = 12  # terms of a question that may hold its answer
_NEAR, _LONG = 0.75, 16  # share of terms that near questions have in common; terms of those that are no near ones


@lru_cache(maxsize=65_536)
def question_terms(question: str) -> tuple[str, ...]:
    """What a question asks, as stems in their order: its words without small ones, its numbers and signs."""
    found = [stem(fold(term)) for term in _TERM.findall(question)]
    return tuple(term for term in found if term not in _SMALL) or tuple(found)


def telling(question: str) -> frozenset[str]:
    """The terms by which alike questions differ: numbers, signs, and names but for the first word."""
    terms = [(found.start(), found.group()) for found in _TERM.finditer(question)]
    return frozenset(
        stem(fold(term))
        for place, (start, term) in enumerate(terms)
        if not term[0].isalpha() or (place and term[0].isupper() and not re.search(r"[.!?:]\s*$", question[:start]))
    ) - {*_SMALL, "i"}


class Questions:
    """Questions that were met, with the answers of those that have one."""

    def __init__(self, met: Iterable[tuple[str, str | None]] = ()):
        self._answers: dict[tuple[str, ...], str | None] = {}
        self._by_telling: defaultdict[frozenset[str], list[tuple[str, str | None]]] = defaultdict(list)
        for question, answer in met:
            self.add(question, answer)

    def __contains__(self, question: str) -> bool:
        """Whether it was met, but for small words, case and endings."""
        return question_terms(question) in self._answers

    def answer(self, question: str) -> str | None:
        return self._answers.get(question_terms(question))

    def add(self, question: str, answer: str | None = None) -> None:
        self._answers.setdefault(question_terms(question), answer)
        if len(question_terms(question)) < _LONG:
            self._by_telling[telling(question)].append((question, answer))

    def take(self, question: str) -> bool:
        """Whether nothing near it was met before; it is now."""
        new = not self.near(question)
        self.add(question)
        return new

    def near(self, question: str, answer: str | None = None) -> bool:
        """Whether one that was met is nearly the same: it has the same names, numbers and signs, most other words, and
        the same answer where both have one. Long ones, such as stories, are only the same where they are."""
        if question in self:
            return True
        terms = set(question_terms(question))
        if len(terms) >= _LONG:
            return False
        for other, said in self._by_telling[telling(question)]:
            others = set(question_terms(other))
            same = answer is None or said is None or same_answer(question, answer, said)
            if same and _near(terms, others):
                return True
        return False


def _near(one: set[str], two: set[str]) -> bool:
    """Whether most terms are the same, or one has a single further one."""
    fewer = min(one, two, key=len)
    within = len(one ^ two) == 1 and len(fewer - ASKS) > 1
    return within or len(one & two) >= _NEAR * len(one | two)


def same_answer(question: str, first: str, second: str) -> bool:
    """Whether two answers to ``question`` say the same: what they add to its words is the same, or one says a little
    more; yes is not no, and numbers are equal."""
    if first.strip().casefold().rstrip(".") == second.strip().casefold().rstrip("."):
        return True
    asked = set(answer_words(question))
    said = [{*answer_words(words)} - _SMALL for words in (first, second)]
    if bool(said[0] & _NO) != bool(said[1] & _NO):
        return False
    one, two = (words - asked or words for words in said)
    if not one or not two:
        return False
    numbers = [{word for word in words if word.isdigit()} for words in (one, two)]
    if all(numbers) and numbers[0] != numbers[1]:
        return False
    if one <= two or two <= one:
        return max(len(one), len(two)) <= 2 * min(len(one), len(two)) + 3
    return min(len(one), len(two)) >= 3 and len(one & two) >= 0.6 * len(one | two)


def echoes(question: str, answer: str) -> bool:
    """Whether the answer adds no word to a short question, which names no choice."""
    words = {*answer_words(answer)}
    short = len(question_terms(question)) < _STORY and not re.search(r"\bor\b", question, re.IGNORECASE)
    return short and bool(words) and words <= {*answer_words(question)}
