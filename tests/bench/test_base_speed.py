"""The race of a tiny base, without the systems that need files or libraries of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from bases import save_base
from reverie.bundles import init_bundle
from reverie.bundles.init import InitConfig
from reverie.errors import ConfigError, UsageError
from reverie_bench import BenchConfig, run_benchmark

TINY = ("new_ids=3", "prefill_ids=20", "rounds=1")


def test_it_races_and_says_who_is_absent(tmp_path: Path) -> None:
    bundle = init_bundle(save_base(tmp_path / "base"), tmp_path / "bundle", InitConfig(dtype="fp32"))
    report = run_benchmark("base-speed", BenchConfig(str(bundle), options=TINY))
    assert report.by["ours_fp32"]["ids_per_second_16"] > 0
    assert report.baselines["transformers"]["prefill_ids_per_second"] > 0
    assert report.figures["fp32_over_transformers_16"] > 0
    assert {"experts_cost_decode_16", "experts_cost_prefill"} <= report.figures.keys()
    assert report.settings["absent"]["q8_0"] == "no GGUF files are given (--data)"


def test_what_cannot_race_is_refused(tmp_path: Path) -> None:
    other = init_bundle(save_base(tmp_path / "base", "gpt2"), tmp_path / "bundle", InitConfig(dtype="fp32"))
    with pytest.raises(UsageError, match="no base in Llama layout"):
        run_benchmark("base-speed", BenchConfig(str(other), options=TINY))
    with pytest.raises(ConfigError, match=r"systems are among fp32, .*, got ollama"):
        run_benchmark("base-speed", BenchConfig(str(other), options=("systems=[ollama]",)))
