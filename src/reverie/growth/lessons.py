"""Lessons for a gap, written to a file of JSON lines: made by sources, held to checks, each with who says it.

What is kept is a line of the file, what is dropped one of ``FILE.dropped.jsonl`` with the reason. A writer that was
killed goes on: sources give the same again, for which no teacher is paid twice, and lines that stand there stay.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from reverie.errors import BackendError, DataError, UsageError, shorten
from reverie.growth.alike import Questions, same_answer
from reverie.growth.contract import GapLesson, LessonCheck, LessonSource, lesson_from_json, lesson_to_json
from reverie.jsonio import LineWriter, json_lines
from reverie.progress import Progress, no_progress
from reverie.splits import share_of

__all__ = ["LessonReport", "read_lessons", "split_lessons", "write_lessons"]

_BATCH = 16  # lessons that are checked together, as many as a teacher answers in common steps


@dataclass(frozen=True)
class LessonReport:
    """What came of writing lessons. ``kept``: all that the file holds, of which ``before`` stood there already;
    ``dropped``: how many by which reason; ``sources``: how many are kept of whom; ``ids`` and ``cost``: what teachers
    took now; ``stopped``: why there are not more, a line for each source that ended early."""

    wanted: int
    kept: int
    before: int
    dropped: dict[str, int] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)
    ids: int = 0
    cost: float = 0.0
    stopped: tuple[str, ...] = ()


def read_lessons(path: str | Path) -> list[GapLesson]:
    """The lessons of a file. Raises DataError with the line."""
    return [lesson for lesson, _ in _read(path)]


def write_lessons(
    path: str | Path,
    questions: Sequence[str],
    sources: Sequence[LessonSource],
    checks: Sequence[LessonCheck] = (),
    count: int = 200,
    seed: int = 0,
    on_note: Callable[[str], None] = lambda note: None,
    progress: Progress = no_progress,
) -> LessonReport:
    """Write up to ``count`` lessons around ``questions``: all that the first of ``sources`` has, then the next one's.

    The cheapest of ``checks`` first: a lesson that one drops does not reach the next. No two lessons of a file ask the
    same. A teacher that goes away ends its source: what it gave is kept, and ``on_note`` hears of it. Raises UsageError
    where there is nothing to go by, DataError where a file cannot be read or written.
    """
    if not sources or count < 1:
        raise UsageError(f"lessons come from at least one source, and are at least one; got {len(sources)} and {count}")
    if not (questions := [one.strip() for one in questions if one.strip()]):
        raise UsageError("lessons are made around the questions of a gap, and it has none")
    teachers = _teachers(sources, checks)
    spent = {name: (teacher.counts.ids + teacher.counts.prompt_ids, teacher.counts.cost) for name, teacher in teachers}
    stopped = list[str]()
    with _LessonFiles(path) as files:
        for source in sources:
            if hasattr(source, "on_note"):
                source.on_note = on_note
            rng = random.Random(f"{seed} {source.name}")
            for batch, problem in _batches(source, questions, count, rng):
                try:
                    files.put(batch, checks, count)
                except BackendError as error:  # of a teacher that a check asks: these wait for the next call
                    problem = problem or error
                progress(f"lessons from {source.name}  {files.told()}", min(files.kept, count), count)
                if problem is not None:
                    stopped.append(f"{source.name}: {problem}")
                    on_note(f"{source.name} ended early, what it gave is kept: {problem}")
                if problem is not None or files.kept >= count:
                    break
            if files.kept >= count:
                break
        stopped += [f"{name}: {why}" for name, teacher in teachers if (why := teacher.counts.stopped)]
        now = {name: (one.counts.ids + one.counts.prompt_ids, one.counts.cost) for name, one in teachers}
        return LessonReport(
            count,
            files.kept,
            files.before,
            dict(files.dropped.most_common()),
            dict(files.sources.most_common()),
            sum(now[name][0] - spent[name][0] for name in now),
            sum(now[name][1] - spent[name][1] for name in now),
            tuple(dict.fromkeys(stopped)),
        )


def split_lessons(lessons: Iterable[GapLesson], share: float = 0.2) -> tuple[list[GapLesson], list[GapLesson]]:
    """(to learn from, kept back for testing): about ``share`` of all, by hashes, so that a lesson stays where it is
    when others join. What says a question in other words lies with it, and what is nearly the same as one that is kept
    back is in neither."""
    learned, kept = list[GapLesson](), list[GapLesson]()
    for lesson in lessons:
        (kept if share_of(lesson.of or lesson.question) < share else learned).append(lesson)
    tested = Questions((lesson.question, None) for lesson in kept)
    return [lesson for lesson in learned if not tested.near(lesson.question)], kept


def _batches(
    source: LessonSource, questions: Sequence[str], count: int, rng: random.Random
) -> Iterator[tuple[list[GapLesson], BackendError | None]]:
    """What a source gives, some at a time; with the last ones why there are no more, where it broke off."""
    candidates = source.lessons(questions, count, rng)
    while True:
        batch = list[GapLesson]()
        try:
            for lesson in itertools.islice(candidates, _BATCH):
                batch.append(lesson)  # those before an error are kept
        except BackendError as error:
            yield batch, error
            return
        if not batch:
            return
        yield batch, None


def _teachers(sources: Sequence[LessonSource], checks: Sequence[LessonCheck]) -> list[tuple[str, Any]]:
    """The different teachers that are asked, by name."""
    held = [getattr(one, "teacher", None) for one in (*sources, *checks)]
    different = {id(teacher): teacher for teacher in held if teacher is not None}
    return [(f"{teacher.name}", teacher) for teacher in different.values()]


class _LessonFiles:
    """The file of those that are kept and that of those that are dropped, with what they hold."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.dropped, self.sources = Counter[str](), Counter[str]()
        left_out = self.path.with_name(f"{self.path.stem}.dropped.jsonl")
        self._kept_lines = LineWriter(self.path, DataError)
        try:
            self._dropped_lines = LineWriter(left_out, DataError)
            self._held, self._questions = set[str](), Questions()
            for lesson, _ in _read(self.path):
                self._hold(lesson)
            self.before = self.kept = len(self._held)
            self._left_out = dict[str, str]()
            for lesson, why in _read(left_out):
                self._left_out.setdefault(_digest(lesson), why)
            self.dropped.update(self._left_out.values())
        except BaseException:
            self._kept_lines.close()
            raise

    def __enter__(self) -> _LessonFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kept_lines.close()
        self._dropped_lines.close()

    def told(self) -> str:
        return f"{self.kept} kept, {self.dropped.total()} dropped"

    def put(self, batch: Sequence[GapLesson], checks: Sequence[LessonCheck], most: int) -> None:
        """Hold new lessons to all checks, and write them to the file that they belong to."""
        fresh = {_digest(lesson): lesson for lesson in batch}
        left = [one for digest, one in fresh.items() if digest not in self._held and digest not in self._left_out]
        left = self._without(left, [self._said_before(lesson) for lesson in left])
        for check in checks:
            if left:
                left = self._without(left, check.problems(left))
        names = tuple(check.name for check in checks)
        for lesson in left:
            if self.kept >= most:
                return
            if why := self._said_before(lesson):  # by one of this batch
                self._drop(lesson, why)
                continue
            lesson = replace(lesson, checks=tuple(dict.fromkeys((*lesson.checks, *names))))
            self._kept_lines.append(lesson_to_json(lesson))
            self._hold(lesson)
            self.kept += 1

    def _without(self, lessons: Sequence[GapLesson], problems: Sequence[str]) -> list[GapLesson]:
        for lesson, why in zip(lessons, problems, strict=True):
            if why:
                self._drop(lesson, why)
        return [lesson for lesson, why in zip(lessons, problems, strict=True) if not why]

    def _drop(self, lesson: GapLesson, why: str) -> None:
        if (digest := _digest(lesson)) not in self._left_out:
            self._dropped_lines.append({**lesson_to_json(lesson), "dropped": why})
            self._left_out[digest] = why
            self.dropped[why] += 1

    def _hold(self, lesson: GapLesson) -> None:
        self._held.add(_digest(lesson))
        self._questions.add(lesson.question, lesson.answer)
        self.sources[lesson.source.rpartition("#")[0] or _without_line(lesson.source)] += 1

    def _said_before(self, lesson: GapLesson) -> str:
        if (answer := self._questions.answer(lesson.question)) is not None:
            same = same_answer(lesson.question, lesson.answer, answer)
            return "said before" if same else "contradicts another lesson"
        near = not lesson.of and self._questions.near(lesson.question, lesson.answer)
        return "nearly said before" if near else ""


def _without_line(source: str) -> str:
    name, _, line = source.rpartition(":")
    return name if line.isdigit() and name else source


def _digest(lesson: GapLesson) -> str:
    said = [lesson.question, lesson.answer, lesson.source]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _read(path: str | Path) -> Iterator[tuple[GapLesson, str]]:
    """Each lesson of a file with why it was dropped."""
    for number, fields in json_lines(path, DataError, "the lessons"):
        try:
            yield lesson_from_json(fields), str(fields.get("dropped", ""))
        except (ValueError, TypeError, LookupError) as error:
            raise DataError(f"the lessons {path}, line {number}: no lesson ({shorten(str(error), 100)})") from error
