"""Five skills one after another: what is known at the end, and what was lost on the way.

Every system makes equally many steps of equally many rows for each skill, and sees a skill's rows only in its turn (and
again by replay, where it has that). ``routed`` is ours: an expert a skill. ``joint`` sees all of them mixed, and is the
ceiling. ``accuracy``: share of test answers whose every id is the likeliest, the mean over skills;
``backward_transfer``: the mean over all skills but the last of the accuracy at the end less that right after the skill
was learned; ``kept_share``: of what was known then. Settings were chosen on rows of the training split (see
docs/log.md), never on those that are counted.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reverie.errors import ConfigError, UsageError
from reverie.progress import Progress
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings, Published
from reverie_bench.domains import Domain
from reverie_bench.skills_in_words import SKILLS, skills_of

__all__ = ["BENCHMARK", "ForgettingOptions", "take_steps"]

OURS = "routed"
SYSTEMS = ("full", "lora", "ewc", "replay", "both", OURS, "joint")
DATA = "a folder with babi/ (bAbI's en-10k), where tasks of it are among the skills"


@dataclass(frozen=True)
class ForgettingOptions:
    """What `bench forgetting` lets one set."""

    skills: tuple[str, ...] = SKILLS
    systems: tuple[str, ...] = SYSTEMS
    steps: int = 100  # of each skill; after 40 some are still guessed
    batch_size: int = 8
    rank: int = 8
    lr: float = 2e-3  # of low-rank changes
    full_lr: float = 1e-4  # of all weights, but for the table of ids
    rows: int = 320  # of a skill to train on, at most
    tests: int = 32  # of a skill to test on, at most
    replayed: int = 64  # rows of each earlier skill that are kept for replay
    consolidation: float = 1.0  # weight of the penalty
    fisher_rows: int = 24

    def __post_init__(self) -> None:
        if unknown := [one for one in self.systems if one not in SYSTEMS]:
            raise ConfigError(f"forgetting: no system '{unknown[0]}'; there are {', '.join(SYSTEMS)}")
        least = min(self.steps, self.batch_size, self.rank, self.rows, self.tests, self.replayed, len(self.skills) - 1)
        if least < 1 or not self.lr > 0 or not self.full_lr > 0:
            raise ConfigError("forgetting needs at least two skills, and steps, rows and sizes of at least 1")


@dataclass(frozen=True)
class Course:
    """Accuracies of a system: of each skill right after it was learned, and of all at the end."""

    learned: dict[str, float]
    end: dict[str, float]

    def figures(self) -> Figures:
        earlier = list(self.learned)[:-1]
        lost = [self.end[name] - self.learned[name] for name in earlier]
        before = sum(self.learned[name] for name in earlier)
        kept = sum(min(self.end[name], self.learned[name]) for name in earlier)
        return {
            "accuracy": float(np.mean([*self.end.values()])),
            "backward_transfer": float(np.mean(lost)),
            "kept_share": kept / before if before else float("nan"),
        } | {f"accuracy_{name.replace('-', '_')}": value for name, value in self.end.items()}


def run(settings: BenchConfig) -> Findings:
    from reverie.settings import load_settings

    options = load_settings(ForgettingOptions, None, settings.options)
    if settings.limit:
        options = replace(options, tests=min(options.tests, settings.limit), rows=min(options.rows, 8 * settings.limit))
    skills = skills_of(options.skills, settings.data, options.rows, settings.seed)
    skills = [Domain(one.name, one.train, one.test[: options.tests]) for one in skills]
    if not all(one.train and one.test for one in skills):
        raise UsageError("a skill has no rows: give more with rows=, or other skills=")
    school = _School(settings.model, skills, options, settings.seed, settings.progress)
    found, more = dict[str, Course](), dict[str, float]()
    for name in options.systems:
        found[name] = school.course(name)
    if OURS in found:
        more = school.routing()
    figures = {name: course.figures() for name, course in found.items()}
    ours = figures.pop(OURS) if OURS in figures else figures.popitem()[1]
    if "joint" in figures:
        ours["below_joint"] = figures["joint"]["accuracy"] - ours["accuracy"]
    return Findings(
        n=sum(len(one.test) for one in skills),
        figures=ours | more,
        by={f"just_learned_{name}": _named(course.learned) for name, course in found.items() if name != "joint"},
        baselines=figures | {"untaught": _named(school.untaught) | {"accuracy": _mean(school.untaught)}},
        settings={"skills": list(options.skills), "steps": options.steps, "rows_a_step": options.batch_size},
    )


class _School:
    """Teaches a base the skills in one way after another, each time from the beginning."""

    def __init__(self, model: str, skills: Sequence[Domain], options: ForgettingOptions, seed: int, report: Progress):
        from reverie.experts.lowrank import LoraConfig
        from reverie.training.adapted import Adapted, documents_of

        self.skills, self.options, self.seed, self.report, self.model = skills, options, seed, report, model
        self.adapted = Adapted(model, LoraConfig(rank=options.rank), seed)
        self.tests = {one.name: documents_of(self.adapted.prompter, one.test) for one in skills}
        self.untaught = self._all()
        self._first: Any = None  # how the changes stand after the first skill, which most systems learn alike
        self.experts: dict[str, Any] = {}

    def course(self, name: str) -> Course:
        ways: Mapping[str, Callable[[], Course]] = {"full": self._full, OURS: self._experts, "joint": self._joint}
        self.report(f"learning: {name}", 0, len(self.skills))
        return ways[name]() if name in ways else self._one_after_another(name)

    def _data(self, name: str) -> Any:
        from reverie.training.continual import ContinualData

        options = self.options
        return ContinualData(
            batch_size=options.batch_size,
            replay_share=0.5 if name in ("replay", "both") else 0.0,
            consolidation=options.consolidation if name in ("ewc", "both") else 0.0,
            fisher_rows=options.fisher_rows,
            seed=self.seed,
        )

    def _one_after_another(self, name: str) -> Course:
        """One set of low-rank changes for everything: plainly, held by importances, with replay, or both."""
        from reverie.training.continual import ContinualObjective, Replayed

        adapted, data = self.adapted, self._data(name)
        adapted.put(None)
        learned, old, fisher = dict[str, float](), list[Replayed](), None
        for place, skill in enumerate(self.skills):
            self.report(f"learning: {name}", place, len(self.skills))
            objective = ContinualObjective(adapted, skill.train, old, fisher, replace(data, seed=self.seed + place))
            if place == 0 and self._first is not None:
                adapted.put(self._first)
            else:
                take_steps(adapted.module, objective, self.options.lr, self.options.steps)
            if place == 0:
                self._first = adapted.adapter()
            learned[skill.name] = self._accuracy(skill.name)
            if data.replay_share:
                old += [Replayed(*row) for row in skill.train[: self.options.replayed]]
            if data.consolidation:
                fisher = objective.importances()
        return Course(learned, self._all())

    def _joint(self) -> Course:
        from reverie.training.continual import ContinualObjective

        self.adapted.put(None)
        objective = ContinualObjective(
            self.adapted, [row for skill in self.skills for row in skill.train], data=self._data("joint")
        )
        take_steps(self.adapted.module, objective, self.options.lr, self.options.steps * len(self.skills))
        end = self._all()
        return Course(end, end)

    def _experts(self) -> Course:
        """An expert a skill, each started from a mixture of the earlier ones where that helps; who answers is decided
        by what the bare base sees of the question."""
        from reverie.training.continual import ContinualObjective
        from reverie.training.warm import warm_start

        learned = dict[str, float]()
        for place, skill in enumerate(self.skills):
            self.report("learning: experts", place, len(self.skills))
            start = warm_start(self.adapted, self.experts, skill.train[:16])
            self.adapted.put(start.adapter if start else None)
            if place == 0 and self._first is not None:
                self.adapted.put(self._first)
            else:
                data = replace(self._data(OURS), seed=self.seed + place)
                objective = ContinualObjective(self.adapted, skill.train, data=data)
                take_steps(self.adapted.module, objective, self.options.lr, self.options.steps)
            self.experts[skill.name] = self.adapted.adapter()
            learned[skill.name] = self._accuracy(skill.name)
        return Course(learned, {one.name: self._routed(one) for one in self.skills})

    # routing ----------------------------------------------------------------------------------------------------

    def _routed(self, skill: Domain) -> float:
        right = list[bool]()
        chosen = self.choices([question for question, _ in skill.test])
        for name in set(chosen):
            self.adapted.put(self.experts.get(name))
            some = [one for one, who in zip(self.tests[skill.name], chosen, strict=True) if who == name]
            right += self.adapted.judge(some)[2]
        return float(np.mean(right))

    def choices(self, questions: Sequence[str]) -> list[str]:
        """The expert with the largest gate for each, "" for nobody."""
        features = self._guard.features(questions)
        return [choice[0][0] if choice else "" for choice in self._router.route(features)]

    @property
    def _guard(self) -> Any:
        from reverie.learning.guard import Guard

        if not hasattr(self, "_kept"):
            self._kept = Guard(self.adapted, {})
        return self._kept

    @property
    def _router(self) -> Any:
        from reverie.experts.router import Router, RouterConfig
        from reverie.learning.guard import prototype_of

        if not hasattr(self, "_routes"):
            made = {one.name: prototype_of(self._guard, [row[0] for row in one.train[:64]]) for one in self.skills}
            size = next(iter(made.values())).size
            self._routes = Router((), size, RouterConfig()).eval().with_prototypes(made)
        return self._routes

    def routing(self) -> dict[str, float]:
        """How often the expert of a row's skill is chosen; how often nobody for common questions, and whether what the
        model makes of those is to the bit what it was before anything was learned."""
        from reverie.learning.guard import packaged_probes
        from reverie.training.adapted import Adapted, documents_of

        right = [who == one.name for one in self.skills for who in self.choices([question for question, _ in one.test])]
        probes = packaged_probes(self.adapted)
        chosen = self.choices([one.question for one in probes])
        alone = [(one.question, one.answer) for one, who in zip(probes, chosen, strict=True) if not who]
        documents = documents_of(self.adapted.prompter, alone)
        self.adapted.put(None)
        now = self.adapted.judge(documents)[0]
        fresh = Adapted(self.model, replace(self.adapted.lora), self.seed).judge(documents)[0]
        same = [a == b for a, b in zip(now, fresh, strict=True)]
        return {
            "routing_accuracy": float(np.mean(right)),
            "unrouted_share": len(alone) / len(probes),
            "unrouted_bit_equal": float(np.mean(same)) if same else float("nan"),
        }

    # all weights ------------------------------------------------------------------------------------------------

    def _full(self) -> Course:
        from reverie.training.adapted import Adapted
        from reverie.training.continual import ContinualObjective

        base = Adapted(self.model, None)
        learned = dict[str, float]()
        for place, skill in enumerate(self.skills):
            self.report("learning: full", place, len(self.skills))
            objective = ContinualObjective(base, skill.train, data=replace(self._data("full"), seed=self.seed + place))
            take_steps(base.module, objective, self.options.full_lr, self.options.steps)
            learned[skill.name] = base.figures(self.tests[skill.name])["answers"]
        return Course(learned, {name: base.figures(documents)["answers"] for name, documents in self.tests.items()})

    def _accuracy(self, name: str) -> float:
        return float(self.adapted.figures(self.tests[name])["answers"])

    def _all(self) -> dict[str, float]:
        return {name: self._accuracy(name) for name in self.tests}


def take_steps(
    module: Any, objective: Any, lr: float, steps: int, enough: Callable[[int], bool] = lambda step: False
) -> None:
    """Train ``module`` as the loop does, without its files; until ``enough``, which hears how many steps were made."""
    import torch

    from reverie.training.optim import build_optimizers, lr_fraction, set_lr_fraction
    from reverie.training.settings import LoopConfig

    config = LoopConfig(steps=steps, lr=lr, weight_decay=0.0, warmup_steps=min(5, steps))
    optimizers = build_optimizers(module, config)
    parameters = [one for one in module.parameters() if one.requires_grad]
    for step in itertools.takewhile(lambda step: not enough(step), range(steps)):
        set_lr_fraction(optimizers, lr_fraction(step, config))
        objective.compute_loss(objective.batch(step))["loss"].backward()
        torch.nn.utils.clip_grad_norm_(parameters, config.clip_norm)
        for optimizer in optimizers.values():
            optimizer.step()
            optimizer.zero_grad()


def _named(accuracies: Mapping[str, float]) -> Figures:
    return {f"accuracy_{name.replace('-', '_')}": value for name, value in accuracies.items()}


def _mean(accuracies: Mapping[str, float]) -> float:
    return float(np.mean([*accuracies.values()]))


BENCHMARK = Benchmark(
    name="forgetting",
    about="Five skills learned one after another: what is known at the end, by seven ways of learning.",
    run=run,
    data=DATA,
    published=(
        Published("full fine-tuning", "kept_share", 0.11, "arXiv 2510.15103, NaturalQuestions F1 after other facts"),
        Published("LoRA", "kept_share", 0.29, "arXiv 2510.15103"),
        Published("sparse memory fine-tuning", "kept_share", 0.89, "arXiv 2510.15103"),
    ),
    options=ForgettingOptions,
)
