"""Lessons are cleaned and parted; training resumes to the same bits; every choice of a design says why."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.growth.conftest import lessons, small_design

import reverie.training.run as run_module
from reverie.errors import ConfigError, DataError, UsageError
from reverie.growth import Design, design, grow_expert
from reverie.growth.creation import cleaned, parted
from reverie.training.adapted import Adapted
from toy_experts import same


class Killed(BaseException):
    """The end of a process, as a test can have it."""


def test_lessons_without_words_repeated_and_contradicted_are_left_out() -> None:
    given = [("What is Rova?", "a car"), ("what is rova", "A  car"), ("Who?", " "), ("Where?", "..."), ("", "no"),
             ("Which?", "one"), ("Which?", "two"), ("3 + 4?", "7"), ("3 - 4?", "-1")]  # fmt: skip
    kept, left_out = cleaned(given)
    assert kept == (("What is Rova?", "a car"), ("3 + 4?", "7"), ("3 - 4?", "-1"))
    assert left_out == {"repeated": 2, "empty": 3, "contradicted": 1}


def test_parts_are_the_same_in_any_order_and_share_nothing() -> None:
    rows = lessons(50)
    made = small_design(rows)
    parts = parted(rows, made)
    assert parts == parted(rows[::-1], made)
    everything = [*parts.taught, *parts.held, *parts.exam]
    assert sorted(everything) == sorted(rows)
    assert (len(parts.exam), len(parts.held)) == (made.exam, made.held)
    with pytest.raises(DataError, match="leave none to teach"):
        parted(rows[:20], made)


@pytest.mark.parametrize("count", [24, 40, 200, 2000])
def test_every_choice_of_a_design_says_why(count: int) -> None:
    made = design(count, 35.0, ["yes", "no"] * (count // 2), experts=3)
    assert {"parts", "rank", "targets", "lr", "steps", "patience", "start"} == set(made.reasons)
    assert count > made.exam + made.held
    assert made.warm


def test_more_lessons_get_more_steps_and_answers_of_their_own_more_room() -> None:
    steps = [design(count).steps for count in (40, 200, 1000)]
    assert steps == sorted(steps)
    assert design(2000).lora.rank > design(2000, answers=["yes", "no"] * 1000).lora.rank


def test_bad_designs_and_too_few_lessons_are_refused() -> None:
    with pytest.raises(DataError, match="5 different lessons prove nothing"):
        design(5)
    with pytest.raises(ConfigError, match="at least 1"):
        Design(steps=0)


def test_a_killed_run_goes_on_to_the_same_bits(adapted: Adapted, tmp_path: Path, monkeypatch: Any) -> None:
    rows = lessons(40)
    made = replace(small_design(rows, 8), eval_every=3)
    whole = grow_expert(adapted, rows, made, tmp_path / "whole")
    with monkeypatch.context() as patched:
        real, count = run_module.Run.take_step, iter(range(100))

        def dies(self: Any, batches: Any) -> bool:
            if next(count) == 5:
                raise Killed
            return real(self, batches)

        patched.setattr(run_module.Run, "take_step", dies)
        with pytest.raises(Killed):
            grow_expert(adapted, rows, made, tmp_path / "cut")
    again = grow_expert(adapted, rows, made, tmp_path / "cut")
    assert same(again.adapter, whole.adapter)
    assert same(grow_expert(adapted, rows, made, tmp_path / "cut").adapter, whole.adapter)  # done: nothing is trained
    with pytest.raises(UsageError, match="holds a run on other lessons"):
        grow_expert(adapted, lessons(41), made, tmp_path / "cut")
    with pytest.raises(UsageError, match="the design wants changes"):
        grow_expert(adapted, rows, replace(made, lora=replace(made.lora, rank=2)), tmp_path / "other")


def test_it_starts_from_an_expert_that_helps(adapted: Adapted, clean: Any, tmp_path: Path) -> None:
    rows = lessons(40)
    made = replace(small_design(rows, 3), warm=True)
    grown = grow_expert(adapted, rows, made, tmp_path / "warm", {"ways": clean.adapter})
    assert grown.parents == ("ways",)
    shutil.rmtree(grown.folder / "run")
    assert same(grow_expert(adapted, rows, made, tmp_path / "warm").adapter, grown.adapter)  # the start lies there
