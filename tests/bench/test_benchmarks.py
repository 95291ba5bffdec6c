"""Every benchmark on a few rows with a model that knows nothing: what it reports, and that it holds to the contract."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from reverie.dreaming import dreamer
from reverie.errors import ConfigError, ContractError, MissingExtraError, UnknownNameError, UsageError
from reverie.registry import Registry
from reverie.worlds.everyday import is_held_out, is_test_scene
from reverie_bench import (
    BenchConfig,
    Benchmark,
    Findings,
    Report,
    benchmark_names,
    check_report,
    dreams,
    get_benchmark,
    register_benchmark,
    run_benchmark,
)
from reverie_bench import registry as registry_module
from reverie_bench.everyday import make_rows
from reverie_bench.unknown import taught_rows
from toys import toy_bundle

OUTCOMES = (
    {"desc": ["SFF", "FHF", "FFG"], "actions": "RRDD", "safe": "Y"},
    {"desc": ["SHF", "FFF", "FFG"], "actions": "R", "safe": "N"},
    {"desc": ["SGH", "FFF", "FFF"], "actions": "RR", "safe": "N"},  # walks on over the goal
)
TRIVIA = "#Q Who wrote Hamlet?\n^ Shakespeare\nA Shakespeare\n\n#Q How many moons has Mars?\n^ Two\nA Two\nB Three\n"
COINS = """
from reverie_bench import Benchmark, Findings

FINDINGS = Findings(3, {"accuracy": 0.5}, baselines={"heads": {"accuracy": 0.5}})
BENCHMARK = Benchmark("coins", "how often a toss is foretold", lambda settings: FINDINGS)
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(toy_bundle(tmp_path_factory.mktemp("toy")))


