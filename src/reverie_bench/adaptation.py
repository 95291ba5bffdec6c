"""How many examples a new expert needs: one that starts from a mixture of those there are, beside one that starts cold.

An expert a thing learns in what condition it is after what was done to it. Then a new thing comes, with a few examples,
in which every answer comes in turn. Both learners see the same ones. The warm one makes steps on them until it says all
of them, as ``learning.steps`` does; the cold one, too, and once more with all ``steps``: the better of the two counts.
``examples_warm`` and ``examples_cold``: the fewest of ``sizes`` from which on 90 % of unseen questions are answered
right, the mean over answers, since most things mostly stay whole; where none suffices, twice the most. The figure is
the mean over things. The rule was found on a stone, which is none of these things.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reverie.errors import ConfigError, UsageError
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings
from reverie_bench.domains import Domain
from reverie_bench.forgetting import take_steps
from reverie_bench.skills_in_words import everyday_thing

__all__ = ["BENCHMARK", "AdaptationOptions"]


_WAYS = ("warm", "cold", "cold_all")  # from a mixture; cold, until all is said; cold, with all steps
_LOOKS = 5  # steps between two looks at what is known


@dataclass(frozen=True)
class AdaptationOptions:
    """What `bench adaptation` lets one set."""

    taught: tuple[str, ...] = ("glass", "book", "chocolate", "egg")
    new: tuple[str, ...] = ("plate", "paper")
    sizes: tuple[int, ...] = (2, 4, 8, 16, 32, 64)
    wanted: float = 0.9
    questions: int = 180  # about a thing
    taught_steps: int = 60  # of an expert that is there already
    steps: int = 20  # of a new one, at most
    batch_size: int = 8
    rank: int = 8
    lr: float = 2e-3

    def __post_init__(self) -> None:
        if not (self.taught and self.new and self.sizes) or list(self.sizes) != sorted(self.sizes):
            raise ConfigError("adaptation needs things that were taught, new ones, and ascending sizes")
        if set(self.taught) & set(self.new):
            raise ConfigError("adaptation: a new thing is none that was taught")
        if min(self.steps, self.taught_steps, self.batch_size, self.rank, self.questions, *self.sizes) < 1:
            raise ConfigError("adaptation needs sizes, steps and questions of at least 1")


def run(settings: BenchConfig) -> Findings:
    from reverie.settings import load_settings

    options = load_settings(AdaptationOptions, None, settings.options)
    if settings.limit:
        fewer = {"questions": settings.limit, "sizes": options.sizes[: max(settings.limit // 16, 1)]}
        options = AdaptationOptions(**vars(options) | fewer)
    things = {one: everyday_thing(one, options.questions, settings.seed) for one in (*options.taught, *options.new)}
    if bad := next((name for name, one in things.items() if not one.train or not one.test), ""):
        raise UsageError(f"there are no questions about '{bad}': give another thing, or more questions=")
    workshop = _Workshop(settings, options)
    for place, name in enumerate(options.taught):
        settings.progress("teaching", place, len(options.taught))
        workshop.teach(things[name])
    curves = {name: workshop.curves(things[name]) for name in options.new}
    needed = {way: [_needed(curves[name][way], options) for name in options.new] for way in _WAYS}
    needed["cold"] = [min(some) for some in zip(needed["cold"], needed.pop("cold_all"), strict=True)]
    return Findings(
        n=sum(len(things[name].test) for name in options.new),
        figures={"examples_warm": float(np.mean(needed["warm"])), "times_fewer": _fewer(needed)},
        by={f"{name}_{way}": _curve(curve) for name, ways in curves.items() for way, curve in ways.items()},
        baselines={"cold": {"examples_cold": float(np.mean(needed["cold"]))}, "untaught": workshop.bare(things)},
        settings={"taught": list(options.taught), "new": list(options.new), "mixtures": workshop.mixtures},
    )


class _Workshop:
    """A base with its changes, and the experts that were made of them."""

    def __init__(self, settings: BenchConfig, options: AdaptationOptions):
        from reverie.experts.lowrank import LoraConfig
        from reverie.training.adapted import Adapted

        self.options, self.seed, self.report = options, settings.seed, settings.progress
        self.adapted = Adapted(settings.model, LoraConfig(rank=options.rank), settings.seed)
        self.experts: dict[str, Any] = {}
        self.mixtures: dict[str, dict[str, float]] = {}

    def teach(self, thing: Domain) -> None:
        self.adapted.put(None)
        self._steps(thing.train, self.options.taught_steps)
        self.experts[thing.name] = self.adapted.adapter()

    def curves(self, thing: Domain) -> dict[str, dict[int, float]]:
        """Accuracy by the number of examples, in each way."""
        from reverie.training.warm import warm_start

        found: dict[str, dict[int, float]] = {way: {} for way in _WAYS}
        for place, size in enumerate(self.options.sizes):
            self.report(f"adapting to {thing.name}", place, len(self.options.sizes))
            examples = thing.train[:size]
            start = warm_start(self.adapted, self.experts, examples[:16])
            if start is not None:
                self.mixtures[f"{thing.name} {size}"] = {name: round(one, 3) for name, one in start.weights.items()}
            for way in _WAYS:
                self.adapted.put(start.adapter if start and way == "warm" else None)
                self._steps(examples, self.options.steps, until_known=way != "cold_all")
                found[way][size] = self.accuracy(thing)
        return found

    def accuracy(self, thing: Domain) -> float:
        """Share of exact answers, the mean over what the answer is."""
        from reverie.training.adapted import documents_of

        exact = self.adapted.judge(documents_of(self.adapted.prompter, thing.test))[2]
        by = defaultdict[str, list[bool]](list)
        for (_, answer), right in zip(thing.test, exact, strict=True):
            by[answer].append(right)
        return float(np.mean([np.mean(some) for some in by.values()]))

    def bare(self, things: dict[str, Domain]) -> Figures:
        self.adapted.put(None)
        return {f"accuracy_{name.replace(' ', '_')}": self.accuracy(things[name]) for name in self.options.new}

    def _steps(self, rows: Sequence[tuple[str, str]], steps: int, until_known: bool = False) -> None:
        from reverie.training.continual import ContinualData, ContinualObjective

        data = ContinualData(batch_size=self.options.batch_size, seed=self.seed)
        objective = ContinualObjective(self.adapted, rows, data=data)

        def enough(step: int) -> bool:
            return until_known and step % _LOOKS == 0 and all(self.adapted.judge(objective.new)[2])

        take_steps(self.adapted.module, objective, self.options.lr, steps, enough)


def _needed(curve: dict[int, float], options: AdaptationOptions) -> float:
    """The fewest examples from which on the accuracy is as wanted."""
    enough = 2.0 * options.sizes[-1]
    for size in reversed(options.sizes):
        if curve[size] < options.wanted:
            break
        enough = float(size)
    return enough


def _fewer(needed: dict[str, list[float]]) -> float:
    """How many times fewer examples the warm start needs: the geometric mean over things."""
    return float(np.exp(np.mean(np.log(needed["cold"]) - np.log(needed["warm"]))))


def _curve(curve: dict[int, float]) -> Figures:
    return {f"accuracy_of_{size}": value for size, value in curve.items()}


BENCHMARK = Benchmark(
    name="adaptation",
    about="Examples that a new expert needs: started from a mixture of the nearest, and cold.",
    run=run,
    options=AdaptationOptions,
)
