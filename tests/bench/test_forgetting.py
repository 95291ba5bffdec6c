"""The benches of learning in a row run whole on a tiny base, and count what they say they count."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.bases import save_base

from reverie.bundles.init import InitConfig, init_bundle
from reverie.errors import ConfigError, UnknownNameError, UsageError
from reverie_bench.adaptation import AdaptationOptions
from reverie_bench.contract import BenchConfig
from reverie_bench.forgetting import SYSTEMS, Course
from reverie_bench.registry import run_benchmark
from reverie_bench.skills_in_words import everyday_thing, skills_of


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    home = tmp_path_factory.mktemp("base")
    return str(init_bundle(save_base(home / "base"), home / "bundle", InitConfig(dtype="fp32")))


def test_seven_ways_of_learning_in_a_row(model: str) -> None:
    options = ("skills=[lake,everyday]", "steps=2", "rank=2", "fisher_rows=2", "tests=4", "rows=12", "batch_size=2")
    report = run_benchmark("forgetting", BenchConfig(model=model, options=options))
    assert set(report.baselines) == {*SYSTEMS, "untaught"} - {"routed"}
    assert report.figures["unrouted_bit_equal"] == 1.0 or report.figures["unrouted_share"] == 0
    assert 0 <= report.figures["routing_accuracy"] <= 1
    assert report.n == 8
    assert report.figures["below_joint"] == report.baselines["joint"]["accuracy"] - report.figures["accuracy"]


def test_what_is_lost_is_counted_on_the_earlier_skills_alone() -> None:
    figures = Course({"a": 1.0, "b": 0.5, "c": 0.2}, {"a": 0.5, "b": 0.75, "c": 0.2}).figures()
    assert figures["backward_transfer"] == pytest.approx(-0.125)
    assert figures["kept_share"] == pytest.approx(1.0 / 1.5)
    assert figures["accuracy"] == pytest.approx(1.45 / 3)


def test_a_mixture_beside_a_cold_start(model: str) -> None:
    options = ("taught=[glass]", "new=[plate]", "sizes=[2,4]", "taught_steps=2", "steps=2", "rank=2", "questions=40")
    report = run_benchmark("adaptation", BenchConfig(model=model, options=options))
    assert report.figures["times_fewer"] == pytest.approx(
        report.baselines["cold"]["examples_cold"] / report.figures["examples_warm"]
    )
    assert report.by.keys() == {"plate_warm", "plate_cold", "plate_cold_all"}


def test_skills_keep_their_test_rows_apart_and_come_the_same_again() -> None:
    for skill in skills_of(("lake", "everyday"), None, 50, 0):
        assert len(skill.train) == 50
        assert not {question for question, _ in skill.train} & {question for question, _ in skill.test}
    assert skills_of(("lake",), None, 9, 1) == skills_of(("lake",), None, 9, 1)
    thing = everyday_thing("egg", 60, 0)
    first = [answer for _, answer in thing.train]
    assert len(set(first[:4])) == 4  # every answer comes in turn
    (lake,) = skills_of(("lake",), None, 9999, 0)
    question = "A lake has 3 rows and 3 columns. The elf in row 1, column 1 goes up. Where is it?"
    assert (question, "row 1, column 1") in (*lake.train, *lake.test)


def test_what_cannot_be_run_is_one_line(model: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="need --data"):
        run_benchmark("forgetting", BenchConfig(model=model))
    (tmp_path / "babi").mkdir()
    for part in ("train", "test"):
        told = "".join(f"{place} Bob, of whom nothing else is said, stays.\n" for place in range(3, 9))
        story = f"1 Ann went {part}.\n2 Where is Ann?\t{part}\t1\n{told}9 Where is Ann?\t{part}\t1\n"
        (tmp_path / "babi" / f"qa1_one_{part}.txt").write_text(story)
    (short,) = skills_of(("babi-01",), tmp_path, 9, 0)  # of long stories the beginning
    assert short.test == (("Ann went test. Where is Ann?", "test"),)
    with pytest.raises(UnknownNameError, match="skill in words 'lakes'"):
        skills_of(("lakes",), tmp_path, 9, 0)
    with pytest.raises(ConfigError, match="no system 'magic'"):
        run_benchmark("forgetting", BenchConfig(model=model, options=("systems=[magic]",)))
    with pytest.raises(ConfigError, match="none that was taught"):
        AdaptationOptions(taught=("egg",), new=("egg",))
