"""The race of training against PEFT says what it is said to say."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.bases import save_base

from reverie.bundles.init import InitConfig, init_bundle
from reverie.errors import ConfigError, UsageError
from reverie_bench.contract import BenchConfig
from reverie_bench.registry import run_benchmark


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")  # of PEFT
def test_both_train_the_same(tmp_path: Path) -> None:
    bundle = init_bundle(save_base(tmp_path / "base"), tmp_path / "bundle", InitConfig(dtype="fp32"))
    report = run_benchmark(
        "lora-training", BenchConfig(model=str(bundle), limit=2, options=("rows=2", "length=8", "rank=2"))
    )
    assert report.figures["loss_difference"] < 1e-5
    assert report.figures["times_peft"] > 0
    assert report.baselines["peft"]["ids_per_second"] > 0


def test_what_it_cannot_race_is_one_line() -> None:
    with pytest.raises(UsageError, match="reverie init"):
        run_benchmark("lora-training")
    with pytest.raises(ConfigError, match="length at least 2"):
        run_benchmark("lora-training", BenchConfig(options=("length=1",)))
