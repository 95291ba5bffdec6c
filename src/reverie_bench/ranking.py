"""Ranking: does recall know which of what it found holds the answer, and that nothing does?

Memories of made-up things are asked what they hold and what they do not (``ranking_rows.py``). A logistic model of
named features is fitted on one family of kinds and wordings, its floor chosen there for a stated risk, and both are
measured on the other family. ``--write FILE`` saves what was fitted; without it, the packaged one is measured.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np

from reverie.files import atomic_write_json
from reverie.memory.contract import Node, Recalled
from reverie.memory.judging import (
    ABOUT,
    FEATURES,
    Candidate,
    Looked,
    Ranking,
    about_features,
    features,
    load_ranking,
)
from reverie.nouns import Fact
from reverie.training.knowing.figures import calibration_error
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings
from reverie_bench.documents import open_memory
from reverie_bench.figures import auroc, grouped, share
from reverie_bench.ranking_rows import FAMILIES, Question, Told, make_rows

__all__ = ["BENCHMARK"]

_SIZES = ((60, 100), (300, 20_000))  # things that are asked about, and others, of each memory
_NOTHING = ("unheard", "near name", "general", "unheard everyday")  # kinds of questions
_Bound = tuple[int | None, int | None]
_BOUNDS: dict[str, _Bound] = {  # of weights; the others say the more the better
    "foreign": (None, 0), "unheard": (None, 0), "onward": (None, 0), "one_step": (None, None), "two_steps": (None, None)
}  # fmt: skip
_NO_STEPS: dict[str, _Bound] = {"one_step": (0, 0), "two_steps": (0, 0)}  # the rows ask for no page over another one
_STRENGTH = 3.0  # inverse of the penalty of the fit


@dataclass(frozen=True)
class RankingConfig:
    """How it is fitted and measured."""

    embedder: str = "minilm"  # or none
    risk: float = 0.05  # share of questions about nothing in the memory for which recall may have something to say
    risk_uncased: float = 0.2  # of those without capitals, where names look like any other word
    memories: int = 1  # of each size and family


@dataclass(frozen=True)
class Row:
    """One question with what was recalled for it, and which of that holds the answer."""

    question: Question
    looked: Looked
    candidates: tuple[Candidate, ...]
    holds: np.ndarray  # bool (N,)

    @cached_property
    def features(self) -> np.ndarray:
        return features(self.looked, self.candidates)

    @property
    def score(self) -> np.ndarray:
        """float64 (N,): before any ranking."""
        return np.array([one.score for one in self.candidates])


class _Noting(Ranking):
    """Judges nothing and keeps what it is asked about."""

    noted: tuple[Looked, tuple[Candidate, ...]]

    def judge(self, looked: Looked, candidates: Sequence[Candidate], vectors: bool = False) -> tuple[np.ndarray, bool]:
        object.__setattr__(self, "noted", (looked, tuple(candidates)))
        return np.linspace(1, 0, len(candidates)), True


def run(settings: BenchConfig) -> Findings:
    from reverie.settings import load_settings

    options = load_settings(RankingConfig, None, settings.options)
    vectors = options.embedder != "none"
    held = _rows("held", options, settings, 1)
    ranking = load_ranking()
    if settings.write:
        ranking = fit_ranking(_rows("fit", options, settings, 0), options, ranking)
        save_ranking(ranking, settings.write)
    judged = [_Judged.of(row, ranking, vectors) for row in held]
    by = {name: _figures([one for one in judged if one.row.looked.group == name]) for name in ("cased", "uncased")}
    by |= grouped(judged, lambda one: one.row.question.kind.replace(" ", "_"), _of_kind)
    return Findings(
        n=len(held),
        figures=_figures(judged),
        by=by,
        baselines={"spreading_alone": _by_score(held)},
        settings=vars(options),
    )


# rows -----------------------------------------------------------------------------------------------------------


def _rows(family: str, options: RankingConfig, settings: BenchConfig, seed: int) -> list[Row]:
    found: list[Row] = []
    for number in range(options.memories):
        for things, others in _SIZES:
            rng = np.random.default_rng([settings.seed, 31, seed, number, things])
            with tempfile.TemporaryDirectory() as scratch:
                found += _recalled(make_rows(FAMILIES[family], things, others, rng), Path(scratch), options, settings)
    return found


def _recalled(told: Told, scratch: Path, options: RankingConfig, settings: BenchConfig) -> list[Row]:
    files: dict[str, str] = {}
    for number, (subject, text) in enumerate(told.pages.items()):
        file = scratch / f"{number:05}.md"
        file.write_text(text, encoding="utf-8")
        files[str(file.resolve())] = subject
    with open_memory(scratch / "memory.db", options.embedder) as memory:
        memory.write(told.facts)
        memory.load(scratch, "text", progress=settings.progress)
        memory.ranking = noting = _Noting({}, {}, {}, {}, getattr(memory.embedder, "name", ""))
        rows = []
        for place, question in enumerate(told.questions):
            settings.progress("asking", place, len(told.questions))
            found = memory.recall(question.text)
            looked, candidates = noting.noted if found.told else (Looked(question.text, {}, 0), ())
            holds = [_holds(one, found, question, files) for one, _ in found.told]
            rows.append(Row(question, looked, candidates, np.array(holds, bool)))
    return rows


def _holds(one: Fact | Node, found: Recalled, question: Question, files: Mapping[str, str]) -> bool:
    if not question.answer:
        return False
    if isinstance(one, Fact):
        return (one.subject, one.object) == (question.gold, question.answer)
    source = found.places[one.id].source if one.id in found.places else ""
    return files.get(source) == question.gold and question.answer in one.text


# fitting --------------------------------------------------------------------------------------------------------


def fit_ranking(rows: Sequence[Row], options: RankingConfig, before: Ranking) -> Ranking:
    """A ranking fitted on ``rows``; what was fitted ``before`` with other vectors, or none, stays beside it."""
    mark = "+vectors" if options.embedder != "none" else ""
    weights, about, floor = dict(before.weights), dict(before.about), dict(before.floor)
    for kind in ("fact", "passage"):
        of_kind = [np.array([one.kind == kind for one in row.candidates], bool) for row in rows]
        x = np.concatenate([row.features[mine] for row, mine in zip(rows, of_kind, strict=True)])
        y = np.concatenate([row.holds[mine] for row, mine in zip(rows, of_kind, strict=True)])
        weights[kind + mark] = _logistic(x, y, FEATURES, _NO_STEPS if kind == "passage" else {})
    for group in ("cased", "uncased"):
        some = [row for row in rows if row.looked.group == group and (row.question.answer or _is_nothing(row))]
        x = np.array([about_features(row.looked, row.candidates, row.features) for row in some])
        there = np.array([bool(row.question.answer) for row in some])
        about[group + mark] = found = _logistic(x, there, ABOUT)
        sure = 1 / (1 + np.exp(-(x @ found[:-1] + found[-1])))
        floor[group + mark] = _floor(sure[~there], options.risk if group == "cased" else options.risk_uncased)
    embedder = _embedder(options.embedder) if mark else before.embedder
    return Ranking(weights, about, floor, {"cased": options.risk, "uncased": options.risk_uncased}, embedder)


def save_ranking(ranking: Ranking, path: Path) -> None:
    atomic_write_json(path, {"features": FEATURES, "about_features": ABOUT, **vars(ranking)})


def _logistic(
    x: np.ndarray, y: np.ndarray, names: Sequence[str], fixed: Mapping[str, _Bound] = MappingProxyType({})
) -> list[float]:
    """Weights of a logistic regression, the bias last, whose signs are what the features mean, or as ``fixed``."""
    from scipy.optimize import minimize

    scale = np.where(x.std(0) > 0, x.std(0), 1.0)
    rows, sign = np.c_[x / scale, np.ones(len(x))], 2.0 * y - 1

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (rows @ weights)
        wrong = sign / (1 + np.exp(np.clip(margin, -30, 30)))
        value = np.logaddexp(0, -margin).sum() + (weights[:-1] ** 2).sum() / (2 * _STRENGTH)
        return float(value), np.append(weights[:-1] / _STRENGTH, 0.0) - wrong @ rows

    known = _BOUNDS | dict(fixed)
    bounds = [*(known.get(name, (0, None)) for name in names), (None, None)]
    found = minimize(loss, np.zeros(rows.shape[1]), jac=True, bounds=bounds, method="L-BFGS-B").x
    return [round(float(value), 4) for value in (*(found[:-1] / scale), found[-1])]


def _is_nothing(row: Row) -> bool:
    """Whether nothing about what is asked for is there. Without capitals "old" may be no part of a name."""
    return row.question.kind in _NOTHING and (row.looked.cased or row.question.kind != "near name")


def _floor(sure: np.ndarray, risk: float) -> float:
    """The least floor under which all but ``risk`` of these lie, one that is yet to come counted (split conformal)."""
    rank = math.ceil((1 - risk) * (len(sure) + 1))
    return round(float(np.sort(sure)[min(rank, len(sure)) - 1]) + 1e-4, 4)


def _embedder(name: str) -> str:
    from reverie.memory.embedders import make_embedder

    return make_embedder(name).name


# figures --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Judged:
    """What a ranking makes of a row."""

    row: Row
    sure: np.ndarray  # float64 (N,)
    something: float
    told: bool  # whether recall has something to say

    @classmethod
    def of(cls, row: Row, ranking: Ranking, vectors: bool) -> _Judged:
        sure, told = ranking.judge(row.looked, row.candidates, vectors)
        return cls(row, sure, ranking.something(row.looked, row.candidates, row.features, vectors), told)

    @property
    def best(self) -> float:
        return float(self.sure.max(initial=0.0))

    def right(self, most: int) -> bool:
        """Whether one of the ``most`` probable candidates holds the answer."""
        return bool(self.row.holds[_order(self.sure)[:most]].any())


def _order(sure: np.ndarray) -> np.ndarray:
    return np.argsort(-sure, kind="stable")


def _figures(judged: Sequence[_Judged]) -> Figures:
    there = [one for one in judged if one.row.question.answer]
    nothing = [one for one in judged if one.row.question.kind in _NOTHING]
    missing = [one for one in judged if not one.row.question.answer]
    something = np.array([one.something for one in (*there, *nothing)])
    sure, holds = (np.concatenate(rows) for rows in zip(*((one.sure, one.row.holds) for one in judged), strict=True))
    best, right = (np.array(rows) for rows in zip(*((one.best, one.right(1)) for one in judged), strict=True))
    return {
        "nothing_said_share": share(not one.told for one in nothing),
        "answerable_kept_share": share(one.told for one in there),
        "recall_at_1": share(one.right(1) for one in there),
        "recall_at_5": share(one.right(5) for one in there),
        "something_auroc": auroc([one.something for one in there], [one.something for one in nothing]),
        "holds_auroc": auroc([one.best for one in there], [one.best for one in missing]),
        "something_ece": calibration_error(something, np.arange(len(something)) < len(there)),
        "holds_ece": calibration_error(sure, holds),
        "first_ece": calibration_error(best, right),
        "n_answerable": len(there),
        "n_nothing": len(nothing),
    }


def _of_kind(judged: Sequence[_Judged]) -> Figures:
    figures: Figures = {"told_share": share(one.told for one in judged)}
    if judged[0].row.question.answer:
        figures["recall_at_1"] = share(one.right(1) for one in judged)
    return figures


def _by_score(rows: Sequence[Row]) -> Figures:
    there = [row.holds[_order(row.score)] for row in rows if row.question.answer]
    nothing = [row for row in rows if row.question.kind in _NOTHING]
    return {
        "nothing_said_share": float(np.mean([not len(row.score) for row in nothing])),
        "recall_at_1": float(np.mean([bool(one[:1].any()) for one in there])),
        "recall_at_5": float(np.mean([bool(one[:5].any()) for one in there])),
        "holds_ece": calibration_error(
            np.concatenate([row.score for row in rows]), np.concatenate([row.holds for row in rows])
        ),
    }


BENCHMARK = Benchmark(
    "ranking",
    "which of what recall finds holds the answer, and whether anything does: probabilities and a floor, held out",
    run,
    options=RankingConfig,
)
