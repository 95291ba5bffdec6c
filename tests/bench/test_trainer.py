"""The race of our loop against transformers' Trainer says what it is said to say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.bases import save_base

from reverie.bundles.init import InitConfig, init_bundle
from reverie.errors import ConfigError, UsageError
from reverie_bench.contract import BenchConfig
from reverie_bench.registry import run_benchmark


@pytest.mark.slow  # three processes, each with imports of its own
def test_both_learn_the_same_rows_from_the_same_start(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    bundle = init_bundle(save_base(tmp_path / "base"), tmp_path / "bundle", InitConfig(dtype="fp32"))
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"question": f"{a} plus 2?", "answer": str(a + 2)}) + "\n" for a in range(40)))
    options = ("rounds=1", "batch=2", "rank=2", "precision=fp32")
    report = run_benchmark("trainer", BenchConfig(model=str(bundle), data=rows, limit=3, options=options))
    assert report.figures["loss_difference"] < 1e-4
    for name in ("times_trainer", "times_trainer_by_processor", "memory_of_trainer", "first_step_seconds"):
        assert report.figures[name] > 0
    assert report.baselines["trainer"]["ids_per_second"] > 0


def test_what_it_cannot_race_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="reverie init"):
        run_benchmark("trainer")
    with pytest.raises(ConfigError, match="rounds are at least 1"):
        run_benchmark("trainer", BenchConfig(options=("rounds=0",)))
