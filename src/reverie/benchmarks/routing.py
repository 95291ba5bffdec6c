"""Routing on real domains: an expert for each of 29 tasks on one small base, and a router that may say nobody.

Nine tasks of bAbI and twenty of reasoning-gym. The base has read their questions and no answer. Tested are questions
that nobody trained on, and rows of kinds that no expert and no router has seen (the third task of bAbI, whose stories
are longer cousins of the second's; other tasks of reasoning-gym; trivia, word problems, causes, encyclopaedia).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reverie.benchmarks.contract import Benchmark, BenchSettings, Figures, Findings, Progress, Published
from reverie.benchmarks.figures import share
from reverie.benchmarks.routing_baselines import arrow, merge, nearest
from reverie.benchmarks.routing_stages import SINGLE, Rows, RunFolder
from reverie.benchmarks.rows import chunks
from reverie.engine import Engine, Request, Sampling
from reverie.errors import ConfigError, UsageError
from reverie.experts import Library
from reverie.experts.contract import Choice
from reverie.experts.evaluation import time_ratio
from reverie.experts.features import question_features
from reverie.experts.prototypes import fit_prototype
from reverie.experts.router import Router
from reverie.experts.table import NOBODY, Table
from reverie.model import Backbone
from reverie.settings import load_settings
from reverie.training.measuring import BackboneJudge, Row

__all__ = ["BENCHMARK"]

DATA = "a folder with babi/ and, for rows of nobody, gsm8k/, opentriviaqa/, ecare/, wikitext-2/ and tinyshakespeare/"
_SIDE_BY_SIDE = 64  # rows that the engine answers at once
_THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_ABLATIONS: dict[str, dict[str, Any]] = {
    "no_balance": {"data.router.balance_weight": 0.0},
    "balance_times_10": {"data.router.balance_weight": 0.1},
    "balance_times_100": {"data.router.balance_weight": 1.0},
    "no_capacity": {"data.router.capacity_weight": 0.0, "data.router.capacity_factor": 0.0},
    "capacity_times_100": {"data.router.capacity_weight": 1.0},
    "capacity_factor_1": {"data.router.capacity_factor": 1.0},
    "no_outsiders_in_training": {"data.outsider_share": 0.0},
    "no_prototypes": {"data.router.prototypes": False},
    "no_bias": {"data.router.bias": False},
    "hidden_layer_64": {"data.router.hidden_size": 64},
    "topk_1": {"data.router.mode": "topk", "data.router.max_experts": 1},
}


@dataclass(frozen=True)
class Options:
    """What `bench routing` lets one set. A run that was stopped goes on when the same command is given again."""

    run_dir: str = "runs/routing"
    recipes: str = "recipes"  # folder with routing-base.yaml, routing-expert.yaml and routing-router.yaml
    domains: tuple[str, ...] = ()  # only these, such as babi-01 or gym-gcd; () = all 29
    draws: int = 3000  # of each domain, before those that come twice are left out
    test_rows: int = 50  # of each domain and of each kind that belongs to nobody; --limit overrides it
    router_rows: int = 300  # of each domain that the router learns from
    gain_rows: int = 30  # of each domain for the router that learns from losses alone; 0 leaves it out
    outsider_rows: int = 100  # of each kind, for training and for testing
    single: float = 4.0  # the one adapter that is trained on all domains learns so many times as long as an expert
    arrow: bool = True  # measure Arrow, too, which takes the longest

    def __post_init__(self) -> None:
        if min(self.draws, self.test_rows, self.router_rows, self.outsider_rows) < 1 or self.gain_rows < 0:
            raise ConfigError("routing needs at least 1 draw and 1 row of each kind, and gain_rows of 0 or more")
        if not 0 <= self.single <= 1000 or 0 < self.single < 0.01:
            raise ConfigError(f"routing: single lies between 0.01 and 1000, or is 0, got {self.single}")


def run(settings: BenchSettings) -> Findings:
    options = load_settings(Options, None, settings.options)
    data = _data_folder(settings.data)
    stages = RunFolder(Path(options.run_dir), Path(options.recipes), settings.seed, settings.progress)
    stages.make_rows(data, options.draws, options.domains, options.outsider_rows)
    stages.make_base([*sorted(data.glob("wikitext-2/valid.txt")), *sorted(data.glob("tinyshakespeare/**/input.txt"))])
    library = stages.make_experts(options.single)
    test = stages.rows_of("test", settings.limit or options.test_rows)
    backbone = Backbone.load(stages.bundle / "backbone").eval()
    judge = BackboneJudge(backbone, library)
    table = stages.table("test", test, judge, library)
    learned = stages.features("router", stages.rows_of("train", options.router_rows), library.base)
    router = stages.router("owner", learned, {})
    routed = router.route(table.features)

    own: list[Choice] = [((stages.names[owner], 1.0),) if owner != NOBODY else () for owner in test.owners]
    systems: dict[str, list[Choice]] = {"routed": routed, "own_expert": own, "base": [()] * len(own)}
    systems["nearest_mean"] = nearest(learned, stages.names, table.features)
    for name in _merged(stages, library, options.single):
        systems[name.replace("-", "_")] = [((name, 1.0),)] * len(own)
    answered = [place for place, owner in enumerate(test.owners) if owner != NOBODY]
    rows = [test.rows[place] for place in answered]
    engine = Engine(backbone, max_branches=_SIDE_BY_SIDE, experts=library)
    exact, nats = dict[str, list[bool]](), dict[str, list[float]]()
    for name, choices in systems.items():
        chosen = [choices[place] for place in answered]
        exact[name] = _answer(engine, rows, chosen, name, settings.progress)
        nats[name] = judge.nats(rows, chosen).tolist()
    if options.arrow:
        experts = [library.folder_of(name) for name in stages.names]
        exact["arrow"], nats["arrow"] = arrow(
            stages.bundle / "backbone", experts, rows, lambda done: settings.progress("arrow", done, len(rows))
        )
    best = table.nats[answered].amin(1)
    quality = {name: _quality(name, exact, nats) for name in exact}
    routing = {name: _routing(choices, test, stages.names) for name, choices in systems.items()}
    figures = routing["routed"] | quality["routed"] | {"cost_ratio": _cost(engine, router, rows, routed)}
    by = _by_kind(test, answered, routed, exact, stages.names)
    by |= {f"threshold {each:g}": _at(router, each, table, test, stages.names) for each in _THRESHOLDS}
    by |= _ablations(
        stages,
        learned,
        (lambda: stages.table("gain", stages.rows_of("train", options.gain_rows), judge, library))
        if options.gain_rows
        else None,
        table,
        test,
    )
    return Findings(
        n=len(test.rows),
        figures=figures,
        by=by,
        baselines={name: found for name, found in quality.items() if name != "routed"}
        | {"nearest_mean": quality["nearest_mean"] | routing["nearest_mean"]}
        | {"best_expert_of_each_row": {"nats": float(best.mean())}},
        settings={"domains": len(stages.names), "outsiders": sorted(set(test.kinds) - set(stages.names))},
    )


def _data_folder(data: Path | None) -> Path:
    """``data``, or the folder around it where bAbI's own was given."""
    if data is not None and any(data.glob("qa*_train.txt")):
        data = data.absolute().parent
    if data is None or not (data / "babi").is_dir():
        raise UsageError(f"this benchmark needs --data FOLDER: {DATA}")
    return data


