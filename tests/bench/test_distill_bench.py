from __future__ import annotations

from pathlib import Path

import pytest
from tests.bases import toy_base, toy_words
from tests.training.test_distillation import ANSWERS, trace_of

from reverie.bundles.init import InitConfig, init_bundle
from reverie.errors import ConfigError
from reverie.teachers.traces import Traces
from reverie.training.word_models import WordModel
from reverie_bench.contract import BenchConfig
from reverie_bench.registry import run_benchmark

SMALL = (
    "steps=2",
    "fresh_steps=2",
    "seeds=[0,1]",
    "hidden_size=32",
    "num_layers=1",
    "text_size=300",
    "batch_size=2",
    "trl_steps=0",
)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    toy_base("llama").save_pretrained(folder / "base")
    toy_words().save_pretrained(folder / "base")
    return init_bundle(folder / "base", folder / "bundle", InitConfig(dtype="fp32"))


def test_students_are_compared_on_equal_steps(teacher: Path, tmp_path: Path) -> None:
    model = WordModel(teacher)
    with Traces(tmp_path / "traces.jsonl") as traces:
        for number in range(12):
            traces.append(trace_of(model, f"What happens {number}?", ANSWERS[number % 4]))
    settings = BenchConfig(model=str(teacher), data=tmp_path / "traces.jsonl", options=SMALL)
    report = run_benchmark("distill", settings)
    assert report.n == 4  # a third is tested on
    assert report.figures.keys() >= {"same_full_gain", "fresh_top_gain", "top_of_full", "across_of_same"}
    assert report.baselines.keys() == {"same_hard", "fresh_hard", "fresh_uld"}
    assert report.by["fresh_top"].keys() == {"seed_0", "seed_1"}
    assert report.figures["fresh_top_nats_a_byte"] == pytest.approx(sum(report.by["fresh_top"].values()) / 2)


def test_what_is_not_there_to_learn_from_is_one_line() -> None:
    with pytest.raises(ConfigError, match="held to"):
        run_benchmark("distill", BenchConfig(options=("same=[beauty]",)))
