"""An expert for a gap of one model: what ``reverie grow`` and the server ask ``growth.grow`` for."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from reverie.bundles.bundle import find_bundle, read_manifest
from reverie.bundles.experts import open_library, open_router
from reverie.bundles.gaps import gaps_of
from reverie.bundles.loading import load_bundle
from reverie.errors import UsageError
from reverie.experts.library import Library
from reverie.growth.admission import remove
from reverie.growth.asking import LESSON_TEACHER
from reverie.growth.contract import LessonCheck, LessonSource
from reverie.growth.gaps import Gap, gap_named
from reverie.growth.lesson_checks import usual_checks
from reverie.growth.lesson_sources.file import FileLessons
from reverie.growth.lesson_sources.opening import LESSON_SOURCES, open_lesson_source
from reverie.growth.pipeline import GrowConfig, GrowPlan, Growth, expert_name, grow, growth_folder, pending_plan
from reverie.growth.second_answer import SecondAnswer
from reverie.learning import read_probes
from reverie.memory.attempts import GapLog
from reverie.memory.memory import Memory
from reverie.paths import default_memory
from reverie.progress import Progress, no_progress
from reverie.teachers.contract import TeacherConfig

__all__ = ["GrowRequest", "grow_asked", "plan_asked", "take_out"]

_OPENING = 8  # questions of the lessons themselves, where there is no gap


@dataclass(frozen=True)
class GrowRequest:
    """What somebody asks for.

    Args:
        teachers: where lessons come from, the best first, see ``open_lesson_source``
        gap: its id or name; "": the gravest, or none where there is none and the expert has a name
        name: of the expert; "": made of the gap's
        library, memory: as elsewhere; None: the user's own
        probe: a file of the user's own probes
        budget: of teachers: ids, cost, and the price of a million ids; 0: any
    """

    model: str
    teachers: tuple[str, ...]
    gap: str = ""
    name: str = ""
    config: GrowConfig = field(default_factory=GrowConfig)
    library: Path | None = None
    memory: str | None = None
    probe: Path | None = None
    most_ids: int = 0
    most_cost: float = 0.0
    price: float = 0.0

    @property
    def teacher_config(self) -> TeacherConfig:
        bounded = replace(LESSON_TEACHER, most_ids=self.most_ids, most_cost=self.most_cost)
        return replace(bounded, prompt_price=self.price, price=self.price)


def plan_asked(request: GrowRequest, progress: Progress = no_progress) -> dict[str, Any]:
    """What would be done; nobody is asked."""
    with _opened(request, lambda note: None, progress) as opened:
        plan = opened.plan
        done = growth_folder(opened.library, plan)
        return {
            "expert": plan.expert, "gap": plan.gap, "questions": list(plan.questions), "sources": list(plan.sources),
            "lessons": plan.config.lessons, "folder": str(done), "begun": done.exists(),
        }  # fmt: skip


def grow_asked(
    request: GrowRequest, on_note: Callable[[str], None] = lambda note: None, progress: Progress = no_progress
) -> Growth:
    """Grow what is asked for, or go on with it; an expert that was admitted settles its gap. Raises as ``grow``."""
    with _opened(request, on_note, progress) as opened:
        plan = opened.plan
        on_note(f"'{plan.expert}' is grown for {f'gap {plan.gap}' if plan.gap else 'no gap'}, in "
                f"{growth_folder(opened.library, plan)}")  # fmt: skip
        router = open_router(opened.folder, opened.manifest, opened.library.base)
        probes = read_probes(request.probe) if request.probe else ()
        told = grow(
            opened.folder, opened.library, plan, opened.sources, opened.checks, router, probes, on_note, progress
        )
        if told.admitted and plan.attempts:
            opened.log.settle(plan.attempts, plan.expert)
        return told


def take_out(library: Library, name: str, memory: str | None) -> tuple[str, int]:
    """Remove an expert with all that its admission brought. The gap that it was grown for, "" for none, and how many
    questions of it are open again in that memory. Raises as ``Library.remove`` does."""
    gap, grown_as = remove(library, name)
    if not gap or memory is None:
        return gap, 0
    with GapLog(memory) as log:
        return gap, log.reopen(grown_as)


@dataclass(frozen=True)
class _Opened:
    folder: Path
    manifest: dict[str, Any]
    library: Library
    log: GapLog
    plan: GrowPlan
    sources: list[LessonSource]
    checks: list[LessonCheck]


@contextmanager
def _opened(request: GrowRequest, on_note: Callable[[str], None], progress: Progress) -> Iterator[_Opened]:
    """Everything that growth needs; closed at the end."""
    address, folder = request.memory or default_memory(), find_bundle(request.model)
    manifest = read_manifest(folder)
    if manifest.get("base", {}).get("quantized"):
        raise UsageError(f"the base of {manifest['name']} is quantized, and cannot be trained: nothing grows on it")
    library = open_library(folder, manifest, request.library)
    with ExitStack() as stack:
        log = stack.enter_context(GapLog(address))
        memory = stack.enter_context(Memory.open(address, compiled=False))
        sources = _sources(request, memory, on_note)
        teachers = [teacher for one in sources if (teacher := getattr(one, "teacher", None)) is not None]
        for teacher in teachers:
            stack.callback(teacher.close)
        plan = pending_plan(library, request.gap, request.name, request.teachers, request.config)
        plan = plan or _plan(request, manifest["name"], library, log, sources, progress)
        checks: list[LessonCheck] = usual_checks(plan.questions, memory=memory)
        checks += [SecondAnswer(teacher) for teacher in teachers[:1]]
        yield _Opened(folder, manifest, library, log, plan, sources, checks)


def _sources(request: GrowRequest, memory: Memory, on_note: Callable[[str], None]) -> list[LessonSource]:
    """Where lessons come from; documents are read by the first teacher."""
    config, others = request.teacher_config, ("document", "documents", *LESSON_SOURCES)
    teachers = {
        spec: open_lesson_source(spec, memory, None, config)
        for spec in dict.fromkeys(request.teachers)
        if spec.partition(":")[0] not in others
    }
    reader = next((getattr(one, "teacher", None) for one in teachers.values()), None)
    return [
        teachers[spec]
        if spec in teachers
        else FileLessons(spec, on_note)
        if spec.startswith("file:")
        else open_lesson_source(spec, memory, reader, config)
        for spec in dict.fromkeys(request.teachers)
    ]


def _plan(
    request: GrowRequest, model: str, library: Library, log: GapLog, sources: list[LessonSource], progress: Progress
) -> GrowPlan:
    """For the gap that is meant; for lessons alone where there is no gap, and the expert has a name."""
    gap = _gap(request, model, log, progress)
    if gap is None:
        some = islice(sources[0].lessons(["What is it?"], _OPENING, random.Random(0)), _OPENING)
        questions, attempts = [one.question for one in some], list[int]()
        if not questions:
            raise UsageError(f"{sources[0].name} gives no lessons where there is no gap: ask questions first")
    else:
        questions, attempts = gap.questions, [one.id for one in gap.attempts]
    name = request.name or expert_name(gap.name if gap else "gap", library)
    if name in library:
        raise UsageError(f"there is an expert '{name}' already: give another --name, or remove it first")
    return GrowPlan(gap.id if gap else "", name, tuple(questions), request.teachers, tuple(attempts), request.config)


def _gap(request: GrowRequest, model: str, log: GapLog, progress: Progress) -> Gap | None:
    """Which gap is meant, None for none. Raises UsageError where none is there and the expert has no name."""
    if request.name and not request.gap and not log.models().get(model):
        return None
    progress("reading the model", 0, 0)
    bundle = load_bundle(request.model, weights="auto")
    found = gaps_of(bundle, bundle.open(request.library), log, progress=progress).gaps
    if request.gap:
        return gap_named(found, request.gap)
    if not found and not request.name:
        raise UsageError(
            f"there is no gap of {bundle.name} yet (see reverie gaps list). Lessons alone become an expert where it "
            "has a name: --name NAME"
        )
    return found[0] if found else None
