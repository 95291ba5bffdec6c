"""A teacher of capitals for tests of lessons: what it asks, answers and lies can be foreseen."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from reverie.errors import BackendError
from reverie.growth.asking import LESSON_TEACHER
from reverie.speakers import Abilities, SpeechRequest
from reverie.teachers import SpeakerTeacher
from toy_speakers import FrankSpeaker, plain

_ONSETS, _ENDS = (
    "Bar Dor Fel Gam Hol Jun Kel Lom Mer Nor Pav Rul Sor Tav Vel Zor".split(),
    "bia dan ria stan via".split(),
)
PLACES = [f"{one}{two}" for one in _ONSETS for two in _ENDS]


def capital(place: str) -> str:
    """The capital of a place: every one has its own."""
    return f"{place[2].upper()}{place[1]}{place[0].lower()}{place[3:]}grad"


def question(place: str) -> str:
    return f"What is the capital of {place}?"


class Geographer:
    """Says what a teacher is asked for lessons. ``lies``: share of its answers that are wrong, each time otherwise;
    with ``stubborn`` a question has the same wrong answer every time."""

    def __init__(self, lies: float = 0.0, stubborn: bool = False, says: Callable[[str], str | None] = lambda _: None):
        self.lies, self.stubborn, self.instead, self.asked = lies, stubborn, says, list[str]()

    def __call__(self, request: SpeechRequest) -> str:
        prompt = plain(request)
        self.asked.append(prompt)
        if (instead := self.instead(prompt)) is not None:
            return instead
        if prompt.startswith("Different questions"):
            rng = random.Random(zlib.crc32(prompt.encode()) + request.seed)
            return "\n6. ".join(question(place) for place in rng.sample(PLACES, 3))
        last = prompt.rstrip().rpartition("\n")[0].rpartition("\n")[2].partition(": ")[2]
        place = next((word for word in re.findall(r"\w+", last) if word in PLACES), "")
        if prompt.endswith("In other words:"):
            return f"Which city is the capital of {place}?"
        if prompt.endswith("\nQuestion:"):  # a passage is read
            place = next(word for word in re.findall(r"\w+", prompt.rsplit("Fact: ", 1)[1]) if word in PLACES)
            return f"{question(place)}\nAnswer: {capital(place)}"
        rng = random.Random(place if self.stubborn else prompt + str(request.seed))
        if rng.random() < self.lies:
            place = rng.choice([one for one in PLACES if one != place])
        return capital(place)


def teacher(says: Callable[[SpeechRequest], str], cache: Path | None = None, **config: object) -> SpeakerTeacher:
    settings = replace(LESSON_TEACHER, cache=cache is not None, cache_path=cache, **config)  # type: ignore[arg-type]
    return SpeakerTeacher(FrankSpeaker(says, Abilities()), settings)


class Vanishing:
    """``says``, for so many requests; then nobody is there any more."""

    def __init__(self, says: Callable[[SpeechRequest], str], after: int):
        self.says, self.left = says, after

    def __call__(self, request: SpeechRequest) -> str:
        self.left -= 1
        if self.left < 0:
            raise BackendError("the teacher is away")
        return self.says(request)
