"""Lessons that somebody wrote: the lines that ``reverie learn`` takes, questions with answers and triplets."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from reverie.data import FactRow
from reverie.errors import DataError
from reverie.growth.contract import GapLesson
from reverie.learning import Bad, Item, open_stream

__all__ = ["FileLessons"]


class FileLessons:
    """``file:FILE.jsonl``, or a folder of them. ``on_note`` hears of each line that cannot be read, by its number.

    Raises DataError where a file says nothing that can be learned.
    """

    def __init__(self, spec: str, on_note: Callable[[str], None] = lambda note: None):
        self.path, self.on_note = Path(spec.removeprefix("file:")).expanduser(), on_note
        self.name = f"file:{self.path.name}"

    def lessons(self, questions: Sequence[str], count: int, rng: random.Random) -> Iterator[GapLesson]:
        """All of them, in their order."""
        any_came, problem = False, "no line has a question and an answer, or a triplet"
        for item in open_stream(str(self.path)):
            if isinstance(item, Bad):
                problem = f"{item.place}: {item.problem}"
                self.on_note(problem)
            elif item.trains:
                any_came = True
                yield _lesson(item)
        if not any_came:
            raise DataError(f"{self.path} holds no lesson ({problem})")


def _lesson(item: Item) -> GapLesson:
    source = "file:" + ":".join(item.place.rsplit(", line ", 1))
    return GapLesson(
        item.question, item.answer, source, triplet=FactRow(*item.triplet, source=source) if item.triplet else None
    )
