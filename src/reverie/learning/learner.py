"""A learner: what it is told reaches memory at once, and an expert's weights in small steps that a guard lets through.

``Learner.learn`` reads top to bottom. Whatever ends it, the next call goes on from there: lessons lie in the notebook
before anything is made of them, memory takes a fact twice as once, and a step is taken whole or not at all.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from reverie.data import FactRow, Row
from reverie.errors import ConfigError, UsageError
from reverie.experts.contract import Adapter, check_name
from reverie.experts.library import Library
from reverie.experts.lowrank import LoraConfig
from reverie.files import alone
from reverie.learning.guard import Guard, Probe, packaged_probes
from reverie.learning.items import Bad, Item
from reverie.learning.notebook import Lesson, Notebook
from reverie.learning.steps import Outcome, Plan, StepConfig, begin_step, take_step, undo_step
from reverie.memory.memory import Memory
from reverie.memory.taught import taught_rows, teach
from reverie.progress import Progress, no_progress
from reverie.splits import share_of
from reverie.training.adapted import Adapted, documents_of

__all__ = ["Contradiction", "Learned", "Learner", "LearnerConfig"]

_KEPT_STEPS = 10  # whose beginnings stay, so that they can be undone
_LOCK = "learning.lock"


@dataclass(frozen=True)
class LearnerConfig:
    """How a learner learns."""

    expert: str = "lessons"  # whose weights learn what names no skill
    weights: bool = True  # False: memory alone
    chunk: int = 64  # most lessons of a step
    replay: int = 2000  # most lessons of an expert that are kept for replay
    replayed: int = 128  # most of them that a step draws from
    held: float = 0.1  # share of answered questions that are held back from the weights, to judge later steps by,
    held_from: int = 20  # where so many come together
    guarded: int = 64  # most lessons, of those that were learned, that a step is judged by
    warm: bool = True  # whether a new expert starts from a mixture of the nearest
    lora: LoraConfig = field(default_factory=LoraConfig)
    step: StepConfig = field(default_factory=StepConfig)

    def __post_init__(self) -> None:
        check_name(self.expert)
        if min(self.chunk, self.replay, self.held_from) < 1 or min(self.replayed, self.guarded) < 0:
            raise ConfigError("a learner's chunk, replay and held_from are at least 1, the others at least 0")
        if not 0 <= self.held < 1:
            raise ConfigError(f"the share that is held back lies in [0, 1), got {self.held}")


@dataclass(frozen=True)
class Contradiction:
    """Two lessons about one thing: the newer counts, the older stays in memory's history."""

    question: str
    older: str
    newer: str
    places: tuple[str, str]


@dataclass
class Learned:
    """What a call did: lessons ``read``, ``new`` and ``known`` before; what could not be read; what was settled; the
    steps of the weights; and the exit code of what ``stopped`` it before its end, 0 for nothing."""

    read: int = 0
    new: int = 0
    known: int = 0
    bad: list[Bad] = field(default_factory=list)
    contradictions: list[Contradiction] = field(default_factory=list)
    steps: list[Outcome] = field(default_factory=list)
    stopped: int = 0
    states: dict[str, int] = field(default_factory=dict)


