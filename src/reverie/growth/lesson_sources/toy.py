"""A small source for tests: sums of small numbers, of which it knows the answers."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from reverie.growth.contract import GapLesson

__all__ = ["ToyLessons"]


class ToyLessons:
    def __init__(self, spec: str = "toy:"):
        self.name = spec

    def lessons(self, questions: Sequence[str], count: int, rng: random.Random) -> Iterator[GapLesson]:
        while True:
            one, two = rng.randint(1, 500), rng.randint(1, 500)
            yield GapLesson(f"What is {one} plus {two}?", str(one + two), self.name)
