"""A step of an expert's weights: from a plan that lies on disk, by the one loop, judged, and taken whole or not at all.

``step-000007/``
    plan.json       what is learned, what is replayed, from the notebook as it stood: written first
    start/          the expert as it was, or the mixture that a new one starts from; absent where it starts as nothing
    before.json     how the guard judged that
    run/            the loop's run folder, gone once the step is over
    outcome.json    what came of it: a step that has one is over

A process that is killed anywhere is followed by one that goes on from the newest of these files. The expert in the
library is replaced only by one that the guard let through, so that it is always the last good one.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from reverie.errors import ConfigError, DataError
from reverie.experts.contract import Adapter, ExpertCard
from reverie.experts.files import load_adapter, save_adapter
from reverie.experts.library import Library
from reverie.experts.prototypes import PROTOTYPE_FILE, load_prototype, save_prototype
from reverie.files import atomic_folder, atomic_write_json
from reverie.jsonio import read_object
from reverie.learning.guard import Guard, Judgement, Probe, prototype_of
from reverie.progress import Progress, no_progress
from reverie.training.consolidation import FISHER_FILE, load_fisher
from reverie.training.continual import ContinualData, ContinualObjective, Replayed
from reverie.training.loop import train
from reverie.training.settings import LoopConfig

__all__ = ["Outcome", "Plan", "StepConfig", "begin_step", "take_step", "undo_step"]


@dataclass(frozen=True)
class StepConfig:
    """How large a step is."""

    lr: float = 1e-3  # peak learning rate
    passes: int = 20  # how often each new lesson is drawn, where it is not known yet
    min_steps: int = 20  # optimizer steps at least,
    max_steps: int = 200  # and at most
    tries: tuple[float, ...] = (1.0, 0.3)  # shares of the learning rate that are tried until the guard is content
    margin: float = 0.01  # by which a set of probes may fall
    checkpoint_every: int = 10  # optimizer steps
    data: ContinualData = field(default_factory=ContinualData)

    def __post_init__(self) -> None:
        if not (0 < self.lr < math.inf and 1 <= self.min_steps <= self.max_steps and self.passes >= 1):
            raise ConfigError("a step needs lr above 0, passes of at least 1 and min_steps of 1 to max_steps")
        if not 0 <= self.margin <= 1 or not self.tries or min(self.tries) <= 0:
            raise ConfigError(f"the margin lies between 0 and 1, got {self.margin}; tries are shares above 0")

    def loop(self, num_new: int, replays: bool, share: float, seed: int) -> LoopConfig:
        fresh = max(self.data.batch_size - round(self.data.replay_share * self.data.batch_size * replays), 1)
        steps = min(max(math.ceil(self.passes * num_new / fresh), self.min_steps), self.max_steps)
        return LoopConfig(
            steps=steps,
            lr=self.lr * share,
            weight_decay=0.0,
            warmup_steps=min(5, steps),
            eval_every=0,
            checkpoint_every=self.checkpoint_every,
            log_every=10,
            tensorboard=False,
            seed=seed,
        )


@dataclass(frozen=True)
class Plan:
    """What a step does. Lessons are (id in the notebook, question, answer), replayed ones with their surprise."""

    number: int
    expert: str
    new: tuple[tuple[int, str, str], ...]
    old: tuple[tuple[int, str, str, float], ...] = ()
    guarded: tuple[tuple[str, str], ...] = ()  # questions with answers that must stay known
    known: tuple[str, ...] = ()  # questions of all earlier lessons, for the prototype
    parents: tuple[str, ...] = ()  # experts that a new one starts as a mixture of

    @property
    def questions(self) -> list[str]:
        return [*(one[1] for one in self.new), *self.known]

    @property
    def probes(self) -> dict[str, list[Probe]]:
        return {"earlier_lessons": [Probe(*one) for one in self.guarded]}


@dataclass(frozen=True)
class Outcome:
    """What came of a step. ``kept``: whether the expert is another now; ``why`` not."""

    number: int
    expert: str
    kept: bool
    why: str
    lessons: int
    before: dict[str, float]
    after: dict[str, float]
    loss: float = 0.0  # nats an id of the new lessons, after it
    exact: float = 0.0  # share of them whose answer is the likeliest, id for id
    let_in: dict[str, int] = field(default_factory=dict)  # of each set, the probes that the expert answers itself
    share: float = 1.0  # of the learning rate, at which it was taken
    surprises: dict[str, float] = field(default_factory=dict)  # nats an id of each lesson after it, the new ones first


def begin_step(place: Path, plan: Plan, library: Library, start: Adapter | None) -> None:
    """Write down what is to be done, and the expert as it is: ``start`` where it is new, None for nothing."""
    if place.exists():  # begun before, and not even planned
        shutil.rmtree(place)
    if plan.expert in library:
        with atomic_folder(place / "start") as folder:
            shutil.copytree(library.folder_of(plan.expert), folder, dirs_exist_ok=True)
    elif start is not None:
        with atomic_folder(place / "start") as folder:
            save_adapter(start, folder)
    atomic_write_json(place / "plan.json", asdict(plan))


def take_step(
    place: Path, guard: Guard, library: Library, config: StepConfig, progress: Progress = no_progress
) -> Outcome | int:
    """Do what the plan in ``place`` says, or what is left of it; an exit code where it was stopped before its end.

    Raises TrainingError, ExpertError, and OSError where the disk refuses; the library is as it was then.
    """
    plan = _read_plan(place)
    if (place / "outcome.json").exists():
        return _read_outcome(place)
    start = load_adapter(place / "start") if (place / "start").exists() else None
    before = _judged_before(place, plan, guard, start, progress)
    outcome: Outcome | None = None
    for number, share in enumerate(config.tries):
        run = place / f"run-{number}"
        tried = _try(run, plan, start, before, guard, replace(config, tries=(share,)), progress, library.base)
        if isinstance(tried, int):
            return tried
        outcome = tried
        if outcome.kept:
            _publish(run / "export", plan, guard, library, outcome)
            break
    assert outcome is not None
    atomic_write_json(place / "outcome.json", asdict(outcome))
    for run in place.glob("run-*"):
        shutil.rmtree(run)
    return outcome


def _try(
    run: Path,
    plan: Plan,
    start: Adapter | None,
    before: Judgement,
    guard: Guard,
    config: StepConfig,
    progress: Progress,
    base: str,
) -> Outcome | int:
    """Train and judge, at the only one of ``config.tries``; an exit code where training was stopped."""
    adapted, place = guard.adapted, run.parent
    adapted.put(start)
    data = replace(config.data, seed=plan.number)
    fisher = load_fisher(place / "start" / FISHER_FILE) if (place / "start").exists() else None
    old = [Replayed(*one[1:]) for one in plan.old]
    objective = ContinualObjective(adapted, [one[1:] for one in plan.new], old, fisher, data)
    unknown = adapted.judge(objective.new)[2].count(False) if start is not None else len(plan.new)
    if unknown:
        loop = config.loop(unknown, bool(old), config.tries[0], plan.number)
        if (result := train(objective, loop, run, progress)).stopped != "done":
            return result.exit_code or 1
    else:  # a mixture that says all of them is only made worse by steps on a few
        objective.export(run / "export")
    progress("judging", 0, 0)
    candidate = load_adapter(run / "export")  # as it is written, and will be read
    prototype = prototype_of(guard, plan.questions)
    save_prototype(prototype, run / "export", base)
    after = guard.judge(candidate, prototype, plan.probes)
    adapted.put(candidate)
    nats, counts, exact = adapted.judge([*objective.new, *objective.old])
    why, count = after.fallen(before, config.margin), len(plan.new)
    numbers = [str(one[0]) for one in (*plan.new, *plan.old)]
    return Outcome(
        *(plan.number, plan.expert, not why, why, count, before.accuracy, after.accuracy),
        loss=sum(nats[:count]) / sum(counts[:count]),
        exact=sum(exact[:count]) / count,
        let_in=after.let_in,
        share=config.tries[0],
        surprises=dict(zip(numbers, [one / number for one, number in zip(nats, counts, strict=True)], strict=True)),
    )


def _publish(export: Path, plan: Plan, guard: Guard, library: Library, outcome: Outcome) -> None:
    extra = {name: export / name for name in (FISHER_FILE, PROTOTYPE_FILE) if (export / name).exists()}
    learned = len(set(plan.questions))
    card = ExpertCard(
        plan.expert,
        plan.expert,
        f"learned {learned} lessons from a stream",
        data_size=learned,
        parents=plan.parents,
        before=outcome.before,
        after=outcome.after,
        notes=f"step {plan.number}",
    )
    library.create(card, load_adapter(export), extra, over=True)


def undo_step(place: Path, library: Library) -> None:
    """Put the expert back that a step began with."""
    plan, start = _read_plan(place), place / "start"
    if plan.expert not in library:
        return
    if not (start / "card.json").exists():
        library.remove(plan.expert)
        return
    extra = {name: start / name for name in (FISHER_FILE, PROTOTYPE_FILE) if (start / name).exists()}
    card = ExpertCard.from_json(read_object(start / "card.json", DataError, "the card of an expert"))
    library.create(card, load_adapter(start), extra, over=True)


def _judged_before(place: Path, plan: Plan, guard: Guard, start: Adapter | None, progress: Progress) -> Judgement:
    """How the expert that the step begins with was judged; a mixture as nothing, since nobody is answered by it yet."""
    path = place / "before.json"
    if not path.exists():
        progress("judging", 0, 0)
        is_expert = (place / "start" / "card.json").exists()
        prototype = load_prototype(place / "start") if is_expert else None
        atomic_write_json(path, asdict(guard.judge(start if is_expert else None, prototype, plan.probes)))
    return Judgement(**read_object(path, DataError, "a judgement"))


def _read_plan(place: Path) -> Plan:
    said: dict[str, Any] = read_object(place / "plan.json", DataError, "the plan of a step")
    lessons: dict[str, Sequence[Any]] = {name: tuple(map(tuple, said[name])) for name in ("new", "old", "guarded")}
    return Plan(**said | lessons | {name: tuple(said[name]) for name in ("parents", "known")})


def _read_outcome(place: Path) -> Outcome:
    return Outcome(**read_object(place / "outcome.json", DataError, "the outcome of a step"))
