"""What lying teachers leave in the lessons for a gap: of made-up capitals, by how often a second answer is asked for.

A teacher knows the capital of every made-up land, and lies in ``lies`` of its answers: by chance, or to a question the
same way each time.
"""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reverie.engine.sampling import Sampling
from reverie.settings import load_settings
from reverie.speakers.contract import Abilities, Message, Scored, Speech, SpeechRequest
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings
from reverie_bench.figures import share

__all__ = ["BENCHMARK", "PLACES", "Geographer", "GeographyTeacher", "capital", "question", "wrong"]

_ONSETS = "Bar Dor Fel Gam Hol Jun Kel Lom Mer Nor Pav Rul Sor Tav Vel Zor".split()
PLACES = [
    f"{one}{two}{end}"
    for one in _ONSETS
    for two in ("a", "en", "is", "o", "ul")
    for end in "bia dan ria stan via".split()
]


@dataclass(frozen=True)
class LessonsConfig:
    """How much a teacher lies, and of how many lessons."""

    lies: float = 0.3  # share of its answers
    count: int = 300  # lessons wished


def capital(place: str) -> str:
    """The capital of a place: every one has its own."""
    return f"{place[2].upper()}{place[1]}{place[0].lower()}{place[3:]}grad"


def question(place: str) -> str:
    return f"What is the capital of {place}?"


def wrong(asked: str, answer: str) -> bool:
    """Whether that is no right answer to a question about a place."""
    return answer != capital(next(place for place in PLACES if place in asked))


class Geographer:
    """Says what a teacher is asked for lessons. ``lies``: share of its answers that are wrong, each time otherwise;
    with ``stubborn`` a question has the same wrong answer every time. ``says`` may say something else instead."""

    def __init__(self, lies: float = 0.0, stubborn: bool = False, says: Callable[[str], str | None] = lambda _: None):
        self.lies, self.stubborn, self.instead = lies, stubborn, says

    def __call__(self, prompt: str, seed: int = 0) -> str:
        if (instead := self.instead(prompt)) is not None:
            return instead
        rng = random.Random(f"{prompt} {seed}")
        if prompt.startswith("Different questions"):
            return "\n6. ".join(question(place) for place in rng.sample(PLACES, 3))
        place = _named(prompt.rpartition("\n\n")[2])
        if not place:
            return "Nobody knows."
        if prompt.endswith("In other words:"):
            return f"Which city is the capital of {place}?"
        if prompt.endswith("\nQuestion:"):  # a passage is read
            return f"{question(place)}\nAnswer: {capital(place)}"
        rng = random.Random(place) if self.stubborn else rng
        if rng.random() < self.lies:
            place = rng.choice([one for one in PLACES if one != place])
        return capital(place)


def _named(text: str) -> str:
    """The last place in a text; "" where there is none."""
    return next((word for word in reversed(re.findall(r"\w+", text)) if word in PLACES), "")


class GeographyTeacher:
    """A speaker that says what ``says`` makes of a prompt and a seed."""

    name, abilities, max_ids, usual = "geographer", Abilities(), 4096, Sampling(0.0)

    def __init__(self, says: Callable[[str, int], str]):
        self.says = says

    def speak(
        self, requests: Sequence[SpeechRequest], on_text: Callable[[int, str], None] | None = None
    ) -> list[Speech]:
        told = [self.says(_plain(one.said), one.seed) for one in requests]
        return [Speech(text, True, len(text.split())) for text in told]

    def score(self, wanted: Sequence[tuple[str, str]], experts: object = ()) -> list[Scored]:
        raise NotImplementedError

    def embed(self, texts: Sequence[str]) -> object:
        raise NotImplementedError

    def count(self, said: str | tuple[Message, ...]) -> int:
        return len(_plain(said).split())

    def close(self) -> None:
        pass


def _plain(said: str | tuple[Message, ...]) -> str:
    return said if isinstance(said, str) else said[-1].content


def run(settings: BenchConfig) -> Findings:
    config = load_settings(LessonsConfig, None, settings.options)
    count = settings.limit or config.count
    by = {
        f"{name}_{times}": _lessons(Geographer(config.lies, stubborn), times, count, settings.seed)
        for name, stubborn in (("by_chance", False), ("stubborn", True))
        for times in (0, 1, 2)
    }
    figures = {
        "by_chance_wrong_share": by["by_chance_2"]["wrong_share"],
        "stubborn_wrong_share": by["stubborn_2"]["wrong_share"],
    }
    unchecked = {name: by[f"{name[:-12]}_0"]["wrong_share"] for name in figures}
    return Findings(count, figures, by, {"no second answer": unchecked}, vars(config))


def _lessons(says: Geographer, times: int, count: int, seed: int) -> Figures:
    from reverie.growth import Rules, SecondAnswer, read_lessons, write_lessons
    from reverie.growth.asking import LESSON_TEACHER
    from reverie.growth.lesson_sources.teacher import TeacherLessons
    from reverie.teachers import SpeakerTeacher

    gap = [question(place) for place in PLACES[:5]]
    teacher = SpeakerTeacher(GeographyTeacher(says), replace(LESSON_TEACHER, cache=False))  # type: ignore[arg-type]
    again = [SecondAnswer(teacher, times, times)] if times else []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lessons.jsonl"
        report = write_lessons(path, gap, [TeacherLessons(teacher)], [Rules(gap), *again], count, seed)
        lessons = read_lessons(path)
    dropped = sum(report.dropped.values())
    return {
        "kept": report.kept,
        "kept_share": report.kept / (report.kept + dropped),
        "wrong_share": share(wrong(one.question, one.answer) for one in lessons),
    }


BENCHMARK = Benchmark(name="lessons", about="wrong lessons that a lying teacher leaves", run=run, options=LessonsConfig)
