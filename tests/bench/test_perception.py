"""`bench perception` trains every variant on the same lessons, and names what each is."""

from __future__ import annotations

import pytest

from reverie.errors import ConfigError
from reverie.training.perception import PerceptionData
from reverie_bench import BenchConfig, run_benchmark
from reverie_bench.perception import VARIANTS, variant


def test_variants_differ_as_their_names_say() -> None:
    made = {name: variant(PerceptionData(), name) for name in VARIANTS}
    assert [len(made[name].model.vision) for name in ("one", "two", "four")] == [1, 2, 4]
    assert [len(made[name].model.graph) for name in ("other_one", "two_ungated", "four")] == [1, 2, 4]
    assert made["without_graph"].without == ("graph",)
    assert not made["two_ungated"].model.gates.gated
    assert made["one"].model.vision[0].kind != made["other_one"].model.vision[0].kind


def test_a_small_run_reports_all_it_was_asked_for() -> None:
    options = ("steps=2", "seeds=2", "scenes=60", "lessons=60", "batch_size=4", "variants=[one,two,without_text]")
    report = run_benchmark("perception", BenchConfig(limit=8, options=options))
    assert report.n == 8
    assert set(report.by) == {"one", "two", "without_text"}
    assert report.by["two"]["n"] == 16
    assert report.by["one"]["parameters"] < report.by["two"]["parameters"]
    assert report.figures["answers_share"] == report.by["two"]["answers_share"]
    assert set(report.baselines) == {"constant", "like_question", "world"}


def test_variants_that_do_not_exist_are_refused() -> None:
    for options in (("variants=[three]",), ("seeds=0",), ("stops=3",)):
        with pytest.raises(ConfigError):
            run_benchmark("perception", BenchConfig(options=options))
