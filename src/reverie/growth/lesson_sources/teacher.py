"""Lessons out of a teacher's head: it is asked for questions like those of the gap, then for their answers."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reverie.errors import ConfigError
from reverie.growth.alike import ASKS, Questions, question_terms
from reverie.growth.asking import answer_prompt, in_other_words, like_these, replies, rewords, said, said_lines
from reverie.growth.contract import GapLesson
from reverie.teachers.contract import Teacher

__all__ = ["TeacherLessons", "TeacherLessonsConfig"]


@dataclass(frozen=True)
class TeacherLessonsConfig:
    """How a teacher is asked for lessons."""

    shown: int = 4  # most questions that a request for more shows
    requests: int = 8  # for more questions, side by side
    dry: int = 3  # rounds of requests without a new question after which there are no more
    paraphrases: int = 1  # of each question
    most_chars: int = 200  # of a question

    def __post_init__(self) -> None:
        if min(self.shown, self.requests, self.dry, self.most_chars) < 1 or self.paraphrases < 0:
            raise ConfigError("a teacher is shown at least 1 question, in at least 1 request")


class TeacherLessons:
    """Of any teacher.

    Args:
        teacher: opened as ``asking.LESSON_TEACHER`` says: its replies drawn and short
        known: right answers of the gap itself, shown as examples
    """

    def __init__(
        self,
        teacher: Teacher,
        config: TeacherLessonsConfig | None = None,
        known: Sequence[tuple[str, str]] = (),
    ):
        self.teacher, self.config, self.known = teacher, config or TeacherLessonsConfig(), tuple(known)
        self.name = f"teacher:{teacher.name}"

    def lessons(self, questions: Sequence[str], count: int, rng: random.Random) -> Iterator[GapLesson]:
        """First the gap's own questions, then ones like them, each with other wordings of it. Nothing that is near a
        question from before is asked."""
        met, asks = Questions(), sum("?" in one for one in questions) * 2 > len(questions)
        about = {term for one in questions for term in question_terms(one)} - ASKS
        own = [one for one in questions if met.take(one)]
        yield from self._answered(own)
        new, dry = list[str](), 0
        while dry < self.config.dry:
            prompts = [like_these(self._shown(own, new, rng)) for _ in range(self.config.requests)]
            lines = [line for reply in replies(self.teacher, prompts) for line in said_lines(reply)]
            fresh = [one for one in lines if self._fits(one, asks, about) and met.take(one)]
            yield from self._answered(fresh)
            new += fresh
            dry = 0 if fresh else dry + 1
            if self.teacher.counts.stopped:
                return

    def _shown(self, own: Sequence[str], new: Sequence[str], rng: random.Random) -> list[str]:
        """Mostly questions of the gap, so that the new ones stay with them; some new ones, so that they differ."""
        most = self.config.shown
        some = rng.sample(list(new), min(len(new), max(0, most - max(1, min(len(own), most - 1)))))
        shown = [*rng.sample(list(own), min(len(own), most - len(some))), *some]
        rng.shuffle(shown)
        return shown

    def _fits(self, line: str, asks: bool, about: set[str]) -> bool:
        """Whether a line is a question, and shares a word with those of the gap."""
        short = len(line) <= self.config.most_chars and (not asks or line.endswith("?"))
        return short and bool(about & {*question_terms(line)})

    def _answered(self, questions: Sequence[str]) -> Iterator[GapLesson]:
        for start in range(0, len(questions), self.config.requests):
            some = questions[start : start + self.config.requests]
            answers = replies(self.teacher, [answer_prompt(one, known=self.known) for one in some])
            known = [(one, said(answer)) for one, answer in zip(some, answers, strict=True) if answer]
            yield from (GapLesson(one, answer, self.name) for one, answer in known)
            yield from self._in_other_words(known)

    def _in_other_words(self, known: Sequence[tuple[str, str]]) -> Iterator[GapLesson]:
        pairs = [pair for pair in known for _ in range(self.config.paraphrases)]
        worded = replies(self.teacher, [in_other_words(question) for question, _ in pairs]) if pairs else []
        for (question, answer), words in zip(pairs, map(said, worded), strict=True):
            if rewords(question, words):
                yield GapLesson(words, answer, self.name, of=question)
