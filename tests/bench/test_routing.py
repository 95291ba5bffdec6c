"""Routing between domains: rows, the run folder, and the whole benchmark on three small domains."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from reverie.errors import ConfigError, DataError, UsageError
from reverie.training.routing_table import NOBODY, Table
from reverie.training.rows import read_rows
from reverie_bench import BenchConfig, run_benchmark
from reverie_bench.domains import GYM_TASKS, babi_domains, gym_domains, outsiders, write_rows
from reverie_bench.routing_baselines import nearest

RECIPES = {
    "routing-base.yaml": """
data:
  echo: 0.5
  text_size: 400
  max_ids: 300
  batch_size: 8
  model: {hidden_size: 32, intermediate_size: 64, num_layers: 2, num_heads: 2, max_positions: 400, vocab_size: 0}
loop: {steps: 30, lr: 1.0e-2, warmup_steps: 2, eval_every: 0, tensorboard: false}
""",
    "routing-expert.yaml": """
data: {lora: {rank: 2, alpha: 4}, batch_size: 8, max_ids: 300, question_weight: 0.0}
loop: {steps: 12, lr: 1.0e-2, warmup_steps: 2, eval_every: 0, patience: 0, tensorboard: false}
""",
    "routing-router.yaml": """
data: {targets: owner, rows_a_source: 40}
loop: {steps: 60, lr: 1.0e-2, warmup_steps: 2, precision: fp32, eval_every: 0, tensorboard: false}
""",
}
PEOPLE, PLACES = ("Mary", "John", "Sandra"), ("kitchen", "garden", "hallway", "office")


def story(number: int) -> str:
    lines = []
    for step in range(2):
        who, place = PEOPLE[(number + step) % 3], PLACES[(number // 3 + step) % 4]
        lines += [f"{3 * step + 1} {who} went to the {place}.", f"{3 * step + 2} Number {number} sat down."]
        lines += [f"{3 * step + 3} Where is {who}? \t{place}\t{3 * step + 1}"]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks of bAbI's format, one of which has no file for training, and a little of everything else."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "babi").mkdir()
    babi = folder / "babi"
    babi.joinpath("qa1_where_train.txt").write_text("".join(story(number) for number in range(60)))
    babi.joinpath("qa1_where_test.txt").write_text("".join(story(number) for number in range(100, 115)))
    babi.joinpath("qa3_apples_test.txt").write_text("".join(story(number) for number in range(200, 210)))
    for name, text in (
        ("tinyshakespeare/input.txt", "First Citizen:\nBefore we proceed.\n\nAll:\nSpeak, speak.\n" * 40),
        ("wikitext-2/valid.txt", " = Homarus = \n Homarus is a lobster , found in the sea near Norway . \n" * 9),
        ("wikitext-2/test.txt", " Robert is an English actor who was seen in films , plays and on television . \n"),
        ("gsm8k/test.jsonl", '{"question": "Two ducks lay three eggs each. How many?", "answer": "6"}\n'),
        ("ecare/dev_full.jsonl", '{"premise": "It rained.", "ask-for": "effect"}\n'),
        ("opentriviaqa/general", "#Q Which drink has caffeine?\n^ Coffee\nA Coffee\nB Milk\n"),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    for name, text in RECIPES.items():
        (folder / name).write_text(text)
    return folder


def test_a_babi_row_is_a_story_up_to_its_question(data: Path) -> None:
    (domain,) = babi_domains(data / "babi", count=1000)
    assert domain.name == "babi-01"
    assert domain.train[0] == ("Mary went to the kitchen. Number 0 sat down. Where is Mary?", "kitchen")
    assert domain.train[1][0].startswith("Mary went to the kitchen. Number 0 sat down. John went to the garden.")
    assert (len(domain.train), len(domain.test)) == (120, 30)
    assert not {question for question, _ in domain.train} & {question for question, _ in domain.test}


def test_babi_that_is_absent_or_broken_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no task of bAbI"):
        babi_domains(tmp_path)
    for part in ("train", "test"):
        (tmp_path / f"qa1_where_{part}.txt").write_text("1 Mary left.\nno number\n")
    with pytest.raises(DataError, match="line 2"):
        babi_domains(tmp_path)


def test_gym_rows_are_the_same_again_and_apart() -> None:
    domains = gym_domains(count=40)
    assert len(domains) == len(GYM_TASKS) == 20
    assert domains == gym_domains(count=40)
    for domain in domains:
        questions = [question for question, _ in (*domain.train, *domain.test)]
        assert len(set(questions)) == len(questions) > len(domain.train) > 0
    assert domains[0].train != gym_domains(count=40, seed=1)[0].train


def test_outsiders_for_training_are_of_other_kinds_than_for_testing(data: Path) -> None:
    training, testing = outsiders(data, count=5)
    assert not set(training) & set(testing)
    assert {"babi-03", "gsm8k", "ecare", "wikitext", "opentriviaqa"} < set(testing)
    taught = {f"gym-{name.replace('_', '-')}" for name in GYM_TASKS}
    assert not taught & (set(training) | set(testing))
    assert all(0 < len(questions) <= 5 for questions in (training | testing).values())


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    rows = [("Where?", "there"), ("«Why»\u2028?", "because")]
    write_rows(tmp_path / "new" / "rows.jsonl", rows, "some")
    assert read_rows(tmp_path / "new" / "rows.jsonl") == rows


def test_the_nearest_mean_refuses_what_is_far() -> None:
    generator = torch.Generator().manual_seed(0)
    centers = 10 * torch.eye(3, 8)
    features = torch.cat([center + 0.1 * torch.randn(20, 8, generator=generator) for center in centers])
    owners = torch.arange(3).repeat_interleave(20)
    table = Table(("a", "b", "c"), features, torch.zeros(60, 4), owners)
    assert nearest(table, centers) == [(("a", 1.0),), (("b", 1.0),), (("c", 1.0),)]
    assert nearest(table, -centers.sum(0, keepdim=True) * torch.eye(8)[5] - 9 * torch.eye(8)[:1]) == [()]
    assert NOBODY not in owners


@pytest.mark.slow
def test_the_whole_benchmark_resumes_and_reports(data: Path, recipes: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    options = (
        f"run_dir={run_dir}", f"recipes={recipes}", "domains=[babi-01,gym-gcd,gym-products]", "draws=60", "test_rows=6",
        "router_rows=40", "gain_rows=20", "outsider_rows=8", "single=2",
    )  # fmt: skip
    report = run_benchmark("routing", BenchConfig(data=data, options=options))
    wanted = {"own_expert", "base", "nearest_mean", "merged_ties", "uniform_average", "all_domains", "arrow"}
    assert wanted < set(report.baselines)
    assert report.baselines["own_expert"]["quality"] in (0.0, 1.0)  # of itself; 0 where it answers nothing
    assert report.baselines["own_expert"]["quality_nats"] == pytest.approx(1)
    assert report.baselines["base"]["quality_nats"] == pytest.approx(0)
    assert report.figures["routing_accuracy"] > 0.6
    assert {"babi-01", "gsm8k", "threshold 0.3", "router no_balance", "router later_experts"} < set(report.by)
    experts = {path: path.stat().st_mtime_ns for path in run_dir.glob("library/*/adapter_model.safetensors")}
    again = run_benchmark("routing", BenchConfig(data=data / "babi", options=options))
    assert {path: path.stat().st_mtime_ns for path in experts} == experts
    assert {**again.figures, "cost_ratio": 0} == {**report.figures, "cost_ratio": 0}
    with pytest.raises(UsageError, match="other rows"):
        run_benchmark("routing", BenchConfig(data=data, options=(*options, "draws=61")))


def test_bad_settings_are_one_line(tmp_path: Path, data: Path) -> None:
    with pytest.raises(UsageError, match="--data FOLDER"):
        run_benchmark("routing", BenchConfig(data=tmp_path))
    with pytest.raises(UsageError, match="--data FOLDER"):
        run_benchmark("routing", BenchConfig())
    with pytest.raises(ConfigError, match="at least 1"):
        run_benchmark("routing", BenchConfig(data=data, options=("draws=0",)))
    options = (f"run_dir={tmp_path}", "domains=[cooking]", "draws=2")
    with pytest.raises(UsageError, match="no domains cooking"):
        run_benchmark("routing", BenchConfig(data=data, options=options))
