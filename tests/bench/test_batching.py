"""The races of the engine say what they are said to say."""

from __future__ import annotations

from reverie.model import BackboneConfig
from reverie_bench.contract import BenchConfig
from reverie_bench.matmul_floor import matmul_floor
from reverie_bench.registry import run_benchmark


def test_requests_that_arrive_draw_what_they_draw_in_one_batch() -> None:
    report = run_benchmark("batching", BenchConfig(limit=1))
    assert report.figures["rounds_equal"] == 1
    assert report.figures["over_one_after_another"] > 0
    assert set(report.baselines) == {"batch", "alone"}


def test_the_floor_times_a_step() -> None:
    config = BackboneConfig(
        vocab_size=60, hidden_size=32, intermediate_size=48, num_layers=2, num_heads=4, max_positions=96
    )
    assert 0 < matmul_floor(config, num_rows=4, num_steps=3) < 1
