"""From a gap to an expert that was let in: lessons, a design, training, a trial, admission.

A growth's folder holds, in this order:

    plan.json                the gap's questions, the expert's name, where lessons come from
    lessons.jsonl, lessons.dropped.jsonl, lessons.json    what was kept, what was not and why; how many, at what cost
    expert/                  the training and the trial, see ``creation.py``
    outcome.json             admitted, or why not; with ``report.md`` and ``report.png``

The same call goes on after the last of these that is there, whatever ended it.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from reverie.errors import BackendError, ConfigError, DataError, UsageError
from reverie.experts.contract import check_name
from reverie.experts.library import Library
from reverie.experts.router import Router
from reverie.files import alone, atomic_write_json
from reverie.growth.admission import admit
from reverie.growth.certificate import Certificate
from reverie.growth.contract import LessonCheck, LessonSource
from reverie.growth.creation import cleaned, grow_expert, grow_halves
from reverie.growth.design import FEWEST_LESSONS, design
from reverie.growth.lessons import LessonReport, read_lessons, write_lessons
from reverie.growth.limits import TrialConfig
from reverie.growth.report import write_report
from reverie.growth.trial import certify
from reverie.jsonio import jsonable, read_object
from reverie.learning.guard import Probe
from reverie.progress import Progress, no_progress

__all__ = ["GrowConfig", "GrowPlan", "Growth", "expert_name", "grow", "growth_folder", "pending_plan"]

_PLAN, _LESSONS, _OUTCOME = "plan.json", "lessons.json", "outcome.json"


@dataclass(frozen=True)
class GrowConfig:
    """How an expert is grown."""

    lessons: int = 200  # that are wished for
    seed: int = 0
    trial: TrialConfig = field(default_factory=TrialConfig)

    def __post_init__(self) -> None:
        if self.lessons < FEWEST_LESSONS:
            raise ConfigError(f"an expert needs at least {FEWEST_LESSONS} lessons, got lessons={self.lessons}")


@dataclass(frozen=True)
class GrowPlan:
    """What is to be grown. ``gap``: its id, "" for lessons that nobody missed; ``sources``: where lessons come from, in
    words."""

    gap: str
    expert: str
    questions: tuple[str, ...]
    sources: tuple[str, ...]
    attempts: tuple[int, ...] = ()  # of the gap log, which it settles
    config: GrowConfig = field(default_factory=GrowConfig)

    def __post_init__(self) -> None:
        check_name(self.expert)

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(jsonable(asdict(self)), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Growth:
    """What came of it. ``why``: it was not admitted; "" where it was."""

    expert: str
    gap: str
    admitted: bool
    why: str
    lessons: LessonReport
    certificate: Certificate
    seconds: float
    folder: Path


def growth_folder(library: Library, plan: GrowPlan) -> Path:
    """Where this plan is carried out: below the user's library. Raises UsageError where that has no folder."""
    if library.folder is None:
        raise UsageError("an expert is grown into a library with a folder of its own")
    return library.folder / ".growth" / f"{plan.expert}-{plan.digest[:8]}"


def pending_plan(
    library: Library, gap: str, expert: str, sources: Sequence[str], config: GrowConfig
) -> GrowPlan | None:
    """A plan of the same wishes that was begun and not ended: what is asked since then belongs to another. ``gap`` and
    ``expert`` may be empty, for any."""
    wished = jsonable({"sources": [*sources], "config": asdict(config)})
    plans = library.folder.glob(f".growth/*/{_PLAN}") if library.folder else ()
    for path in sorted(plans, key=lambda one: -one.stat().st_mtime):
        if (path.parent / _OUTCOME).exists():
            continue
        said = read_object(path, DataError, "the plan of a growth")
        if said.items() >= wished.items() and gap in ("", said["gap"]) and expert in ("", said["expert"]):
            texts = {name: tuple(said[name]) for name in ("questions", "sources", "attempts")}
            return GrowPlan(**said | texts | {"config": config})
    return None


