"""Plans learned from rewards alone: exact match per size beside the same model supervised on as many dreams.

One start for both: an expert of the model that wanders, taught by random walks. From there

    reward       dreams of training maps are judged by the true lake (``reach-goal``), and nobody shows a right plan;
                 kept beside it ``supervised``, which is shown as many shortest plans of other training maps in as many
                 steps, and ``start``, which learns no more

All three then dream one plan a map, greedily and without search, for maps of the file that none of them was trained on:
training maps are never of the half that is kept for testing, and maps of the file of the other half are left out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from reverie.errors import ConfigError, UsageError
from reverie.worlds.frozenlake import ACTIONS, in_test_split
from reverie_bench.contract import BenchConfig, Benchmark, Findings, Published
from reverie_bench.figures import grouped, share
from reverie_bench.frozenlake_planning import DATA, Map, Verdict, judge
from reverie_bench.rows import read_rows, solvable_map, thin

if TYPE_CHECKING:
    from reverie.training.reward import RewardData, RewardObjective

__all__ = ["BENCHMARK", "RewardOptions"]

_ARMS = ("start", "supervised", "reward")
_AT_ONCE = 64  # maps dreamed side by side


@dataclass(frozen=True)
class RewardOptions:
    """How long, and how many: about 20 minutes on two cores."""

    walks: int = 80  # steps that teach to wander
    steps: int = 300  # of rewards, and of shortest plans
    groups: int = 8  # maps a step
    branches: int = 8  # dreams of each
    seeds: int = 1  # runs of all three; figures are their mean
    lr: float = 2e-3
    max_side: int = 6  # of maps, in training and asked

    def __post_init__(self) -> None:
        if min(self.walks, self.steps, self.groups, self.seeds) < 1 or self.branches < 2 or not self.lr > 0:
            raise ConfigError("reward: walks, steps, groups and seeds are at least 1, branches 2, lr above 0")


@dataclass(frozen=True)
class Judged:
    """A map, and the verdicts on the plans of the three."""

    desc: Map
    verdicts: dict[str, Verdict]


def run(settings: BenchConfig) -> Findings:
    from reverie.settings import load_settings

    options = load_settings(RewardOptions, None, settings.options)
    maps = [one for one in read_rows(settings.data, solvable_map, DATA) if len(one) <= options.max_side]
    maps = thin([one for one in maps if in_test_split(one)], settings.limit)
    if not maps:
        raise UsageError(f"no map of {settings.data} has at most {options.max_side} cells a side and is for testing")
    judged: list[Judged] = []
    for seed in range(settings.seed, settings.seed + options.seeds):
        plans = _plans(settings, options, maps, seed)
        judged += [
            Judged(desc, {name: judge(desc, plans[name][place]) for name in _ARMS}) for place, desc in enumerate(maps)
        ]
    own = _figures("reward")
    return Findings(
        n=len(maps),
        figures=own(judged)
        | {
            f"gain_over_{name}": own(judged)["exact_match"] - _figures(name)(judged)["exact_match"]
            for name in _ARMS[:2]
        },
        by=grouped(
            judged,
            lambda one: f"size_{len(one.desc)}",
            lambda some: own(some) | {f"{name}_exact_match": _figures(name)(some)["exact_match"] for name in _ARMS[:2]},
        ),
        baselines={name: _figures(name)(judged) for name in _ARMS[:2]},
        settings={"dreams_a_step": options.groups * options.branches, "seeds": options.seeds},
    )


def _figures(name: str) -> Callable[[Sequence[Judged]], dict[str, float]]:
    def of(judged: Sequence[Judged]) -> dict[str, float]:
        verdicts = [one.verdicts[name] for one in judged]
        return {
            "exact_match": share(one.exact for one in verdicts),
            "success": share(one.success for one in verdicts),
            "progress_rate": share(one.progress for one in verdicts),
        }

    return of


def _plans(
    settings: BenchConfig, options: RewardOptions, maps: Sequence[Map], seed: int
) -> dict[str, list[tuple[str, ...]]]:
    """What each of the three plans for each map."""
    from reverie.training.reward import RewardData

    data = RewardData(
        bundle=settings.model, shown_steps=options.walks, groups=options.groups, branches=options.branches,
        max_side=options.max_side, shown_docs=32, eval_tasks=8, seed=seed,
    )  # fmt: skip
    plans = {}
    with tempfile.TemporaryDirectory() as folder:
        start = Path(folder) / "start" / "export"
        plans["start"] = _dreamed(_trained(data, options.walks, options.lr, start.parent, settings), maps)
        data = replace(data, start=str(start))
        shown = replace(
            data, shown="plans", shown_steps=options.steps, shown_docs=options.groups * options.branches, buckets=4
        )
        for name, one in (("supervised", shown), ("reward", replace(data, shown_steps=0))):
            place = Path(folder) / name
            plans[name] = _dreamed(_trained(one, options.steps, options.lr, place, settings), maps)
    return plans


def _trained(data: RewardData, steps: int, lr: float, folder: Path, settings: BenchConfig) -> RewardObjective:
    from reverie.training import LoopConfig, train
    from reverie.training.reward import RewardObjective

    objective = RewardObjective(data)
    loop = LoopConfig(
        steps=steps, lr=lr, weight_decay=0.0, warmup_steps=10, schedule="wsd", decay_fraction=0.3, precision="fp32",
        eval_every=0, checkpoint_every=0, tensorboard=False, seed=data.seed,
    )  # fmt: skip
    train(objective, loop, folder, settings.progress)
    return objective


def _dreamed(objective: RewardObjective, maps: Sequence[Map]) -> list[tuple[str, ...]]:
    """The actions of one greedy dream of each map, up to one that is none."""
    from reverie.training.rewards import Task

    question = objective.reward.question
    tasks = [Task(question, {"desc": list(desc)}, place) for place, desc in enumerate(maps)]
    drawn = [
        row
        for first in range(0, len(tasks), _AT_ONCE)
        for (row,) in objective.draw(tasks[first : first + _AT_ONCE], 1, 0.0)
    ]
    return [
        tuple(takewhile(ACTIONS.__contains__, (triplet.action.text for triplet in row.dream.triplets))) for row in drawn
    ]


_PAPER = "arXiv:2505.11409, Visual Planning: Let's Think Only with Images"
BENCHMARK = Benchmark(
    name="reward",
    about="plans learned from the reward of random dreams, beside the same model supervised on as many",
    run=run,
    data=DATA,
    options=RewardOptions,
    published=(
        Published("VPFT-7B (supervised)", "exact_match", 0.754, f"{_PAPER}, sizes 3-6"),
        Published("VPRL-7B (rewards)", "exact_match", 0.916, f"{_PAPER}, sizes 3-6"),
    ),
)
