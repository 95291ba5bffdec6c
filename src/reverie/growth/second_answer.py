"""A second answer must agree: a teacher is asked again, in other words, and by chance."""

from __future__ import annotations

from collections.abc import Sequence

from reverie.errors import BackendError, ConfigError
from reverie.growth.alike import echoes, same_answer
from reverie.growth.asking import answer_prompt, replies, said
from reverie.growth.contract import GapLesson, no_models
from reverie.teachers.contract import Teacher

__all__ = ["SecondAnswer"]


class SecondAnswer:
    """Who is asked for a lesson's question ``times`` times more, in other words than its source used, must say the same
    at least ``agree`` times, and nothing else; replies that only say the question again are no answers. What is no
    model's words (files, programs, facts, what rules read in a passage) is left alone unless ``given``. One that lies
    the same way every time agrees with itself: that only a memory, a passage or another teacher finds.

    Args:
        known: right answers of the gap itself, shown as examples
    """

    name = "second answer"

    def __init__(
        self,
        teacher: Teacher,
        times: int = 2,
        agree: int = 1,
        given: bool = False,
        known: Sequence[tuple[str, str]] = (),
    ):
        if not 1 <= agree <= times:
            raise ConfigError(f"of {times} second answers between 1 and all agree, got {agree}")
        self.teacher, self.times, self.agree, self.given, self.known = teacher, times, agree, given, tuple(known)

    def problems(self, lessons: Sequence[GapLesson]) -> list[str]:
        """Raises BackendError where the teacher is away or its budget is spent."""
        asked = [one for one in lessons if self.given or not no_models(one)]
        prompts = [
            answer_prompt(one.question, one.passage, form, self.known)
            for one in asked
            for form in range(1, self.times + 1)
        ]
        told = replies(self.teacher, prompts) if prompts else []
        if self.teacher.counts.stopped and not all(told):
            raise BackendError(self.teacher.counts.stopped, passing=False)
        again = [[*map(said, told[start : start + self.times])] for start in range(0, len(told), self.times)]
        found = {id(one): self._problem(one, answers) for one, answers in zip(asked, again, strict=True)}
        return [found.get(id(one), "") for one in lessons]

    def _problem(self, lesson: GapLesson, again: Sequence[str]) -> str:
        answers = [one for one in again if one and not echoes(lesson.question, one)]
        same = sum(same_answer(lesson.question, lesson.answer, one) for one in answers)
        if len(answers) < self.agree:
            return "no second answer"
        return "" if same == len(answers) else "second answer differs"