def grow(
    bundle: str | Path,
    library: Library,
    plan: GrowPlan,
    sources: Sequence[LessonSource],
    checks: Sequence[LessonCheck],
    router: Router | None = None,
    probes: Sequence[Probe] = (),
    on_note: Callable[[str], None] = lambda note: None,
    progress: Progress = no_progress,
) -> Growth:
    """Carry ``plan`` out, or go on with it.

    Args:
        bundle: the model's name or folder, whose experts ``library`` has
        sources: of lessons, the best first, and ``checks`` that these are held to
        router: the bundle's trained one, if any
        probes: the user's own, beside the packaged ones

    Raises UsageError where somebody else carries the same plan out, DataError for too few lessons, BackendError where a
    teacher is away, Stopped where training was stopped, ExpertError, TrainingError, and OSError where the disk refuses.
    The library is another only when everything has passed.
    """
    from reverie.growth.examining import Examiner, open_examiner
    from reverie.training.adapted import Adapted

    began, folder = time.monotonic(), growth_folder(library, plan)
    with alone(folder / "growth.lock", f"somebody else grows this expert, in {folder}; wait until that is over"):
        atomic_write_json(folder / _PLAN, jsonable(asdict(plan)))
        report = _lessons(folder, plan, sources, checks, on_note, progress)
        rows, left_out = cleaned([(one.question, one.answer) for one in read_lessons(folder / "lessons.jsonl")])
        experts = {name: library.adapter(name) for name in library.names() if name != plan.expert}
        answers = [answer for _, answer in rows]
        made = design(
            len(rows),
            answers=answers,
            experts=len(experts),
            seed=plan.config.seed,
            base_weights=library.base_weights,
        )
        progress("reading the base", 0, 0)
        adapted = Adapted(bundle, made.lora)
        grown = grow_expert(adapted, rows, made, folder / "expert", experts, progress)
        grown = replace(grown, parts=replace(grown.parts, left_out=left_out))
        progress("the trial", 0, 0)
        halves = lambda: grow_halves(adapted, grown, progress)  # noqa: E731
        room = open_examiner(adapted.folder, library, made.lora.rank) if experts else None  # rows of several experts
        examiner = room or Examiner(adapted, library, router)
        own = {"own": [*probes]} if probes else {}
        certificate = certify(plan.expert, grown, examiner, None, own, halves, plan.config.trial, plan.gap)
        card = admit(library, grown, certificate)
        outcome = Growth(
            *(plan.expert, plan.gap, card is not None, certificate.why, report, certificate),
            seconds=time.monotonic() - began,
            folder=folder,
        )
        atomic_write_json(folder / _OUTCOME, jsonable(asdict(outcome)))
        write_report(outcome, plan)
    return outcome


def expert_name(said: str, library: Library) -> str:
    """A name for an expert made of the words of a gap, which no other has yet."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", said).strip("-").lower()[:40].strip("-") or "gap"
    taken = {one.lower() for one in library.names()}
    return next(name for name in (words, *(f"{words}-{number}" for number in range(2, 10_000))) if name not in taken)


def _lessons(
    folder: Path,
    plan: GrowPlan,
    sources: Sequence[LessonSource],
    checks: Sequence[LessonCheck],
    on_note: Callable[[str], None],
    progress: Progress,
) -> LessonReport:
    """The lessons, asked for once. Those that came before a teacher went away are enough if an expert can be made."""
    told, lessons = folder / _LESSONS, folder / "lessons.jsonl"
    if told.exists():
        said: dict[str, Any] = read_object(told, DataError, "what was said of the lessons")
        return LessonReport(**said | {"stopped": tuple(said["stopped"])})
    report = write_lessons(
        lessons, plan.questions, sources, checks, plan.config.lessons, plan.config.seed, on_note, progress
    )
    if report.kept < FEWEST_LESSONS:
        dropped = ", ".join(f"{count} {why}" for why, count in report.dropped.items()) or "none"
        why = f"; {report.stopped[0]}" if report.stopped else ""
        kind = BackendError if report.stopped else DataError
        raise kind(
            f"{report.kept} lessons are not enough for an expert, which needs {FEWEST_LESSONS} (left out: {dropped}"
            f"{why}). They are kept in {lessons}; the same command goes on"
        )
    atomic_write_json(told, jsonable(asdict(report)))
    return report
