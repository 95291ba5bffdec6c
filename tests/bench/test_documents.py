"""`bench documents` on a tiny corpus: what changed is never told; what stays, and what is new, is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reverie.errors import UsageError
from reverie_bench.contract import BenchConfig
from reverie_bench.documents import BENCHMARK
from reverie_bench.registry import run_benchmark


@pytest.fixture
def settings(tmp_path: Path) -> BenchConfig:
    names = ["Alder", "Birch", "Cedar", "Elm", "Fir", "Hazel", "Linden", "Maple", "Oak", "Pine"]
    corpus = [
        {"title": f"{name} House", "text": f"{name} House was built in {1700 + number} by {name} Stone."}
        for number, name in enumerate(names)
    ]
    asked = [
        {"question": f"Who built {name} House?", "evidence": [[f"{name} House", "builder", f"{name} Stone"]]}
        for name in names
    ]
    (tmp_path / "corpus.json").write_text(json.dumps(corpus))
    (tmp_path / "questions.json").write_text(json.dumps(asked))
    options = ("pages=3", "others=30", "changed=0.3", "deleted=0.2", "embedder=words")
    return BenchConfig(corpus=tmp_path / "corpus.json", questions=tmp_path / "questions.json", options=options)


def test_what_changed_is_never_told_and_what_stays_is_found(settings: BenchConfig) -> None:
    report = run_benchmark("documents", settings)
    figures = report.figures
    assert figures["stale_answers"] == 0
    assert figures["staying_recall_at_5_ratio"] == 1
    assert figures["n_staying"] == 5
    assert figures["n_probes"] == 5
    assert figures["kept_passages"] == 0
    assert figures["new_passages"] == 3
    assert figures["fresh_rank_1_share"] == 1
    assert figures["n_fresh_questions"] == 9
    assert set(report.baselines) == {"bm25", "dense"}


def test_it_says_what_it_needs() -> None:
    with pytest.raises(UsageError, match="needs --corpus FILE and --questions FILE"):
        BENCHMARK.run(BenchConfig())
