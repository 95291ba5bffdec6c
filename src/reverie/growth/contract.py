"""What a lesson for a gap is, and what its sources and checks are held to."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from reverie.data import FactRow
from reverie.data.facts.fields import row_of

__all__ = [
    "EXTRACTED",
    "GIVEN",
    "VERIFIED",
    "GapLesson",
    "LessonCheck",
    "LessonSource",
    "lesson_from_json",
    "lesson_to_json",
    "no_models",
]

GIVEN = ("file:", "program:", "memory:")  # sources that are no model's words
EXTRACTED, VERIFIED = "extracted", "verified"  # checks of answers that rules read in a passage, or a program proved


@dataclass(frozen=True)
class GapLesson:
    """A question with its answer.

    ``source``: who says so, as in ``teacher:llama:x.gguf``, ``document:NAME#p3``, ``memory:NAME``, ``file:NAME:12``,
    ``program:TASK``; ``checks``: the names of those that it passed; ``triplet``: the fact that it asks for, where it is
    one; ``passage``: the words that its answer was read in, "" where it comes out of a head; ``of``: the question that
    it says in other words.
    """

    question: str
    answer: str
    source: str
    checks: tuple[str, ...] = ()
    triplet: FactRow | None = None
    passage: str = ""
    of: str = ""


class LessonSource(Protocol):
    """One thread at a time. A source that asks a teacher holds it as ``teacher``, so that what it costs is told;
    one with an ``on_note`` has it set to whoever is to hear what it leaves out."""

    name: str  # such as "file:lessons.jsonl"

    def lessons(self, questions: Sequence[str], count: int, rng: random.Random) -> Iterator[GapLesson]:
        """Lessons like ``questions``, of which about ``count`` are wished, each as soon as it is there.

        Not all will be kept, so it goes on while it has more; who asks stops when it has enough. The same questions
        and ``rng`` give the same lessons, so that a run that was stopped goes on. Raises BackendError where a teacher
        is away, DataError where a file cannot be read.
        """
        ...


class LessonCheck(Protocol):
    """One reason, or some, to leave lessons out."""

    name: str

    def problems(self, lessons: Sequence[GapLesson]) -> list[str]:
        """For each lesson why it is left out, in a few words that many share; "" for one that may stay."""
        ...


def no_models(lesson: GapLesson) -> bool:
    """Whether its answer is no model's words."""
    return lesson.source.startswith(GIVEN) or EXTRACTED in lesson.checks


def lesson_to_json(lesson: GapLesson) -> dict[str, Any]:
    """Its line, in JSON's own types, without what is empty."""
    fields = vars(lesson) | {"checks": [*lesson.checks]}
    if lesson.triplet is not None:
        fields["triplet"] = {name: value for name, value in vars(lesson.triplet).items() if value not in ("", None)}
    return {name: value for name, value in fields.items() if value or name in ("question", "answer")}


def lesson_from_json(fields: Mapping[str, Any]) -> GapLesson:
    """Raises ValueError, TypeError or LookupError for what is none."""
    words = {name: fields.get(name, "") for name in ("source", "passage", "of")}
    words |= {"question": fields["question"], "answer": fields["answer"]}
    if strange := [name for name, value in words.items() if not isinstance(value, str)]:
        raise ValueError(f"{strange[0]} is no text")
    lesson = GapLesson(**words, checks=tuple(map(str, fields.get("checks", ()))))
    if "triplet" not in fields:
        return lesson
    row = row_of(fields["triplet"], lesson.source)
    if not isinstance(row, FactRow):
        raise ValueError("a triplet has a subject, a relation and an object")
    return replace(lesson, triplet=row)
