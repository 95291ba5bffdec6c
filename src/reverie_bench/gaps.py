"""Are gaps told apart? Questions of several kinds arrive mixed, and nobody says how many kinds there are, or which.

``adjusted_rand``: of the gaps that are found against the kinds that there are (Hubert & Arabie 1985); a question that
belongs to no gap counts as one of a gap of its own, so that leaving questions out costs. ``by`` kind: the share of its
questions in the gap that has most of them. Beside it k-means on TF-IDF and on the same features, told how many kinds
there are. Choices (features, directions, neighbours) were made on bAbI 1, 2, 4 and 5 and tasks of reasoning-gym.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reverie.errors import ConfigError, UsageError
from reverie_bench.contract import BenchConfig, Benchmark, Findings
from reverie_bench.domains import babi_domains

__all__ = ["BENCHMARK", "GapsOptions"]


@dataclass(frozen=True)
class GapsOptions:
    """What `bench gaps` lets one set."""

    tasks: tuple[str, ...] = ("babi-06", "babi-07", "babi-08", "babi-09", "babi-10")
    questions: int = 40  # of each

    def __post_init__(self) -> None:
        if len(self.tasks) < 2 or self.questions < 2:
            raise ConfigError("gaps to tell apart are at least two, of two questions")


def run(settings: BenchConfig) -> Findings:
    from reverie.bundles.gaps import gaps_among
    from reverie.bundles.loading import load_bundle
    from reverie.memory.attempts import Attempt
    from reverie.settings import load_settings

    options = load_settings(GapsOptions, None, settings.options)
    count = min(options.questions, settings.limit or options.questions)
    kinds, questions = _rows(settings.data, options.tasks, count, settings.seed)
    bundle = load_bundle(settings.model, weights="auto")
    attempts = [Attempt(text, "?", bundle.name, id=place) for place, text in enumerate(questions, 1)]
    found, seen = gaps_among(bundle, bundle.open(), attempts, progress=settings.progress)
    label = {one.id: place for place, gap in enumerate(found.gaps) for one in gap.attempts}
    labels = [label.get(one.id, -one.id) for one in attempts]
    return Findings(
        n=len(questions),
        figures={
            "adjusted_rand": _rand(kinds, labels),
            "gaps": len(found.gaps),
            "kinds": len(options.tasks),
            "alone_share": len(found.alone) / len(questions),
        },
        by={f"together_{name.replace('-', '_')}": {"share": _together(kinds, labels, name)} for name in options.tasks},
        baselines={
            "k-means on TF-IDF, told the number": {"adjusted_rand": _rand(kinds, _k_means(_words(questions), kinds))},
            "k-means on the features, told the number": {"adjusted_rand": _rand(kinds, _k_means(seen, kinds))},
            "one gap": {"adjusted_rand": _rand(kinds, [0] * len(kinds))},
        },
        settings={"tasks": list(options.tasks), "questions": count, "names": [gap.name for gap in found.gaps]},
    )


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
