"""``check_lesson_source``: holds a source of lessons to its contract, wherever they come from."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

from reverie.growth.contract import GapLesson, LessonSource, lesson_from_json, lesson_to_json
from reverie.registry import Promises

__all__ = ["check_lesson_source"]

_MOST = 20


def check_lesson_source(source: LessonSource, questions: Sequence[str] = ("What is 2 plus 3?",)) -> list[str]:
    """Run every promise of the contract; ContractError names the first that is broken. Returns what was checked."""
    promises = Promises("a source of lessons", getattr(source, "name", "") or type(source).__name__)
    expect = promises.expect
    expect("it has a name", bool(source.name))
    found = [*itertools.islice(source.lessons(questions, _MOST, random.Random(0)), _MOST)]
    expect("it gives lessons", bool(found))
    for lesson in found:
        expect("they are GapLessons", isinstance(lesson, GapLesson), type(lesson))
        expect("a lesson has a question and an answer", bool(lesson.question.strip() and lesson.answer.strip()), lesson)
        expect("a lesson says where it comes from", bool(lesson.source.strip()), lesson)
        expect("a lesson comes back from its line", lesson_from_json(lesson_to_json(lesson)) == lesson, lesson)
    again = [*itertools.islice(source.lessons(questions, _MOST, random.Random(0)), _MOST)]
    expect("the same questions and numbers give the same lessons", again == found)
    return promises.kept
