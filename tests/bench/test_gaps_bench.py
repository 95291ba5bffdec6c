"""Telling gaps apart, and a small base that knows other tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from reverie.errors import ConfigError, UsageError
from reverie_bench import BenchConfig, run_benchmark
from reverie_bench.gaps_base import KNOWN, small_base

PEOPLE, THINGS = ("Mary", "John", "Sandra", "Daniel"), ("kitchen", "garden", "office")
KINDS = {6: "Is {0} in the {1}?", 7: "How many objects is {0} carrying to the {1}?"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Files in bAbI's format: of the tasks that the base knows, and of two others."""
    (tmp_path / "babi").mkdir()
    asked = {int(name[-2:]): "Where is {0}?" for name in KNOWN} | KINDS
    for task, question in asked.items():
        for part, start in (("train", 0), ("test", 40)):
            lines = []
            for at in range(start, start + 40):
                who, where = PEOPLE[at % 4], THINGS[at % 3]
                lines += [
                    f"1 {who} went to the {where} on day {at} of {task}.",
                    f"2 {question.format(who, where)}\t{where}\t1",
                ]
            (tmp_path / "babi" / f"qa{task}_some-task_{part}.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_gaps_of_two_models_are_counted_beside_simple_ways(data: Path, tmp_path: Path) -> None:
    options = ("tasks=[babi-06,babi-07]", f"small={tmp_path / 'base'}", "steps=2")
    report = run_benchmark("gaps", BenchConfig(data=data, limit=8, options=options))
    assert report.n == 16
    assert {"adjusted_rand", "gaps", "alone_share"} <= report.figures.keys()
    assert report.baselines["one gap"]["adjusted_rand"] == 0
    assert 0 <= report.by["small_base"]["known_accuracy"] <= 1
    assert set(report.settings["names"]) == {"nano", "small base"}
    assert not any("babi" in name for names in report.settings["names"].values() for name in names)
    assert small_base(tmp_path / "base", data, 2).features(["Is Mary in the garden?"]).shape == (1, 256)  # made once


def test_what_is_missing_is_one_line(tmp_path: Path, data: Path) -> None:
    with pytest.raises(UsageError, match="--data"):
        run_benchmark("gaps", BenchConfig(data=tmp_path / "nothing"))
    with pytest.raises(UsageError, match="no task 'babi-16'"):
        run_benchmark("gaps", BenchConfig(data=data, options=("tasks=[babi-06,babi-16]",)))
    with pytest.raises(ConfigError, match="at least two"):
        run_benchmark("gaps", BenchConfig(data=data, options=("tasks=[babi-06]",)))
    (data / "babi" / "qa2_some-task_test.txt").unlink()
    with pytest.raises(UsageError, match="babi-02"):
        small_base(tmp_path / "other", data, 2)