def _merged(stages: RunFolder, library: Library, single: float) -> list[str]:
    """Names of the adapters that every row gets alike; they are made where they are not there."""
    names = ["merged-ties", "uniform-average"]
    if any(name not in library for name in names):
        folders = [library.folder_of(name) for name in stages.names]
        for name, folder in merge(stages.bundle / "backbone", folders, stages.folder / "merged").items():
            if name not in library:
                library.add(folder, name, trust_base=True)
    return [*names, *([SINGLE] if single else [])]


def _answer(
    engine: Engine, rows: Sequence[Row], choices: Sequence[Choice], name: str, progress: Progress
) -> list[bool]:
    """Whether each greedy answer is exactly the wanted one, rows of different experts side by side."""
    right: list[bool] = []
    for part in chunks(list(zip(rows, choices, strict=True)), _SIDE_BY_SIDE, f"answers: {name}", progress):
        requests = [_request(row, choice) for row, choice in part]
        said = engine.generate(requests)
        right += [one.ids == row.answer[1:] for one, (row, _) in zip(said, part, strict=True)]
    return right


def _request(row: Row, choice: Choice) -> Request:
    prefix, greedy = (*row.question, row.answer[0]), Sampling(temperature=0)
    return Request(prefix, sampling=greedy, max_new_ids=len(row.answer) - 1, experts=choice)


