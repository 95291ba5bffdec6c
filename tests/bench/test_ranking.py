"""`bench ranking` on a handful of made-up things."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reverie.memory.judging import load_ranking
from reverie_bench import ranking
from reverie_bench.contract import BenchConfig
from reverie_bench.ranking_rows import FAMILIES, make_rows
from reverie_bench.registry import run_benchmark


def test_the_packaged_ranking_is_measured_and_another_one_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "_SIZES", ((24, 30),))
    settings = BenchConfig(options=("embedder=none",), write=tmp_path / "ranking.json")
    report = run_benchmark("ranking", settings)
    assert report.figures["recall_at_5"] > 0.8
    assert report.figures["nothing_said_share"] > report.baselines["spreading_alone"]["nothing_said_share"]
    assert {"cased", "uncased", "page", "fact", "near_name"} <= set(report.by)
    fitted, packaged = load_ranking(tmp_path / "ranking.json"), load_ranking()
    assert fitted.weights["fact"] != packaged.weights["fact"]
    assert fitted.weights["fact+vectors"] == packaged.weights["fact+vectors"]


def test_the_two_families_share_neither_kinds_nor_wordings() -> None:
    fit, held = FAMILIES.values()
    assert set(fit.kinds) & set(held.kinds) == {""}  # people, whom both tell of
    ways = [
        {way for name, relations in one.kinds.items() if name for relation in relations for way in relation[1]}
        for one in (fit, held)
    ]
    assert not ways[0] & ways[1]
    assert not {row[0] for row in fit.everyday} & {row[0] for row in held.everyday}


def test_rows_hold_what_they_say() -> None:
    told = make_rows(FAMILIES["fit"], 30, 20, np.random.default_rng(1))
    said = {(row.subject, row.object) for row in told.facts}
    for question in told.questions:
        if question.answer:
            assert (question.gold, question.answer) in said or question.answer in told.pages[question.gold]
    assert {one.kind for one in told.questions} >= {"fact", "page", "unheard", "near name", "two steps", "general"}
