"""Routing on real domains: an expert for each of 29 tasks on one small base, and a router that may say nobody.

Nine tasks of bAbI and twenty of reasoning-gym. The base has read their questions and no answer. Tested are questions
that nobody trained on, and rows of kinds that no expert and no router has seen (the third task of bAbI, whose stories
are longer cousins of the second's; other tasks of reasoning-gym; trivia, word problems, causes, encyclopaedia).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reverie.engine import Engine
from reverie.errors import ConfigError, UsageError
from reverie.experts import Library
from reverie.experts.contract import Choice
from reverie.model import Backbone
from reverie.settings import load_settings
from reverie.training.measuring import BackboneScorer
from reverie.training.routing_table import NOBODY, Table
from reverie_bench.contract import BenchConfig, Benchmark, Findings, Published
from reverie_bench.routing_ablations import ablations, at_thresholds
from reverie_bench.routing_baselines import arrow, merge, nearest
from reverie_bench.routing_figures import answer, cost_ratio, figures_by_kind, quality_figures, routing_figures
from reverie_bench.routing_stages import RunFolder

__all__ = ["BENCHMARK"]

DATA = "a folder with babi/ and, for rows of nobody, gsm8k/, opentriviaqa/, ecare/, wikitext-2/ and tinyshakespeare/"


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


def run(settings: BenchConfig) -> Findings:
    options = load_settings(Options, None, settings.options)
    data, progress = _data_folder(settings.data), settings.progress
    stages = RunFolder(Path(options.run_dir), Path(options.recipes), settings.seed, progress)
    names = stages.make_rows(data, options.draws, options.domains, options.outsider_rows)
    stages.make_base([*sorted(data.glob("wikitext-2/valid.txt")), *sorted(data.glob("tinyshakespeare/**/input.txt"))])
    library = stages.make_experts()
    alike = stages.make_single(options.single, library) | _merged(stages, library)
    test = stages.rows_of("test", settings.limit or options.test_rows)
    backbone = Backbone.load(stages.bundle / "backbone").eval()
    scorer = BackboneScorer(backbone, library)
    table = stages.table("test", test, scorer, library)
    learned = stages.features("router", stages.rows_of("train", options.router_rows), library.base)
    router = stages.router("owner", learned, {})

    own: list[Choice] = [((names[owner], 1.0),) if owner != NOBODY else () for owner in test.owners]
    systems: dict[str, list[Choice]] = {"routed": router.route(table.features), "own_expert": own}
    systems |= {"base": [()] * len(own), "nearest_mean": nearest(learned, table.features)}
    systems |= {system: [((name, 1.0),)] * len(own) for system, name in alike.items()}
    owned = [place for place, owner in enumerate(test.owners) if owner != NOBODY]
    rows = [test.rows[place] for place in owned]
    engine = Engine(backbone, experts=library)
    exact, nats = dict[str, list[bool]](), dict[str, list[float]]()
    for system, choices in systems.items():
        chosen = [choices[place] for place in owned]
        exact[system] = answer(engine, rows, chosen, system, progress)
        nats[system] = scorer.nats(rows, chosen).tolist()
    if options.arrow:
        folders = [library.folder_of(name) for name in names]
        exact["arrow"], nats["arrow"] = arrow(stages.bundle / "backbone", folders, rows, progress)

    def gains() -> Table:
        return stages.table("gain", stages.rows_of("train", options.gain_rows), scorer, library)

    quality = {system: quality_figures(system, exact, nats) for system in exact}
    quality["nearest_mean"] |= routing_figures(systems["nearest_mean"], test, names)
    quality["best_of_each_row"] = {"nats": float(table.nats[owned].amin(1).mean())}
    figures = routing_figures(systems["routed"], test, names) | quality.pop("routed")
    return Findings(
        n=len(test.rows),
        figures=figures | {"cost_ratio": cost_ratio(backbone, library, router, rows)},
        by=figures_by_kind(test, systems["routed"], exact, names)
        | at_thresholds(router, table, test)
        | ablations(stages, learned, gains if options.gain_rows else None, table, test),
        baselines=quality,
        settings={"domains": len(names), "outsiders": sorted(set(test.kinds) - set(names))},
    )


def _data_folder(data: Path | None) -> Path:
    """``data``, or the folder around it where bAbI's own was given."""
    if data is not None and any(data.glob("qa*_train.txt")):
        data = data.absolute().parent
    if data is None or not (data / "babi").is_dir():
        raise UsageError(f"this benchmark needs --data FOLDER: {DATA}")
    return data


def _merged(stages: RunFolder, library: Library) -> dict[str, str]:
    """Adapters merged of all experts, which every row gets alike: systems → names. They are made where they lack."""
    made = {"merged_ties": "merged-ties", "uniform_average": "uniform-average"}
    if any(name not in library for name in made.values()):
        experts = [library.folder_of(name) for name in stages.names]
        for name, folder in merge(stages.bundle / "backbone", experts, stages.folder / "merged").items():
            if name not in library:
                library.add(folder, name, trust_base=True)
    return made


BENCHMARK = Benchmark(
    name="routing",
    about="which of 29 experts, if any, a question gets: accuracy, quality of the answers, and rows that are nobody's",
    run=run,
    data=DATA,
    published=(Published("Adaptive Minds (30 adapters)", "routing_accuracy", 0.983, "arXiv 2510.15416v2"),),
    options=Options,
)
