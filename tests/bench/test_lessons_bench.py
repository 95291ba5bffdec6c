"""The lessons benchmark: what a lying teacher leaves, with and without second answers."""

from __future__ import annotations

from reverie_bench import run_benchmark
from reverie_bench.contract import BenchConfig


def test_a_second_answer_finds_lies_by_chance_and_no_stubborn_ones() -> None:
    report = run_benchmark("lessons", BenchConfig(limit=60))
    assert report.n == 60
    assert report.figures["by_chance_wrong_share"] < 0.03
    assert report.figures["stubborn_wrong_share"] > 0.15
    assert report.baselines["no second answer"]["by_chance_wrong_share"] > 0.15
    assert report.by["by_chance_0"]["kept_share"] == 1
