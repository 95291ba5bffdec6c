"""The race of crowds at the server says what it is said to say."""

from __future__ import annotations

from pathlib import Path

import pytest

from reverie.errors import ConfigError, UsageError
from reverie_bench.contract import BenchConfig
from reverie_bench.registry import run_benchmark
from toy_serving import toy_bundle


def test_crowds_are_raced_and_llama_cpp_is_told_to_be_absent(tmp_path: Path) -> None:
    bundle, empty = toy_bundle(tmp_path), tmp_path / "empty"
    empty.mkdir()
    options = ("clients=[1,3]", "requests=4", "new_ids=3", "rounds=1", "threads=1", f"gguf={empty}")
    report = run_benchmark("serving", BenchConfig(model=str(bundle), options=options))
    assert report.n == 8
    assert report.figures["over_one_after_another_1"] == 1
    assert report.figures["over_one_after_another_3"] > 0
    assert set(report.by) == {"clients_1", "clients_3"}
    assert set(report.baselines) == {"one_after_another"}
    assert "0 of the 8 adapters" in report.settings["llama_cpp"]


def test_who_does_not_go_on_with_texts_is_refused() -> None:
    with pytest.raises(UsageError, match="such as smol"):
        run_benchmark("serving", BenchConfig(model="nano"))
    with pytest.raises(ConfigError, match="at least 1"):
        run_benchmark("serving", BenchConfig(options=("clients=[0]",)))
