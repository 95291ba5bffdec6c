"""Lessons that a program makes and proves: tasks of reasoning-gym (Stojanovski et al. 2025, arXiv:2505.24760)."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from typing import Any

from reverie.errors import MissingExtraError, UnknownNameError, UsageError, shorten
from reverie.growth.contract import VERIFIED, GapLesson

__all__ = ["ProgramLessons"]

_ROUND = 64  # that are made at a time


class ProgramLessons:
    """``program:TASK`` or ``program:TASK,name=value,…`` with settings of the task, such as ``max_terms=3``. Each answer
    is what the task's own verifier gives full marks.

    Raises MissingExtraError without reasoning-gym, UsageError for a task or setting that it does not have.
    """

    def __init__(self, spec: str):
        task, *settings = spec.removeprefix("program:").split(",")
        self.name, self._settings = f"program:{task}", dict(map(_setting, settings))
        try:
            import reasoning_gym
            from reasoning_gym.factory import DATASETS
        except ImportError as error:
            raise MissingExtraError("lessons from programs", "programs") from error
        if task not in DATASETS:
            raise UnknownNameError("task of reasoning-gym", task, DATASETS)
        self._task, self._make = task, reasoning_gym.create_dataset
        self._made(1, 0)

    def lessons(self, questions: Sequence[str], count: int, rng: random.Random) -> Iterator[GapLesson]:
        """As many as the task has: it ends where a round gives nothing new."""
        asked = set[str]()
        while True:
            before = len(asked)
            made, rows = self._made(_ROUND, rng.randrange(2**31))
            for row in rows:
                question, answer = row["question"].strip(), str(row["answer"]).strip()
                if question not in asked and answer and made.score_answer(answer, row) >= 1:
                    asked.add(question)
                    yield GapLesson(question, answer, self.name, (VERIFIED,))
            if len(asked) == before:
                return

    def _made(self, size: int, seed: int) -> tuple[Any, list[dict[str, Any]]]:
        try:
            with redirect_stdout(io.StringIO()):  # some tasks print dots while they are made
                made = self._make(self._task, size=size, seed=seed, **self._settings)
                return made, [made[place] for place in range(size)]
        except (TypeError, ValueError, AssertionError, LookupError) as error:
            raise UsageError(f"{self.name} cannot be made: {shorten(str(error), 120)}") from error


def _setting(given: str) -> tuple[str, Any]:
    name, equals, value = given.partition("=")
    if not equals or not name.strip().isidentifier():
        raise UsageError(f"a setting of a program is written name=value, got '{shorten(given)}'")
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value.strip()
