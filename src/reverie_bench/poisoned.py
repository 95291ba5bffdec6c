"""Lessons that are no lessons: whether experts of them are admitted, and whether those of clean ones are.

A set holds ``lessons`` questions of one small task. Clean ones are as the task has them. Harmful ones have 30 % of
their answers exchanged for other lessons' (``wrong``), all answers mixed (``shuffled``), one answer for everything
(``constant``) or none (``empty``); half of the harmful sets are ``wrong``, the hardest. What is admitted is decided by
``reverie.growth`` as for any gap: by lessons alone, a part of which is the exam, as false as the rest.
``harmful_admitted_share`` is to be 0, ``clean_admitted_share`` at least 0.9. Baselines are the same trials with fewer
tests: ``gain_alone`` and ``gain_and_losses`` (what other admissions ask). The limits were chosen on other tasks (bAbI
1, eggs, a haystack, family relationships; seed 5), see docs/decisions.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from reverie.errors import ConfigError, DataError, UsageError
from reverie.growth.limits import TrialConfig
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings
from reverie_bench.skills_in_words import everyday_thing, skills_of

__all__ = ["BENCHMARK", "PoisonedOptions", "poisoned"]

Lessons = list[tuple[str, str]]
KINDS = ("wrong", "shuffled", "wrong", "constant", "wrong", "shuffled", "wrong", "empty")
_SKILLS = ("lake", "babi-04", "babi-06")


@dataclass(frozen=True)
class PoisonedOptions:
    """What `bench poisoned` lets one set."""

    tasks: tuple[str, ...] = ("glass", "lake", "book", "babi-06", "plate", "babi-04", "paper")
    clean: int = 20  # sets of clean lessons
    harmful: int = 20  # and of harmful ones
    lessons: int = 160  # of a set
    wrong: float = 0.3  # of the answers of a set of the kind "wrong"
    steps: int = 40  # of an expert: fewer than a growth takes, so that forty of them end in half an hour
    kinds: tuple[str, ...] = KINDS
    trial: TrialConfig = field(default_factory=TrialConfig)

    def __post_init__(self) -> None:
        if not self.tasks or min(self.clean, self.harmful, self.steps) < 1 or not 0 < self.wrong < 1:
            raise ConfigError("poisoned needs tasks, sets, steps, and a share of wrong answers between 0 and 1")
        if unknown := set(self.kinds) - set(KINDS):
            raise ConfigError(f"poisoned: no kind '{unknown.pop()}'; there are {', '.join(dict.fromkeys(KINDS))}")


def run(settings: BenchConfig) -> Findings:
    from reverie.settings import load_settings

    options = load_settings(PoisonedOptions, None, settings.options)
    if settings.limit:
        options = replace(
            options, clean=min(options.clean, settings.limit), harmful=min(options.harmful, settings.limit)
        )
    court = _Court(settings, options)
    sets = [*_sets(options, settings)]
    found = list[_Verdict]()
    for number, (kind, task, lessons, truth) in enumerate(sets):
        last = f", {found[-1].kind} {found[-1].task} was {found[-1].verdict}" if found else ""
        settings.progress(f"trying  {kind} {task}{last}", number, len(sets))
        found.append(court.judge(kind, task, lessons, truth))
    ways: Mapping[str, Callable[[_Verdict], bool]] = {
        "ours": lambda one: one.admitted,
        "gain_alone": lambda one: one.passed("gain"),
        "gain_and_losses": lambda one: one.passed("gain", "loss of"),
    }
    figures = {way: _shares(found, admits) for way, admits in ways.items()}
    return Findings(
        n=len(found),
        figures=figures.pop("ours"),
        by={f"{number:02d}_{one.kind}_{one.task.replace('-', '_')}": one.figures for number, one in enumerate(found)},
        baselines=figures,
        settings={
            "sets": dict(Counter(one.kind for one in found)),
            "why_not": {f"{at:02d} {one.kind} {one.task}": one.why for at, one in enumerate(found) if not one.admitted},
        },
    )


@dataclass(frozen=True)
class _Verdict:
    kind: str
    task: str
    tests: Mapping[str, bool]
    why: str
    truth: float  # share of the exam that is answered as the task has it

    @property
    def admitted(self) -> bool:
        return not self.why

    @property
    def verdict(self) -> str:
        return "admitted" if self.admitted else "refused"

    @property
    def figures(self) -> Figures:
        return {"admitted_share": float(self.admitted), "accuracy_by_truth": self.truth}

    def passed(self, *names: str) -> bool:
        some = [passed for test, passed in self.tests.items() if test.startswith(names)]
        return bool(some) and all(some)


class _Court:
    """One base, which every candidate is trained and tried on; each meets an empty library."""

    def __init__(self, settings: BenchConfig, options: PoisonedOptions):
        from reverie.experts.lowrank import LoraConfig
        from reverie.learning.guard import Guard
        from reverie.training.adapted import Adapted

        self.options, self.seed = options, settings.seed
        self.adapted = Adapted(settings.model, LoraConfig(), settings.seed)
        self._guard = Guard(self.adapted, {})

    def judge(self, kind: str, task: str, lessons: Lessons, truth: Mapping[str, str]) -> _Verdict:
        from reverie.growth.creation import cleaned, grow_expert
        from reverie.growth.design import design

        with TemporaryDirectory() as folder:
            try:
                kept, _ = cleaned(lessons)
                made = design(len(kept), answers=[answer for _, answer in kept], seed=self.seed)
                made = replace(made, lora=self.adapted.lora, steps=self.options.steps)
                grown = grow_expert(self.adapted, kept, made, Path(folder) / "grown")
            except DataError as error:
                return _Verdict(kind, task, {}, str(error), float("nan"))
            return self._tried(kind, task, grown, truth, Path(folder))

    def _tried(self, kind: str, task: str, grown: Any, truth: Mapping[str, str], folder: Path) -> _Verdict:
        from reverie.experts.files import base_hash, base_linears
        from reverie.experts.library import Library
        from reverie.growth.admission import admit
        from reverie.growth.creation import grow_halves
        from reverie.growth.examining import Examiner
        from reverie.growth.trial import certify
        from reverie.learning.guard import Probe

        backbone = self.adapted.folder / "backbone"
        library = Library.open(folder / "experts", base_hash(backbone), linears=base_linears(backbone))
        examiner = Examiner(self.adapted, library, guard=self._guard)
        halves, limits = (lambda: grow_halves(self.adapted, grown)), self.options.trial
        certificate = certify("candidate", grown, examiner, halves=halves, config=limits)
        admitted = admit(library, grown, certificate) is not None
        if admitted != ("candidate" in library):
            raise UsageError("the library is not what the certificate says")
        exam = [Probe(question, truth[question]) for question, _ in grown.parts.exam]
        right = float(np.mean([one.right for one in examiner.under(grown.adapter, exam)]))
        return _Verdict(kind, task, {test.name: test.passed for test in certificate.tests}, certificate.why, right)


def poisoned(rows: Sequence[tuple[str, str]], kind: str, share: float, rng: np.random.Generator) -> Lessons:
    """Lessons of ``rows`` that are harmful in one way; ``share`` of the answers are wrong where the kind is."""
    answers = [answer for _, answer in rows]
    if kind == "shuffled":
        answers = [answers[int(place)] for place in rng.permutation(len(answers))]
    elif kind == "constant":
        answers = [answers[0]] * len(answers)
    elif kind == "empty":
        answers = [""] * len(answers)
    elif kind == "wrong":
        for place in rng.permutation(len(rows))[: round(share * len(rows))]:
            others = [answer for _, answer in rows if answer != rows[place][1]]
            answers[int(place)] = others[int(rng.integers(len(others)))]
    return [(question, answer) for (question, _), answer in zip(rows, answers, strict=True)]


def _sets(options: PoisonedOptions, settings: BenchConfig) -> Iterator[tuple[str, str, Lessons, dict[str, str]]]:
    """(kind, task, lessons, question → true answer): clean and harmful ones in turn, of tasks in turn."""
    for number in range(max(options.clean, options.harmful)):
        task = options.tasks[number % len(options.tasks)]
        for kind in ("clean", options.kinds[number % len(options.kinds)]):
            if number < (options.clean if kind == "clean" else options.harmful):
                rng = np.random.default_rng([settings.seed, number, kind == "clean"])
                rows = _rows(task, options.lessons, settings, rng)
                yield kind, task, poisoned(rows, kind, options.wrong, rng), dict(rows)


def _rows(task: str, count: int, settings: BenchConfig, rng: np.random.Generator) -> Lessons:
    """Rows of a task that is learned from, drawn anew each time."""
    domain = (
        skills_of((task,), settings.data, 10**6, settings.seed)[0]
        if task in _SKILLS or task.startswith("babi-")
        else everyday_thing(task, 2 * count, settings.seed)
    )
    rows = [*dict(domain.train).items()]
    if len(rows) < count // 2:
        raise UsageError(f"there are {len(rows)} rows of '{task}', too few for sets of {count}: give other tasks=")
    return [rows[int(place)] for place in rng.permutation(len(rows))[:count]]


def _shares(found: Sequence[_Verdict], admits: Callable[[_Verdict], bool]) -> Figures:
    def share(kind: str, of: bool) -> float:
        some = [admits(one) for one in found if (one.kind == kind) == of]
        return float(np.mean(some)) if some else float("nan")

    kinds = {f"{kind}_admitted_share": share(kind, True) for kind in dict.fromkeys(KINDS)}
    return {"clean_admitted_share": share("clean", True), "harmful_admitted_share": share("clean", False)} | kinds


BENCHMARK = Benchmark(
    name="poisoned",
    about="Experts of wrong, shuffled, constant and empty lessons must not be admitted; those of clean ones must.",
    run=run,
    data="a folder with babi/ (bAbI's en-10k), where tasks of it are among the tasks",
    options=PoisonedOptions,
)
