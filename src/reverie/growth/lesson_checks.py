"""What keeps a lesson out: rules on its words, a memory that says otherwise, questions that are kept for testing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from reverie.dreaming.reading import bears_out, can_answer, gives_orders
from reverie.growth.alike import ASKS, Questions, echoes, question_terms, same_answer, telling
from reverie.growth.contract import EXTRACTED, GapLesson, LessonCheck, no_models
from reverie.growth.languages import Languages
from reverie.memory.relation_patterns import relation_words
from reverie.memory.taught import ANSWERED, DENIED, question_key, taught
from reverie.nouns import SAYS, Fact
from reverie.teachers.cleaning import clean, flaw_of
from reverie.tokens.questions import MAX_CHARS

if TYPE_CHECKING:
    from reverie.memory import Memory

__all__ = ["Decontaminated", "Grounded", "MemoryAgrees", "Rules", "usual_checks"]

_NO_ANSWER = re.compile(
    r"\W*(?:(?:i['’]m |i am )?sorry\b|as an ai\b|i(?:['’]m| am) (?:not sure|unable|an ai)\b"
    r"|i (?:do not|don['’]t|cannot|can['’]t|can not) (?:know|answer|say|tell|provide|help|find)\b"
    r"|(?:unknown|n/?a|none|nobody knows|not (?:known|given|stated|mentioned|specified|available|applicable))\W*$)",
    re.IGNORECASE,
)
_TURNS = re.compile(r"\[/?INST\]|<\|\w+\|>|^\s*#{2,}\s|\b(?:user|assistant|system|question|answer)\s*:", re.I | re.M)
_SURE = 0.8  # from which what the memory recalls is held against a lesson


class Rules:
    """Both have words, none is too long, nothing is said over and over or gives orders to its reader, the answer is no
    refusal; what a model says is no echo, of the kind that is asked for, and in a language of the gap's questions.

    Args:
        questions: those of the gap
        most_chars: of an answer
    """

    name = "rules"

    def __init__(self, questions: Sequence[str], most_chars: int = 400):
        self._languages, self._most = Languages(questions), most_chars

    def problems(self, lessons: Sequence[GapLesson]) -> list[str]:
        return [self._problem(lesson) for lesson in lessons]

    def _problem(self, lesson: GapLesson) -> str:
        question, answer = lesson.question, lesson.answer
        if not question_key(question) or not answer.strip():
            return "empty"
        if len(question) > MAX_CHARS or len(answer) > self._most:
            return "too long"
        if clean(question) != question or clean(answer) != answer:
            return "control characters"
        if any(gives_orders(text) or _TURNS.search(text) for text in (question, answer)):
            return "gives orders"
        if any(flaw_of(text, MAX_CHARS + self._most) or _stutters(text) for text in (question, answer)):
            return "repeats itself"
        if _NO_ANSWER.match(answer):
            return "no answer"
        if question_key(question) == question_key(answer):
            return "says the question again"
        if no_models(lesson):
            return ""
        if echoes(question, answer):
            return "says the question again"
        if not can_answer(question, answer):
            return "not what is asked for"
        return "another language" if self._languages.foreign(question, answer) else ""


class Decontaminated:
    """Its question is none of those that are kept for testing, nor nearly one, nor is the question that it says in
    other words."""

    name = "decontaminated"

    def __init__(self, tested: Iterable[str]):
        self._tested = Questions((question, None) for question in tested)

    def problems(self, lessons: Sequence[GapLesson]) -> list[str]:
        near = self._tested.near
        return ["kept for testing" if any(near(one) for one in (x.question, x.of) if one) else "" for x in lessons]


class Grounded:
    """What was read in a passage stands there: the words of the answer, and what the question is about."""

    name = "grounded"

    def problems(self, lessons: Sequence[GapLesson]) -> list[str]:
        return [self._problem(lesson) if lesson.passage else "" for lesson in lessons]

    def _problem(self, lesson: GapLesson) -> str:
        if EXTRACTED in lesson.checks:
            return ""
        if not bears_out(Fact("", SAYS, lesson.passage, lesson.source), lesson.answer):
            return "not in the passage"
        asked, there = {*question_terms(lesson.question)} - ASKS, {*question_terms(lesson.passage)}
        named = telling(lesson.question) <= there
        return "" if named and 2 * len(asked & there) >= len(asked) else "not about the passage"


class MemoryAgrees:
    """The memory does not contradict: it was not told another answer or that this one is wrong, has no other value
    where a subject has one at a time, and recalls nothing else as surely."""

    name = "memory"

    def __init__(self, memory: Memory):
        self.memory = memory
        self._single = {relation_words(mode.name) for mode in memory.store.relation_modes() if mode.one}

    def problems(self, lessons: Sequence[GapLesson]) -> list[str]:
        return ["memory says otherwise" if self._denies(lesson) else "" for lesson in lessons]

    def _denies(self, lesson: GapLesson) -> bool:
        known = taught(self.memory, lesson.question)
        if any(same_answer(lesson.question, lesson.answer, wrong.object) for wrong in known.wrong):
            return True
        if known.answer is not None:
            return not same_answer(lesson.question, lesson.answer, known.answer.object)
        found = self.memory.recall(lesson.question, k=5)
        sure = [one for one, probability in found.told if isinstance(one, Fact) and probability >= _SURE and one.holds]
        rivals = [*self._values(lesson), *(sure[:1] if found.answered else [])]
        return any(self._rules_out(fact, lesson) for fact in rivals)

    def _values(self, lesson: GapLesson) -> list[Fact]:
        """What the memory has for the subject and relation of a triplet."""
        if (row := lesson.triplet) is None:
            return []
        store = self.memory.store
        edges = [
            edge for node in store.find(row.subject) for edge in store.edges_of(node.id) if edge.subject == node.id
        ]
        same = [edge.id for edge in edges if relation_words(edge.relation) == relation_words(row.relation)]
        return [fact for fact in store.facts(same) if fact.holds]

    def _rules_out(self, fact: Fact, lesson: GapLesson) -> bool:
        if fact.relation in (ANSWERED, DENIED, SAYS) or relation_words(fact.relation) not in self._single:
            return False
        ends = (fact.subject, fact.object)
        return not any(same_answer(lesson.question, lesson.answer, end) for end in ends)


def usual_checks(
    questions: Sequence[str], tested: Iterable[str] = (), memory: Memory | None = None
) -> list[LessonCheck]:
    """All that ask no teacher, the cheapest first."""
    checks: list[LessonCheck] = [Rules(questions), Decontaminated(tested), Grounded()]
    return checks if memory is None else [*checks, MemoryAgrees(memory)]


def _stutters(text: str) -> bool:
    """Whether a word of letters stands there thrice in a row."""
    return re.search(r"\b([^\W\d_]+)(?:[\s,]+\1\b){2}", text.casefold()) is not None
