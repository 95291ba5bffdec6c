"""`bench changing-facts` on a small memory: ours beside what simpler ones would say."""

from __future__ import annotations

import pytest

from reverie.errors import ConfigError
from reverie_bench import BenchConfig, run_benchmark

SMALL = ("facts=60", "questions=60", "edges=100")


def test_it_counts_what_is_right_beside_simpler_memories() -> None:
    report = run_benchmark("changing-facts", BenchConfig(options=SMALL))
    assert report.n == 60
    assert report.figures["accuracy"] >= 0.95
    assert report.figures["many_accuracy"] == 1.0
    assert set(report.baselines) == {
        *("last_written_wins", "all_values_first", "newest_date_wins", "newest_good_by_hand")
    }
    assert all(rival["accuracy"] < report.figures["accuracy"] for rival in report.baselines.values())
    assert {"usual", "declared", "asked_words"} <= set(report.by)


def test_what_makes_no_sense_is_refused() -> None:
    for wrong in ("facts=1", "gossip=2", "edges=-1"):
        with pytest.raises(ConfigError):
            run_benchmark("changing-facts", BenchConfig(options=(wrong,)))