def _cost(engine: Engine, router: Router, rows: Sequence[Row], choices: Sequence[Choice]) -> float:
    """Seconds of routing and answering with experts over those of answering with the bare base."""
    some = range(0, len(rows), max(1, len(rows) // 16))
    bare = [_request(rows[place], ()) for place in some]

    def routed() -> None:
        features = torch.from_numpy(np.stack([question_features(engine.embed, rows[place].question) for place in some]))
        found = router.route(features)
        engine.generate([_request(rows[place], choice) for place, choice in zip(some, found, strict=True)])

    return time_ratio(routed, lambda: engine.generate(bare))


def _quality(name: str, exact: Mapping[str, Sequence[bool]], nats: Mapping[str, Sequence[float]]) -> Figures:
    """``quality``: right answers over those with every row's own expert. ``quality_nats``: the same of what the base's
    loss is lowered by."""
    total = {each: sum(found) for each, found in nats.items()}
    gained, possible = total["base"] - total[name], total["base"] - total["own_expert"]
    return {
        "answers_exact": share(exact[name]),
        "quality": sum(exact[name]) / max(sum(exact["own_expert"]), 1),
        "nats": total[name] / len(nats[name]),
        "quality_nats": gained / possible if possible > 0 else float("nan"),
    }


def _routing(choices: Sequence[Choice], test: Rows, names: Sequence[str]) -> Figures:
    """``routing_accuracy``: the first expert is the row's own. ``nobody_share``: of rows of nobody, every kind of them
    counting as much as another. ``refused_share``: of rows that have an expert and get none."""
    owned = [(choice, names[owner]) for choice, owner in zip(choices, test.owners) if owner != NOBODY]
    kinds: dict[str, list[bool]] = {}
    for choice, owner, kind in zip(choices, test.owners, test.kinds, strict=True):
        if owner == NOBODY:
            kinds.setdefault(kind, []).append(not choice)
    return {
        "routing_accuracy": share(bool(choice) and choice[0][0] == name for choice, name in owned),
        "alone_share": share(len(choice) == 1 and choice[0][0] == name for choice, name in owned),
        "refused_share": share(not choice for choice, _ in owned),
        "nobody_share": share(share(found) for found in kinds.values()),
        "experts_a_row": sum(len(choice) for choice in choices) / len(choices),
    }


def _by_kind(
    test: Rows, answered: Sequence[int], routed: Sequence[Choice], exact: dict[str, list[bool]], names: Sequence[str]
) -> dict[str, Figures]:
    found: dict[str, Figures] = {}
    of_row = {place: index for index, place in enumerate(answered)}
    for kind in dict.fromkeys(test.kinds):
        places = [place for place, other in enumerate(test.kinds) if other == kind]
        some = Rows([test.rows[p] for p in places], [test.owners[p] for p in places], [kind] * len(places))
        figures = _routing([routed[p] for p in places], some, names)
        wanted: tuple[str, ...] = ("nobody_share",)
        said: Figures = {}
        if kind in names:
            wanted = ("routing_accuracy", "refused_share")
            rights = {name: [exact[name][of_row[p]] for p in places] for name in ("routed", "own_expert", "base")}
            said = {f"exact_{name}": share(right) for name, right in rights.items()}
        found[kind] = {"n": len(places)} | {name: figures[name] for name in wanted} | said
    return found


def _at(router: Router, threshold: float, table: Table, test: Rows, names: Sequence[str]) -> Figures:
    usual = router.config
    try:
        router.config = replace(usual, threshold=threshold)
        return _routing(router.route(table.features), test, names)
    finally:
        router.config = usual


def _ablations(
    stages: RunFolder, learned: Table, gains: Callable[[], Table] | None, table: Table, test: Rows
) -> dict[str, Figures]:
    """Routers trained otherwise. ``gains``: a table of nats, for one that is told nobody's name."""
    made: dict[str, Router] = {}
    for done, (name, overrides) in enumerate(_ABLATIONS.items()):
        stages.progress("ablations", done, len(_ABLATIONS) + 2)
        made[name] = stages.router(name, learned, overrides)
    if gains is not None:
        made["gain_targets"] = stages.router("gain", gains(), {"data.targets": "gain"})
    found = {f"router {name}": _routing(one.route(table.features), test, stages.names) for name, one in made.items()}
    return found | {"router later_experts": _later(stages, learned, table, test)}


def _later(stages: RunFolder, learned: Table, table: Table, test: Rows) -> Figures:
    """A router trained on two thirds of the experts; the others came later and have a prototype of their rows alone."""
    early = [place for place in range(len(stages.names)) if place % 3 != 2]
    later = [place for place in range(len(stages.names)) if place % 3 == 2]
    if not later:
        return {}
    moved = {place: index for index, place in enumerate(early)} | {NOBODY: NOBODY}
    kept = torch.tensor([place for place, owner in enumerate(learned.owners.tolist()) if owner in moved])
    owners = torch.tensor([moved[owner] for owner in learned.owners[kept].tolist()])
    columns = torch.tensor([0, *(place + 1 for place in early)])
    nats, names = learned.nats[kept][:, columns], tuple(stages.names[place] for place in early)
    part = Table(names, learned.features[kept], nats, owners, learned.base)
    router = stages.router("early", part, {})
    rank = router.config.prototype_rank
    added = {stages.names[p]: fit_prototype(learned.features[learned.owners == p], rank) for p in later}
    choices = router.with_prototypes(added).route(table.features)
    figures = _routing(choices, test, stages.names)
    alone = Rows(test.rows, [owner if owner in later else NOBODY for owner in test.owners], test.kinds)
    return figures | {"later_accuracy": _routing(choices, alone, stages.names)["routing_accuracy"]}


BENCHMARK = Benchmark(
    name="routing",
    about="which of 29 experts, if any, a question gets: accuracy, quality of the answers, and rows that are nobody's",
    run=run,
    data=DATA,
    published=(Published("Adaptive Minds (30 adapters)", "routing_accuracy", 0.983, "arXiv 2510.15416v2"),),
    options=Options,
)
