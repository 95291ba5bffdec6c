"""Whom a line means that says where lessons come from: the registry of sources, by the scheme before the colon."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from reverie.errors import UnknownNameError, UsageError, shorten
from reverie.growth.asking import LESSON_TEACHER
from reverie.growth.contract import LessonSource
from reverie.growth.lesson_sources.documents import DocumentLessons
from reverie.growth.lesson_sources.teacher import TeacherLessons
from reverie.registry import Registry
from reverie.speakers.opening import SPEAKERS, is_speaker
from reverie.teachers.opening import TEACHERS, open_teacher

if TYPE_CHECKING:
    from reverie.memory import Memory
    from reverie.teachers.contract import Teacher, TeacherConfig

__all__ = ["LESSON_SOURCES", "open_lesson_source"]

LESSON_SOURCES: Registry[Callable[[str], LessonSource]] = Registry(
    "source of lessons",
    {
        "file": "reverie.growth.lesson_sources.file:FileLessons",
        "program": "reverie.growth.lesson_sources.program:ProgramLessons",
        "toy": "reverie.growth.lesson_sources.toy:ToyLessons",
    },
    "reverie.lesson_sources",
    ("document:NAME", "documents", "any teacher, as in llama:FILE.gguf"),
)


def open_lesson_source(
    spec: str,
    memory: Memory | None = None,
    teacher: Teacher | None = None,
    config: TeacherConfig = LESSON_TEACHER,
) -> LessonSource:
    """The source of ``spec``: ``file:FILE.jsonl``, ``program:TASK``, ``documents`` or ``document:NAME`` (of
    ``memory``, read by ``teacher`` where one is given), what a package offers, else a teacher, opened as ``config``
    says. Raises what they raise, UsageError and UnknownNameError for what is none."""
    scheme, colon, name = spec.partition(":")
    if scheme in ("document", "documents"):
        if memory is None or (scheme == "document") != bool(name):
            raise UsageError(f"'{shorten(spec)}' needs a memory: write documents, or document:NAME for one of them")
        return DocumentLessons(memory, name, teacher)
    if not colon:
        raise UsageError(f"'{shorten(spec)}' is no source of lessons: write its kind first, as in file:lessons.jsonl")
    if scheme in LESSON_SOURCES:
        return LESSON_SOURCES.get(scheme)(spec)
    if scheme in TEACHERS or is_speaker(spec):
        return TeacherLessons(open_teacher(spec, config))
    raise UnknownNameError(LESSON_SOURCES.kind, scheme, sorted({*LESSON_SOURCES, "documents", *TEACHERS, *SPEAKERS}))
