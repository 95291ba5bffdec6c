"""A new expert, from lessons: parted, trained by the one loop with early stopping, and given a gate.

A run's folder holds, in this order:

    parts.json               what is taught, what stops the training, and the exam; with the design
    start.json, start/       the mixture of experts that it starts from, or that there is none
    run/                     the training, see ``training.rundir``
    half-0/, half-1/         two more, on a half of the lessons each, where the trial wants to know what they agree on
    prototype.safetensors    its gate

A process that is killed anywhere is followed by one that goes on from the newest of these, to the same weights bit for
bit.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from reverie.errors import DataError, UsageError
from reverie.experts.contract import Adapter
from reverie.experts.files import load_adapter, save_adapter
from reverie.files import atomic_folder, atomic_write_json
from reverie.growth.design import Design
from reverie.jsonio import read_object
from reverie.progress import Progress, no_progress
from reverie.training.adapted import Adapted
from reverie.training.continual import ContinualData, ContinualObjective
from reverie.training.loop import train
from reverie.training.settings import LoopConfig
from reverie.training.warm import warm_start

__all__ = ["Grown", "Parts", "Rows", "Stopped", "cleaned", "grow_expert", "parted"]

Rows = tuple[tuple[str, str], ...]  # (question, answer)
_EXAMPLES = 16  # of lessons, by which a mixture is chosen


@dataclass(frozen=True)
class Parts:
    """Lessons by what they are for, and what became of the others. ``contradicted``: questions with two answers."""

    taught: Rows
    held: Rows
    exam: Rows
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of all lessons."""
        return hashlib.sha256(json.dumps(sorted((*self.taught, *self.held, *self.exam))).encode()).hexdigest()


@dataclass(frozen=True)
class Grown:
    """A candidate: its factors as they will be read, and what they were made of. ``parents``: experts in its start."""

    adapter: Adapter
    parts: Parts
    design: Design
    folder: Path
    parents: tuple[str, ...] = ()


class Stopped(Exception):
    """Training was stopped before its end; the same call goes on. ``code``: what the process should exit with."""

    def __init__(self, code: int):
        super().__init__(f"stopped, exit code {code}")
        self.code = code


def cleaned(lessons: Sequence[tuple[str, str]]) -> tuple[Rows, dict[str, int]]:
    """Lessons whose answers hold words, each question once; and how many were left out, by reason.

    A question that is answered in two ways teaches nothing: all its lessons are left out.
    """
    answers, first, counts = defaultdict[str, set[str]](set), dict[str, tuple[str, str]](), defaultdict[str, int](int)
    for question, answer in lessons:
        key = " ".join(question.split()).casefold().rstrip("?.! ")  # signs within it may matter: 3 + 4, 3 - 4
        if not key or not any(letter.isalnum() for letter in answer):
            counts["empty"] += 1
            continue
        counts["repeated"] += key in first
        answers[key].add(" ".join(answer.split()).casefold())
        first.setdefault(key, (question.strip(), answer.strip()))
    kept = tuple(row for key, row in first.items() if len(answers[key]) == 1)
    counts["contradicted"] = len(first) - len(kept)
    return kept, {name: number for name, number in counts.items() if number}


def parted(lessons: Sequence[tuple[str, str]], design: Design, left_out: Mapping[str, int] | None = None) -> Parts:
    """The exam, what is held back and what is taught: by the hash of the question, so that it is the same every time.

    Raises DataError where nothing is left to be taught.
    """
    ordered = sorted(lessons, key=lambda row: hashlib.sha256(f"growth/{row[0]}".encode()).digest())
    first, last = design.exam, design.exam + design.held
    if len(ordered) <= last:
        raise DataError(f"{len(ordered)} lessons leave none to teach beside an exam of {design.exam}: bring more")
    return Parts(tuple(ordered[last:]), tuple(ordered[first:last]), tuple(ordered[:first]), left_out or {})


def grow_expert(
    adapted: Adapted,
    lessons: Sequence[tuple[str, str]],
    design: Design,
    folder: Path,
    experts: Mapping[str, Adapter] | None = None,
    progress: Progress = no_progress,
) -> Grown:
    """Train an expert of ``adapted``'s base, or go on with it.

    Args:
        adapted: the base with changes of ``design.lora``; they are others after that
        lessons: (question, answer), as ``cleaned`` gives them
        folder: of the run
        experts: that it may start from, by name

    Raises Stopped where it was stopped, DataError for too few lessons, UsageError where the folder holds another run,
    TrainingError, and OSError where the disk refuses.
    """
    if adapted.lora != design.lora:
        raise UsageError(f"the design wants changes of {design.lora}, and the base has {adapted.lora}")
    kept, left_out = cleaned(lessons)
    parts = parted(kept, design, left_out)
    _begin(folder, parts, design)
    start, parents = _start(adapted, parts, design, folder, experts or {})
    adapted.put(start)
    _train(adapted, parts.taught, parts, design, folder / "run", design.loop(), progress)
    return Grown(load_adapter(folder / "run" / "export"), parts, design, folder, parents)


def grow_halves(adapted: Adapted, grown: Grown, progress: Progress = no_progress) -> tuple[Adapter, Adapter]:
    """Two experts that saw no lesson in common, of half the steps each. Raises as ``grow_expert``."""
    first, other = (_half(adapted, grown, number, progress) for number in (0, 1))
    return first, other


def _half(adapted: Adapted, grown: Grown, number: int, progress: Progress) -> Adapter:
    run = grown.folder / f"half-{number}"
    adapted.put(None)
    loop = replace(grown.design.loop(0.5), seed=grown.design.seed + 1 + number)
    _train(adapted, grown.parts.taught[number::2], grown.parts, grown.design, run, loop, progress)
    return load_adapter(run / "export")


def _train(
    adapted: Adapted, taught: Rows, parts: Parts, design: Design, run: Path, loop: LoopConfig, progress: Progress
) -> None:
    data = ContinualData(batch_size=design.batch_size, replay_share=0.0, fisher_rows=0, seed=loop.seed)
    objective = ContinualObjective(adapted, taught, data=data, tests=parts.held)
    if (result := train(objective, loop, run, progress)).stopped != "done":
        raise Stopped(result.exit_code or 1)


def _begin(folder: Path, parts: Parts, design: Design) -> None:
    path = folder / "parts.json"
    said = json.loads(json.dumps({"design": asdict(design), "parts": asdict(parts)}))
    if not path.exists():
        atomic_write_json(path, said)
    elif read_object(path, DataError, "the parts of a growth run") != said:
        raise UsageError(f"{folder} holds a run on other lessons, or of another design: give another folder")


def _start(
    adapted: Adapted, parts: Parts, design: Design, folder: Path, experts: Mapping[str, Adapter]
) -> tuple[Adapter | None, tuple[str, ...]]:
    """What it starts from, found once: a mixture of ``experts`` where one helps."""
    said, place = folder / "start.json", folder / "start"
    if not said.exists():
        found = warm_start(adapted, experts, parts.taught[:_EXAMPLES]) if design.warm and experts else None
        if found is not None:
            with atomic_folder(place) as building:
                save_adapter(found.adapter, building)
        atomic_write_json(said, {"weights": dict(found.weights) if found else {}})
    weights = read_object(said, DataError, "the start of a growth run")["weights"]
    return (load_adapter(place), tuple(weights)) if weights else (None, ())