@pytest.fixture(autouse=True)
def short_dreams(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy would dream on until it runs out of room."""
    monkeypatch.setitem(dreamer.LONGEST, "end", 64)
    monkeypatch.setattr(dreams, "NUM_IDS", 8)


def rows_file(folder: Path, rows: tuple[dict[str, object], ...]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_outcomes_stand_beside_always_safe(bundle: str, tmp_path: Path) -> None:
    report = run_benchmark("frozenlake-outcome", BenchConfig(bundle, rows_file(tmp_path, OUTCOMES)))
    assert report.n == 3
    assert report.baselines["always_safe"]["accuracy"] == pytest.approx(1 / 3)
    assert report.baselines["world"]["accuracy"] == 1.0  # the walk over the goal and into a hole included
    assert {"accuracy", "accuracy_world", "frame_exact", "rows_exact", "n_unseen", "accuracy_unseen"} <= set(
        report.figures
    )
    assert set(report.by) == {"steps_1", "steps_2", "steps_4"}
    assert report.published[0].value == 0.856
    assert report.seconds > 0
    assert "core" in report.hardware
    assert report.commit


def test_plans_stand_beside_both_rules_at_every_size(bundle: str, tmp_path: Path) -> None:
    path = rows_file(tmp_path, ({"desc": ["SHF", "FFF", "FFG"]}, {"desc": ["GF", "FS"], "size": 2}))
    report = run_benchmark("frozenlake-planning", BenchConfig(bundle, path))
    assert report.n == 2
    assert report.baselines["row_first"]["exact_match"] == 1.0
    assert report.baselines["column_first"]["exact_match"] == 0.5
    assert report.baselines["column_first"]["exact_match_released_check"] == 1.0
    assert set(report.by) == {"size_2", "size_3", "sizes_3_6"}
    assert report.by["size_3"]["column_first_exact_match"] == 0.0
    assert report.figures["imagined_steps"] >= 4
    assert report.settings["track"] == "unsaid"


def test_everyday_makes_rows_that_were_never_trained_on(bundle: str, tmp_path: Path) -> None:
    written = tmp_path / "rows.jsonl"
    report = run_benchmark("everyday", BenchConfig(bundle, limit=1, branches=1, write=written))
    rows = [json.loads(line) for line in written.read_text().splitlines()]
    assert [is_held_out(row["options"]) for row in rows] == [False, True]
    assert is_test_scene(rows[0]["options"])
    assert report.n == 2
    assert report.figures["n_held_out"] == 1
    assert {"accuracy", "held_out_accuracy", "no_picture_accuracy", "frame_exact", "state_exact", "state_read"} <= set(
        report.figures
    )
    assert set(report.baselines) == {"majority", "majority_of_form", "direct"}
    again = run_benchmark("everyday", BenchConfig(bundle, data=written, branches=1))
    assert again.figures == pytest.approx(report.figures, nan_ok=True)


def test_everyday_asks_about_given_scenes(bundle: str, tmp_path: Path) -> None:
    scene = {"options": {"thing": "egg", "action": "drop"}}
    asked = scene | {"question": "What happens when you drop an egg?", "answer": "It breaks."}
    report = run_benchmark("everyday", BenchConfig(bundle, rows_file(tmp_path, (scene, asked)), branches=1))
    assert report.n == 2
    assert "form_given" in report.by


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"options": {"thing": "eg", "action": "drop"}}, "Did you mean 'egg'"),
        ({"options": 3}, "options are an object"),
        ({"options": {"thing": "egg", "action": "drop"}, "question": "why?"}, "the field 'answer' is missing"),
        ({"options": {"thing": "egg", "action": "drop"}, "question": "a", "answer": 5}, "are texts"),
    ],
)
def test_a_malformed_scene_is_named_by_its_line(
    bundle: str, tmp_path: Path, row: dict[str, object], fault: str
) -> None:
    with pytest.raises(UsageError, match=f"line 1: .*{fault}"):
        run_benchmark("everyday", BenchConfig(bundle, rows_file(tmp_path, (row,))))


def test_rows_are_the_same_for_the_same_seed() -> None:
    assert make_rows(3, 5, is_test_scene) == make_rows(3, 5, is_test_scene) != make_rows(3, 6, is_test_scene)


def test_unknown_compares_taught_questions_with_a_quiz(bundle: str, tmp_path: Path) -> None:
    (tmp_path / "quiz").write_text(TRIVIA + f"\n#Q {'why ' * 2000}?\n^ No\n")  # the last one is too long to be asked
    report = run_benchmark("unknown", BenchConfig(bundle, tmp_path, limit=3, branches=1))
    assert report.n == 3 + 2
    assert {"auroc", "ece", "known_share_taught", "known_share_strange"} <= set(report.figures)
    assert set(report.baselines) == {"question_length", "mean_log_prob"}
    assert report.by["strange"]["n"] == 2


def test_pictures_asks_about_lakes_and_what_is_none(bundle: str, tmp_path: Path) -> None:
    for number in range(6):
        Image.new("RGB", (90, 70), "red").save(tmp_path / f"{number}.png")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    settings = BenchConfig(bundle, tmp_path, limit=1, branches=1)
    reports = [run_benchmark("pictures", replace(settings, options=(f"split={split}",))) for split in ("test", "dev")]
    assert sum(report.by["real_picture"]["n"] for report in reports) == 6
    assert {"right_share", "no_lake_known_share"} <= set(reports[0].figures)
    with pytest.raises(ConfigError, match="split is test or dev"):
        run_benchmark("pictures", replace(settings, options=("split=all",)))


def test_half_of_the_taught_questions_are_about_lakes() -> None:
    rows = taught_rows(7, 0)
    asked = [text for text, _ in rows]
    assert len(set(asked)) == 7
    assert [world for _, (world, _) in rows] == [None] * 4 + ["FrozenLake"] * 3
    assert sum(any(word in each for word in ("left", "right", "up", "down")) for each in asked[4:]) == 3


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_dreams_race_the_same_weights_to_the_same_ids(bundle: str) -> None:
    pytest.importorskip("transformers")
    report = run_benchmark("dreams", BenchConfig(bundle, limit=1))
    assert report.figures["ids_equal"] == 1.0
    assert {"speedup_1", "speedup_4", "speedup_16", "floor_share_16", "steps_per_second_16"} <= set(report.figures)
    assert report.baselines["transformers_generate"]["ids_per_second_1"] > 0


@pytest.mark.slow
def test_startup_times_fresh_processes(bundle: str) -> None:
    report = run_benchmark("startup", BenchConfig(bundle, limit=1))
    assert set(report.figures) == {"import_s", "help_s", "ask_s", "recall_s", "recall_cpu_s"}
    assert set(report.baselines["bare"]) == {"python_s", "import_torch_s"}


def test_the_image_tokenizer_is_measured_world_by_world(bundle: str) -> None:
    pytest.importorskip("torchmetrics")
    report = run_benchmark("image-tokenizer", BenchConfig(bundle, limit=4))
    assert set(report.by) == {"world_frozenlake", "world_everyday"}
    assert {"psnr", "ssim", "perplexity", "state_recovery", "collisions"} <= set(report.figures)
    assert report.n == 8


# contract and registry --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", benchmark_names())
def test_every_benchmark_says_what_it_is(name: str) -> None:
    benchmark = get_benchmark(name)
    assert benchmark.name == name
    assert benchmark.about
    assert "\n" not in benchmark.about + benchmark.data


def test_an_unknown_benchmark_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'everyday'"):
        get_benchmark("everday")


def test_a_benchmark_can_be_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "_BENCHMARKS", Registry("benchmark", {}))
    findings = Findings(3, {"accuracy": 1.0}, baselines={"coin": {"accuracy": 0.5}})
    register_benchmark(Benchmark("toy", "counts to three", lambda settings: findings))
    assert run_benchmark("toy").n == 3


def test_an_installed_package_brings_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "coins.py").write_text(COINS)
    about = tmp_path / "coins-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: coins\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[reverie.benchmarks]\ncoins = coins:BENCHMARK\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry_module, "_BENCHMARKS", Registry("benchmark", {}, "reverie.benchmarks"))
    assert benchmark_names() == ["coins"]
    assert run_benchmark("coins").figures == {"accuracy": 0.5}


def test_a_library_that_is_not_there_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"the benchmark experts, which uses peft, .*reverie\[bench\]"):
        run_benchmark("experts")


@pytest.mark.parametrize("name", ["frozenlake-outcome", "frozenlake-planning", "unknown"])
def test_a_benchmark_without_its_rows_says_what_it_wants(name: str) -> None:
    with pytest.raises(UsageError, match="needs --data FILE") as caught:
        run_benchmark(name)
    assert get_benchmark(name).data in str(caught.value)


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="limit >= 0"):
        BenchConfig(limit=-1)


@pytest.mark.parametrize(
    ("figures", "baselines", "fault"),
    [
        ({}, {"coin": {"accuracy": 0.5}}, "0 figures"),
        ({"accuracy": 0.5}, {}, "no baseline"),
        ({"accuracy": 50.0}, {"coin": {}}, "between 0 and 1"),
        ({"Accuracy": 0.5}, {"coin": {}}, "snake_case"),
    ],
)
def test_reports_are_held_to_the_contract(
    figures: dict[str, float], baselines: dict[str, dict[str, float]], fault: str
) -> None:
    with pytest.raises(ContractError, match=fault):
        check_report(Report("toy", 1, figures, {}, baselines, (), {}, 0.0, "", ""))
