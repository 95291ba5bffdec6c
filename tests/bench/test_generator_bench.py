"""`bench generator` and `bench generator-digits` in small: every system is measured, wrong settings are refused."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.data.pictures import Collection, write_collection
from reverie.errors import ConfigError, DataError, ReverieError
from reverie.generator.caption_tokenizer import CaptionTokenizer
from reverie.generator.config import PRESETS
from reverie.generator.generator import toy_generator
from reverie.generator.objective import GeneratorData
from reverie.training.objective import check_objective
from reverie_bench import BenchConfig, run_benchmark
from reverie_bench.generator import ABLATIONS, ablated
from reverie_bench.generator_digits import WORDS, DigitReader, Digits, DigitsBenchConfig, digits_recipe, seed_figures
from reverie_bench.generator_step import step_cost
from reverie_bench.generator_systems import OriginalObjective, three_terms

SMALL = (
    "preset=toy-16", "steps=2", "original_steps=2", "flow_steps=2", "batch_size=4", "samples=3", "hundred=3",
    "features=pixels", "onnx=false",
)  # fmt: skip


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    rng = np.random.default_rng(0)
    pictures = rng.integers(256, size=(22, 16, 16, 1), dtype=np.uint8).repeat(3, axis=3)
    captions = [f"a stone of {number} pounds" for number in range(22)]
    folder = tmp_path_factory.mktemp("generator") / "stones"
    return write_collection(folder, pictures, captions, ["train"] * 16 + ["val"] * 6)


# the original recipe -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def original(collection: Collection) -> OriginalObjective:
    tokenizer = CaptionTokenizer.train(collection.split("train").captions, 300)
    return OriginalObjective(collection, replace(PRESETS.get("toy-16"), dropout=0.0), tokenizer, batch_size=8)


def test_the_original_recipe_keeps_the_contract_of_an_objective(original: OriginalObjective) -> None:
    check_objective(original)


def test_the_original_recipe_sees_every_training_picture_once_an_epoch(original: OriginalObjective) -> None:
    epoch = torch.cat([original.batch(step)["pictures"] for step in (2, 3)])
    assert {row.numpy().tobytes() for row in epoch} == {row.numpy().tobytes() for row in original.splits["train"][0]}


def test_its_three_terms_are_weighted_as_the_recipe_says(original: OriginalObjective) -> None:
    original.module.eval()
    parts = three_terms(original.module, *original.splits["val"])
    original.module.train()
    wanted = parts["picture"] + 2 * parts["caption"] + 0.5 * parts["match"]
    torch.testing.assert_close(parts["loss"], wanted)
    assert parts["picture"] < 1  # of pictures in [0, 1], not [-1, 1]
    assert float(parts["caption"].detach()) == pytest.approx(math.log(300), rel=0.2)  # it knows nothing yet


def test_its_seeds_are_standard_normal_numbers_as_they_are(original: OriginalObjective) -> None:
    made = original.generator()
    latents = made.latents(range(40))
    torch.testing.assert_close(latents, made.priors["normal"].noise(range(40)))
    alone, beside = made.sample([3])[0], made.sample([1, 3])[1]
    np.testing.assert_array_equal(alone.picture, beside.picture)
    assert alone.picture.shape == (16, 16, 3)


# bench generator -----------------------------------------------------------------------------------------------------


def test_every_system_is_trained_and_measured(collection: Collection, tmp_path: Path) -> None:
    options = (*SMALL, "ablations=[no_edge]", f"out={tmp_path / 'out'}")
    report = run_benchmark("generator", BenchConfig(data=collection.folder, options=options))
    assert report.n == 6
    assert set(report.by) == {"ours normal", "ours mixture", "ours flow", "ablation no_edge"}
    assert set(report.baselines) == {"mean_picture", "original", "floor"}
    for name in ("psnr", "kid", "fid", "joint_recall_at_10", "caption_perplexity", "diversity", "copied_share"):
        assert math.isfinite(report.figures[name])
        assert name in report.baselines["original"]
    assert report.figures["hundred_crashes"] == 0
    assert report.figures["hundred_distinct_share"] == 1
    assert report.figures["original_train_loss"] > 0
    assert report.baselines["original"]["train_loss"] > 0
    assert report.baselines["mean_picture"]["diversity"] == 0
    assert report.baselines["mean_picture"]["joint_recall_at_5"] == 5 / 6
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"ours", "original", "ablation-no_edge"}


def test_a_trained_bundle_is_measured_as_it_is(collection: Collection, tmp_path: Path) -> None:
    bundle = toy_generator().save(tmp_path / "toy")
    options = (*SMALL, f"bundle={bundle}", "original=false", "split=train")
    report = run_benchmark("generator", BenchConfig(data=collection.folder, options=options))
    assert report.n == 16
    assert set(report.baselines) == {"mean_picture", "floor"}
    assert "kid_over_normal" not in report.figures
    assert report.settings["default_prior"] == "flow"


@pytest.mark.slow
def test_minutes_become_steps(collection: Collection) -> None:
    options = (*(one for one in SMALL if "steps" not in one), "minutes=0.001", "flow_steps=2")
    report = run_benchmark("generator", BenchConfig(data=collection.folder, options=options))
    assert report.baselines["original"]["steps"] >= 2


def test_ablations_change_what_they_name_and_nothing_else() -> None:
    whole = GeneratorData()
    assert ablated(whole, ABLATIONS["whole"]) == whole
    assert ablated(whole, ABLATIONS["no_noise"]) == replace(whole, noise=0.0)
    edgeless = ablated(whole, ABLATIONS["no_edge"])
    assert edgeless.weights.edge == edgeless.weights.spectrum == 0
    assert edgeless.weights.caption == whole.weights.caption


@pytest.mark.slow
def test_a_training_step_is_timed_in_a_process_of_its_own() -> None:
    found = step_cost("toy-16", 1)
    assert found["step_seconds"] > 0
    assert found["step_peak_mb"] > 50
    with pytest.raises(ReverieError, match="timing a step of toy-17 failed") as caught:
        step_cost("toy-17", 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("minutes=0",), "minutes"), (("samples=0",), "samples"), (("ablations=[no_ink]",), "no ablation 'no_ink'"),
        (("stops=3",), "unknown setting"), (("steps=-1",), "0 or more"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(options: tuple[str, ...], said: str, collection: Collection) -> None:
    with pytest.raises(ConfigError, match=said):
        run_benchmark("generator", BenchConfig(data=collection.folder, options=options))


def test_without_a_collection_it_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--data"):
        run_benchmark("generator")
    with pytest.raises(DataError):
        run_benchmark("generator", BenchConfig(data=tmp_path, options=SMALL))


# bench generator-digits ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits.load()


@pytest.fixture(scope="module")
def reader(digits: Digits) -> DigitReader:
    return DigitReader(digits)


def test_digits_are_split_once_and_the_test_digits_stay_out_of_the_collection(digits: Digits, tmp_path: Path) -> None:
    places = np.concatenate([digits.train, digits.val, digits.test])
    assert [len(part) for part in (digits.train, digits.val, digits.test)] == [1197, 240, 360]
    assert len(set(places.tolist())) == 1797
    np.testing.assert_array_equal(Digits.load().test, digits.test)
    written = Digits.load(20).write(tmp_path)
    assert [len(written.split(name)) for name in ("train", "val", "test")] == [20, 20, 0]
    np.testing.assert_array_equal(written.split("val").pictures(), digits.pictures[digits.val[:20]])
    assert written.captions[0] == WORDS[digits.labels[digits.train[0]]]


def test_the_reader_reads_digits_that_it_was_not_taught_on(digits: Digits, reader: DigitReader) -> None:
    figures = reader.figures(digits)
    assert figures["reader_accuracy"] > 0.97
    assert 0 < figures["floor_fid"] < 3
    test = digits.pictures[digits.test]
    assert reader.features(test).shape == (360, 64)
    assert reader.features(test).min() >= 0


def test_what_knows_nothing_is_neither_coherent_nor_near(digits: Digits, reader: DigitReader) -> None:
    class Blind:
        """Any digit's picture with any digit's word."""

        def latents(self, seeds: range, prior: str) -> torch.Tensor:
            return torch.tensor(list(seeds))

        def paint(self, latents: torch.Tensor) -> np.ndarray:
            return digits.pictures[digits.val][latents.numpy() % len(digits.val)]

        def describe(self, latents: torch.Tensor) -> list[str]:
            return [WORDS[place % 10] for place in latents.tolist()]

    figures = seed_figures(Blind(), "any", range(240), reader, digits.pictures[digits.test])  # type: ignore[arg-type]
    assert figures["joint_coherence"] < 0.2
    assert figures["word_share"] == 1
    assert figures["fid"] < 5  # the pictures themselves are real


def test_a_small_run_reports_every_prior(digits: Digits, reader: DigitReader) -> None:
    options = ("seeds=2", "steps=3", "flow_steps=2", "samples=12")
    report = run_benchmark("generator-digits", BenchConfig(limit=60, options=options))
    assert {"prior mixture", "prior flow", "seed 0", "seed 1"} == set(report.by)
    assert set(report.baselines) == {"normal", "constant", "real_training_digits"}
    assert report.n == 24
    assert 0 <= report.figures["joint_coherence"] <= 1
    assert math.isfinite(report.figures["fid_deviation"])


def test_digits_are_trained_by_a_recipe_that_can_be(tmp_path: Path) -> None:
    recipe = digits_recipe(DigitsBenchConfig(), 1, tmp_path)
    assert recipe.config.side == 8
    assert recipe.data.seed == recipe.fit.seed == recipe.loop.seed == 1
    with pytest.raises(ConfigError):
        DigitsBenchConfig(seeds=0)