class Learner:
    """Learns for one model.

    Args:
        bundle: the model's name or folder
        library: where its experts lie; the notebook and steps lie below its folder, in ``.learning``
        memory: what is told of every lesson
        probes: the user's own, judged beside those that come packaged
        on_note: hears, in a line each, of what is left out, settled, kept and rolled back
    """

    def __init__(
        self,
        bundle: str | Path,
        library: Library,
        memory: Memory,
        config: LearnerConfig | None = None,
        probes: Sequence[Probe] = (),
        on_note: Callable[[str], None] = lambda note: None,
        progress: Progress = no_progress,
    ):
        if library.folder is None:
            raise UsageError("a learner needs a library with a folder of its own")
        self.bundle, self.library, self.memory = bundle, library, memory
        self.config, self.probes, self._note, self._progress = config or LearnerConfig(), probes, on_note, progress
        self.place = library.folder / ".learning"
        self.notebook = Notebook(self.place / "notebook.db")

    def close(self) -> None:
        self.notebook.close()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While the block runs, nobody else learns for this library. Raises UsageError where somebody does."""
        with alone(self.place / _LOCK, f"somebody else is learning in {self.place}; wait until that is over"):
            yield

    def learn(self, stream: Iterable[Item | Bad], at_once: bool = False) -> Learned:
        """Go on with what was begun, then take in a stream: a chunk of it at a time, so that an endless one is heeded.
        ``at_once``: a lesson at a time, for one that comes slowly; weights learn when a chunk is together all the same.

        Raises MemoryStoreError, DataError, ExpertError, TrainingError and OSError; what was done by then stays.
        """
        with self.alone():
            told, call = Learned(), self.notebook.counter("calls") + 1
            self.notebook.count_up("calls", call)
            self._remember_all()
            self._train(told, going_on=True)
            for some in _chunks(stream, 1 if at_once else self.config.chunk):
                if told.stopped:
                    break
                self._take_in(some, told, call)
                self._train(told)
            if not told.stopped:
                self._train(told, last=True)
            told.states = self.notebook.count()
        return told

    # memory -----------------------------------------------------------------------------------------------------

    def _take_in(self, some: Sequence[Item | Bad], told: Learned, call: int) -> None:
        """Note every lesson, settle what contradicts, and tell memory."""
        singles = {mode.name.casefold() for mode in self.memory.store.relation_modes() if mode.one}
        for one in some:
            told.read += 1
            if isinstance(one, Bad):
                told.bad.append(one)
                self._note(f"left out {one.place}: {one.problem}")
                continue
            single = one.triplet is not None and one.triplet[1].casefold() in singles
            item = replace(one, single=single, skill=one.skill or self.config.expert)
            _, new, against = self.notebook.add(item, call)
            told.new, told.known = told.new + new, told.known + (not new)
            for older in against:
                told.contradictions.append(_contradiction(older, item))
                said = f"'{item.answer}' where {older.item.place} says '{older.item.answer}'"
                self._note(f"{item.place} says {said}: the newer counts")
        self._remember_all()

    def _remember_all(self) -> None:
        for lesson in self.notebook.untold():
            item = lesson.item
            rows = _rows(item)
            facts = teach(self.memory, rows) if item.triplet is None else self.memory.write(rows).edges.tolist()
            self.notebook.remembered(lesson.id, [int(fact) for fact in facts])

    def undo(self) -> list[Lesson]:
        """Take the last call back that learned something: its facts in memory, and its steps. What it replaced counts
        again. Raises UsageError where there is none."""
        with self.alone():
            for call in range(self.notebook.counter("calls"), 0, -1):
                if lessons := [one for one in self.notebook.of_call(call) if one.state != "undone"]:
                    break
            else:
                raise UsageError("nothing was learned that could be undone")
            for number in sorted({one.step for one in lessons if one.step}, reverse=True):
                place = self._step_place(number)
                if not (place / "plan.json").exists():
                    raise UsageError(f"step {number} is too long ago to be undone: forget facts with reverie memory")
                undo_step(place, self.library)
            facts = [fact for one in lessons for fact in one.remembered or ()]
            self.memory.store.delete_edges(facts)
            self.notebook.undo([one.id for one in lessons])
        return lessons

    # weights ----------------------------------------------------------------------------------------------------

    @cached_property
    def adapted(self) -> Adapted:
        """The base with changes; read when weights are to learn for the first time."""
        self._progress("reading the base", 0, 0)
        return Adapted(self.bundle, self.config.lora)

    @cached_property
    def guard(self) -> Guard:
        return Guard(self.adapted, {"probe": packaged_probes(self.adapted), "own_probe": self.probes})

    def _train(self, told: Learned, going_on: bool = False, last: bool = False) -> None:
        """Finish a step that was begun; then take steps for the skills that have a chunk together, all at the last."""
        number = self.notebook.counter("steps")
        if number > self.notebook.counter("settled"):
            self._step(number, told)
        while self.config.weights and not going_on and not told.stopped:
            due = [(skill, self.notebook.some(skill, "waiting", self.config.chunk)) for skill in self.notebook.skills()]
            ready = next(((skill, some) for skill, some in due if last or len(some) >= self.config.chunk), None)
            if ready is None:
                return
            number = self.notebook.counter("steps") + 1
            if self._plan(number, *ready):
                self._step(number, told)

    def _plan(self, number: int, skill: str, lessons: Sequence[Lesson]) -> bool:
        """Write the plan of a step down; False where there is nothing to train on."""
        fitting, held = self._parted(lessons)
        if held:
            self.notebook.settle([one.id for one in held], "held")
        if not fitting:
            return False
        learned = self.notebook.some(skill, "learned")
        chosen = [learned[int(at)] for at in np.random.default_rng([number, 5]).permutation(len(learned))]
        guarded = self.notebook.some(skill, "held")[-self.config.guarded :]
        start, parents = self._start(skill, fitting)
        plan = Plan(
            number,
            skill,
            tuple((one.id, one.item.question, one.item.answer) for one in fitting),
            tuple((one.id, one.item.question, one.item.answer, one.surprise) for one in chosen[: self.config.replayed]),
            tuple((one.item.question, one.item.answer) for one in (*chosen[: self.config.guarded], *guarded)),
            tuple(one.item.question for one in learned),
            parents,
        )
        begin_step(self._step_place(number), plan, self.library, start)
        self.notebook.count_up("steps", number)
        return True

    def _parted(self, lessons: Sequence[Lesson]) -> tuple[list[Lesson], list[Lesson]]:
        """Those to train on, and those that are held back; what is too long for the base is left to memory."""
        room = self.adapted.backbone.config.max_positions
        documents = documents_of(self.adapted.prompter, [(one.item.question, one.item.answer) for one in lessons])
        fitting = [one for one, (ids, _) in zip(lessons, documents, strict=True) if len(ids) <= min(room, 512)]
        if long := [one for one in lessons if one not in fitting]:
            self.notebook.settle([one.id for one in long], "told", why="too long for the weights")
            self._note(f"{len(long)} lessons are too long for the weights: memory alone has them")
        plain = [one for one in fitting if one.item.kind == "answer"]
        if len(plain) < self.config.held_from:
            return fitting, []
        held = [one for one in plain if share_of(one.item.key) < self.config.held]
        return [one for one in fitting if one not in held], held

    def _start(self, skill: str, lessons: Sequence[Lesson]) -> tuple[Adapter | None, tuple[str, ...]]:
        """What a new expert starts from: a mixture of those there are, where one helps."""
        from reverie.training.warm import warm_start

        if skill in self.library or not self.config.warm:
            return None, ()
        examples = [(one.item.question, one.item.answer) for one in lessons[:16]]
        experts = {name: self.library.adapter(name) for name in self.library.names()}
        found = warm_start(self.adapted, experts, examples)
        self.adapted.put(None)
        if found is None:
            return None, ()
        self._note(f"'{skill}' starts from {', '.join(f'{share:.2f} {name}' for name, share in found.weights.items())}")
        return found.adapter, tuple(found.weights)

    def _step(self, number: int, told: Learned) -> None:
        outcome = take_step(self._step_place(number), self.guard, self.library, self.config.step, self._progress)
        if isinstance(outcome, int):
            told.stopped = outcome
            return
        told.steps.append(outcome)
        self._settle(outcome)
        fell = f"rolled back, the expert is as it was: {outcome.why}"
        self._note(
            f"step {number}, {outcome.lessons} lessons of '{outcome.expert}': {'kept' if outcome.kept else fell}"
        )

    def _settle(self, outcome: Outcome) -> None:
        """Note what became of the lessons of a step; doing so twice is as once."""
        number, ids = outcome.number, [*map(int, outcome.surprises)]
        self.notebook.settle(ids[: outcome.lessons], "learned" if outcome.kept else "refused", number, outcome.why)
        if outcome.kept:
            self.notebook.surprised({int(one): nats for one, nats in outcome.surprises.items()})
            self.notebook.bound(outcome.expert, self.config.replay)
        for old in range(max(number - 2 * _KEPT_STEPS, 1), number - _KEPT_STEPS + 1):
            shutil.rmtree(self._step_place(old), ignore_errors=True)
        self.notebook.count_up("settled", number)

    def _step_place(self, number: int) -> Path:
        return self.place / f"step-{number:06d}"


def _chunks(stream: Iterable[Item | Bad], size: int) -> Iterator[list[Item | Bad]]:
    items = iter(stream)
    while some := list(itertools.islice(items, size)):
        yield some


def _rows(item: Item) -> list[Row]:
    """What memory is told."""
    about = f"learned: {item.place}"
    if item.triplet is None:
        return taught_rows(item.question, item.answer, item.wrong, item.source, item.confidence, about)
    return [FactRow(*item.triplet, source=item.source, confidence=item.confidence, origin=about)]


def _contradiction(older: Lesson, newer: Item) -> Contradiction:
    return Contradiction(newer.question, older.item.answer, newer.answer, (older.item.place, newer.place))
