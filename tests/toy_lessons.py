"""Teachers of capitals for tests of lessons: what they ask, answer and lie can be foreseen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from reverie.errors import BackendError
from reverie.growth.asking import LESSON_TEACHER
from reverie.teachers import SpeakerTeacher
from reverie_bench.lessons import GeographyTeacher

Says = Callable[[str, int], str]


def teacher(says: Says, cache: Path | None = None, **config: Any) -> SpeakerTeacher:
    settings = replace(LESSON_TEACHER, cache=cache is not None, cache_path=cache, **config)
    return SpeakerTeacher(GeographyTeacher(says), settings)  # type: ignore[arg-type]


class Vanishing:
    """``says``, for so many requests; then nobody is there any more."""

    def __init__(self, says: Says, after: int):
        self.says, self.left = says, after

    def __call__(self, prompt: str, seed: int) -> str:
        self.left -= 1
        if self.left < 0:
            raise BackendError("the teacher is away")
        return self.says(prompt, seed)
