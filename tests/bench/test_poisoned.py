"""What the sets of `bench poisoned` hold, and that a candidate goes the whole way on a tiny base."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.bases import save_base

from reverie.bundles.init import InitConfig, init_bundle
from reverie.errors import ConfigError
from reverie_bench import BenchConfig, run_benchmark
from reverie_bench.poisoned import KINDS, PoisonedOptions, poisoned

FEW = ("trial.outsiders=8", "trial.drawn_in=4")
ROWS = [(f"question {place}", ["yes", "no", "perhaps"][place % 3]) for place in range(30)]


def changed(kind: str) -> int:
    made = poisoned(ROWS, kind, 0.3, np.random.default_rng(0))
    assert [question for question, _ in made] == [question for question, _ in ROWS]
    return sum(one != other for one, other in zip(made, ROWS, strict=True))


def test_each_kind_of_harm_is_what_it_says() -> None:
    assert changed("clean") == 0
    assert changed("wrong") == 9
    assert changed("shuffled") > 10
    assert {answer for _, answer in poisoned(ROWS, "constant", 0.3, np.random.default_rng(0))} == {"yes"}
    assert {answer for _, answer in poisoned(ROWS, "empty", 0.3, np.random.default_rng(0))} == {""}
    assert KINDS.count("wrong") == len(KINDS) / 2


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="no kind 'odd'"):
        PoisonedOptions(kinds=("odd",))
    with pytest.raises(ConfigError, match="needs tasks"):
        PoisonedOptions(tasks=())


def test_a_base_that_learns_nothing_admits_nobody(tmp_path: Path) -> None:
    bundle = init_bundle(save_base(tmp_path / "llama"), tmp_path / "bundle", InitConfig(dtype="fp32"))
    options = ("clean=1", "harmful=2", "lessons=40", "steps=2", "kinds=[shuffled,empty]", "tasks=[egg]", *FEW)
    found = run_benchmark("poisoned", BenchConfig(model=str(bundle), options=options))
    assert found.n == 3
    assert (found.figures["harmful_admitted_share"], found.figures["clean_admitted_share"]) == (0.0, 0.0)
    assert "prove nothing" in found.settings["why_not"]["02 empty egg"]
