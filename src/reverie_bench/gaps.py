"""Are gaps told apart? Questions of several kinds arrive mixed, and nobody says how many kinds there are, or which.

``adjusted_rand``: of the gaps that are found against the kinds that there are (Hubert & Arabie 1985); a question that
belongs to no gap counts as one of a gap of its own, so that leaving questions out costs. ``by`` kind: the share of its
questions in the gap that has most of them. Beside it k-means on TF-IDF and on the same features, told how many kinds
there are. ``small_base`` is the same for a base of under a million parameters that has read bAbI 1 to 5 with their
answers; ``known_accuracy`` says how little it knows of them. Choices (features, directions, neighbours) were made on
bAbI 1, 2, 4 and 5 and tasks of reasoning-gym, after bAbI 6 to 10 had been measured with earlier ones, which failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reverie.errors import ConfigError, UsageError
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings
from reverie_bench.domains import babi_domains
from reverie_bench.figures import share

if TYPE_CHECKING:
    from reverie.growth.gaps import Gaps
    from reverie.memory.attempts import Attempt
    from reverie_bench.gaps_base import SmallBase

__all__ = ["BENCHMARK", "GapsOptions"]

_BACKGROUND = 60  # questions beside those of the small base, as in the product


@dataclass(frozen=True)
class GapsOptions:
    """What `bench gaps` lets one set."""

    tasks: tuple[str, ...] = ("babi-06", "babi-07", "babi-08", "babi-09", "babi-10")
    questions: int = 40  # of each
    small: str = "runs/gaps/base"  # where a small base that has read bAbI 1 to 5 is made, once; "" for none
    steps: int = 400  # of it

    def __post_init__(self) -> None:
        if len(self.tasks) < 2 or self.questions < 2 or self.steps < 1:
            raise ConfigError("gaps to tell apart are at least two, of two questions; a base makes at least one step")


def run(settings: BenchConfig) -> Findings:
    from reverie.bundles.gaps import gaps_among
    from reverie.bundles.loading import load_bundle
    from reverie.memory.attempts import Attempt
    from reverie.settings import load_settings
    from reverie_bench.gaps_base import small_base

    options = load_settings(GapsOptions, None, settings.options)
    count = min(options.questions, settings.limit or options.questions)
    kinds, questions = _rows(settings.data, options.tasks, count, settings.seed)
    bundle = load_bundle(settings.model, weights="auto")
    attempts = [Attempt(text, "?", bundle.name, id=place) for place, text in enumerate(questions, 1)]
    found, seen = gaps_among(bundle, bundle.open(), attempts, progress=settings.progress)
    small, names = dict[str, Figures](), {settings.model: [gap.name for gap in found.gaps]}
    if options.small and settings.data is not None:
        base = small_base(Path(options.small), settings.data, options.steps)
        settings.progress("the small base", 0, 1)
        others = _gaps_of(base, attempts)
        small = {"small_base": _figures(kinds, attempts, others) | {"known_accuracy": share(base.knows().values())}}
        names["small base"] = [gap.name for gap in others.gaps]
    told = {
        "k-means on TF-IDF, told the number": _k_means(_words(questions), kinds),
        "k-means on the features, told the number": _k_means(seen, kinds),
        "one gap": [0] * len(kinds),
    }
    labels = _labels(attempts, found)
    together = {
        f"together_{name.replace('-', '_')}": {"share": _together(kinds, labels, name)} for name in options.tasks
    }
    return Findings(
        n=len(questions),
        figures=_figures(kinds, attempts, found) | {"kinds": len(options.tasks)},
        by=together | small,
        baselines={name: {"adjusted_rand": _rand(kinds, one)} for name, one in told.items()},
        settings={"tasks": list(options.tasks), "questions": count, "names": names},
    )


def _gaps_of(base: SmallBase, attempts: Sequence[Attempt]) -> Gaps:
    from reverie.growth.gaps import find_gaps
    from reverie.training.varied_prompts import varied_prompts

    questions, others = [one.question for one in attempts], list(varied_prompts(_BACKGROUND))
    seen = base.features([*questions, *others])
    beside = dict(zip(others, seen[len(questions) :], strict=True))
    return find_gaps(attempts, seen[: len(questions)], beside, [""] * len(questions))


def _labels(attempts: Sequence[Attempt], found: Gaps) -> list[int]:
    """Of each attempt the place of its gap; below 0, and nobody else's, for one that belongs to none."""
    place = {one.id: at for at, gap in enumerate(found.gaps) for one in gap.attempts}
    return [place.get(one.id, -one.id) for one in attempts]


def _figures(kinds: Sequence[str], attempts: Sequence[Attempt], found: Gaps) -> Figures:
    rand, alone = _rand(kinds, _labels(attempts, found)), len(found.alone) / len(attempts)
    return {"adjusted_rand": rand, "gaps": len(found.gaps), "alone_share": alone}


def _rows(data: Path | None, tasks: Sequence[str], count: int, seed: int) -> tuple[list[str], list[str]]:
    """(kinds, questions), mixed."""
    if data is None or not (data / "babi").is_dir():
        raise UsageError("gaps: give a folder with babi/ as --data")
    rng, rows = np.random.default_rng([seed, 21]), list[tuple[str, str]]()
    there = {one.name: one for one in babi_domains(data / "babi")}
    for name in tasks:
        if name not in there:
            raise UsageError(f"gaps: no task '{name}'; there are {', '.join(there)}")
        some = there[name].train
        rows += [(name, some[int(at)][0]) for at in rng.permutation(len(some))[:count]]
    mixed = [rows[int(at)] for at in rng.permutation(len(rows))]
    return [kind for kind, _ in mixed], [question for _, question in mixed]


def _rand(kinds: Sequence[str], labels: Sequence[int]) -> float:
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(kinds, labels))


def _together(kinds: Sequence[str], labels: Sequence[int], name: str) -> float:
    own = Counter(label for kind, label in zip(kinds, labels, strict=True) if kind == name)
    return own.most_common(1)[0][1] / own.total()


def _words(questions: Sequence[str]) -> np.ndarray:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return np.asarray(TfidfVectorizer(sublinear_tf=True).fit_transform(questions).todense())


def _k_means(seen: np.ndarray, kinds: Sequence[str]) -> list[int]:
    from sklearn.cluster import KMeans

    return [int(one) for one in KMeans(len(set(kinds)), n_init=10, random_state=0).fit_predict(seen)]


BENCHMARK = Benchmark(
    name="gaps",
    about="Questions of five kinds arrive mixed: are they told apart, and how many kinds are found?",
    run=run,
    data="a folder with babi/ (bAbI's en-10k)",
    options=GapsOptions,
)
