"""Evaluating a generator: every figure is there, what it leaves can be looked at, and tricks are seen through."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reverie.data.pictures import Collection, write_collection
from reverie.errors import ConfigError, DataError, ReverieError, UnknownNameError
from reverie.generator.evaluate import caption_perplexity, evaluate, joint_figures
from reverie.generator.evaluate_files import write_files
from reverie.generator.evaluation import EvaluateConfig
from reverie.generator.features import PixelFeatures
from reverie.generator.generator import Generator, Sample, toy_generator
from reverie.generator.own_features import OwnFeaturesConfig
from reverie.generator.real_pictures import RealPictures

SETTINGS = EvaluateConfig(samples=6, features="pixels", prompts=3, shown=4)
OWN = OwnFeaturesConfig(side=16, widths=(8, 16), steps=2, batch_size=8)


def make_collection(folder: Path, counts: dict[str, int], side: int = 16) -> Collection:
    """Discs of chance places, sizes and tones, in the folder of a prepared collection."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    pictures, captions = [], []
    splits = [split for split, count in counts.items() for _ in range(count)]
    for _ in splits:
        row, column, radius = rng.integers(2, side - 2, 3)
        grey = np.where(np.hypot(y - row, x - column) < radius / 2, rng.integers(30, 120), 230).astype(np.uint8)
        pictures.append(np.repeat(grey[..., None], 3, 2))
        captions.append(f"a disc at {row} and {column}")
    return write_collection(folder, np.stack(pictures), captions, splits)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return make_collection(tmp_path_factory.mktemp("col") / "discs", {"train": 20, "val": 7})


@pytest.fixture(scope="module")
def toy() -> Generator:
    return toy_generator()


def test_every_figure_of_every_prior_is_there_and_finite(toy: Generator, collection: Collection) -> None:
    found, _ = evaluate(toy, collection, settings=SETTINGS)
    assert found.n == 7
    assert set(found.by) == {"prior normal", "prior mixture", "prior flow", "floor"}
    assert {"psnr", "ms_ssim", "caption_perplexity", "joint_recall_at_10", "kid", "fid"} <= found.figures.keys()
    for figures in (found.figures, *found.by.values()):
        assert all(math.isfinite(value) for value in figures.values())
    for name, value in found.figures.items():
        if "share" in name or ("recall" in name and not name.endswith("over_chance")):
            assert 0 <= value <= 1, name
    assert found.figures["kid"] == found.by["prior flow"]["kid"]  # the default prior's
    assert found.by["prior flow"]["distinct_share"] == 1
    assert "prompt_recall_at_10" in found.by["prior flow"]
    assert "prompt_recall_at_10" not in found.by["prior mixture"]
    assert found.figures["joint_recall_at_10"] == found.figures["chance_recall_at_10"] == 1  # of seven


def test_evaluating_again_finds_the_same(toy: Generator, collection: Collection) -> None:
    first, again = (evaluate(toy, collection, settings=replace(SETTINGS, priors=("mixture",)))[0] for _ in range(2))
    for found in (first, again):
        found.figures.pop("seconds_per_picture")
    assert first.figures == again.figures


def test_figures_and_sheets_are_written(toy: Generator, collection: Collection, tmp_path: Path) -> None:
    told: list[str] = []
    found, shown = evaluate(toy, collection, settings=SETTINGS, progress=lambda what, done, of: told.append(what))
    files = write_files(found, shown, SETTINGS.shown, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(files)
    assert set(files) == {
        "evaluation.json", "reconstructions.png",
        *(f"{kind}-{prior}.png" for kind in ("samples", "memorised") for prior in toy.priors),
    }  # fmt: skip
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert written["figures"] == pytest.approx(found.figures)
    assert written["settings"]["features"] == "pixels"
    row = written["samples"]["flow"][0]
    assert row["seed"] == 0
    assert row["nearest_by_pixels"]["file"] in {record.file for record in collection.split("train").records}
    assert {"repainting", "sampling, flow", "prompting, flow"} <= set(told)
    for name in files[1:]:
        with Image.open(tmp_path / "out" / name) as sheet:
            assert sheet.width > 160


def test_features_of_our_own_are_taught_once_for_all(toy: Generator, collection: Collection, tmp_path: Path) -> None:
    told: list[str] = []
    settings = replace(SETTINGS, features="own", own=OWN, cache_dir=str(tmp_path), priors=("normal",))
    first, _ = evaluate(toy, collection, settings=settings, progress=lambda what, done, of: told.append(what))
    assert "teaching the features" in told
    told.clear()
    again, _ = evaluate(toy, collection, settings=settings, progress=lambda what, done, of: told.append(what))
    assert "teaching the features" not in told
    assert first.by["floor"] == again.by["floor"]


class Copier(Generator):
    """Paints training pictures instead of its own."""

    def __init__(self, toy: Generator, pictures: np.ndarray):
        super().__init__(toy.network, toy.tokenizer, toy.priors, "normal", {})
        self.pictures = pictures

    def sample(
        self, seeds: Sequence[int], prior: str = "", temperature: float = 1.0, prompt: str = "", guidance: float = 2.0
    ) -> list[Sample]:
        places = [seed % len(self.pictures) for seed in seeds]
        return [Sample(seed, self.pictures[place], "a copy", np.zeros(1)) for seed, place in zip(seeds, places)]


def test_a_generator_that_copies_is_caught(toy: Generator, collection: Collection) -> None:
    known = collection.split("train").pictures(16)
    settings = replace(SETTINGS, samples=20, priors=("normal",))
    plain = evaluate(Copier(toy, known), collection, settings=settings)[0].figures
    mirrored = evaluate(Copier(toy, known[:, :, ::-1]), collection, settings=settings)[0].figures
    for figures in (plain, mirrored):
        assert figures["copied_share"] == 1
        assert figures["nearest_feature_ratio"] == figures["nearest_pixel_ratio"] == 0
    assert plain["kid_train"] < plain["kid_deviation"] + 1e-3
    assert plain["distinct_captions_share"] == 1 / 20
    unseen = evaluate(Copier(toy, collection.split("val").pictures(16)), collection, settings=settings)[0].figures
    assert unseen["copied_share"] == 0


def test_one_picture_again_and_again_has_no_diversity(toy: Generator, collection: Collection) -> None:
    one = collection.split("val").pictures(16)[:1]
    figures = evaluate(Copier(toy, one), collection, settings=replace(SETTINGS, priors=("normal",)))[0].figures
    assert figures["diversity"] == 0
    assert figures["distinct_share"] == pytest.approx(1 / 6)


def test_real_pictures_lie_at_the_floor(collection: Collection) -> None:
    reference = RealPictures.of(collection, "val", 16, PixelFeatures())
    floors = reference.floors(7)
    half = reference.sample_figures(collection.split("train").pictures(16)[:7])
    assert abs(half["kid"] - floors["kid"]) < 4 * floors["kid_deviation"]
    noise = np.random.default_rng(0).integers(256, size=(7, 16, 16, 3), dtype=np.uint8)
    assert reference.sample_figures(noise)["kid"] > 10 * abs(floors["kid"])
    np.testing.assert_array_equal(reference.training_pictures(np.array([3, 0])), collection.pictures(16)[[3, 0]])


def test_matched_vectors_are_counted_both_ways_with_their_chance() -> None:
    units = np.eye(20)
    figures = joint_figures(units, np.roll(units, 1, axis=0), "sampled_")
    assert figures["sampled_joint_recall_at_1"] == 0
    assert figures["sampled_chance_recall_at_5"] == 0.25
    assert joint_figures(units, units)["joint_recall_at_5_over_chance"] == 4


def test_perplexity_is_that_of_the_true_ids_alone(toy: Generator) -> None:
    class Even:
        config = toy.config

        def caption_logits(self, latents: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
            return torch.zeros(*ids.shape, 300)

    class Knows:
        config = toy.config

        def caption_logits(self, latents: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
            return 100.0 * torch.nn.functional.one_hot(ids.roll(-1, 1), 300)

    captions = ["a ship", "a castle on a hill", ""]
    system = toy_generator()
    for network, wanted in ((Even(), 300.0), (Knows(), 1.0)):
        system.network = network  # type: ignore[assignment]
        assert caption_perplexity(system, torch.zeros(3, 4), captions) == pytest.approx(wanted, rel=1e-4)
    assert math.isnan(caption_perplexity(system, torch.zeros(0, 4), []))


def test_pictures_are_described_as_the_phrasing_says(toy: Generator, collection: Collection) -> None:
    settings = replace(SETTINGS, priors=("mixture",))
    plain, longer = (
        evaluate(toy, collection, settings=replace(settings, phrasing=phrasing))[0].figures["caption_perplexity"]
        for phrasing in ("{caption}", "{caption}, drawn by hand")
    )
    assert plain != longer
    with pytest.raises(ReverieError, match="wrok"):
        evaluate(toy, collection, settings=replace(settings, phrasing="{caption} {wrok}"))


def test_one_held_out_picture_gives_null_where_there_is_too_little_to_count(toy: Generator, tmp_path: Path) -> None:
    small = make_collection(tmp_path / "small", {"train": 1, "val": 1})
    settings = replace(SETTINGS, samples=1, priors=("mixture",))
    found, shown = evaluate(toy, small, settings=settings)
    write_files(found, shown, settings.shown, tmp_path / "out")
    assert math.isnan(found.figures["kid"])
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["figures"]["kid"] is None


def test_what_cannot_be_evaluated_is_refused_in_one_line(
    toy: Generator, collection: Collection, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="no picture in its split 'test'"):
        evaluate(toy, collection, "test", SETTINGS)
    with pytest.raises(UnknownNameError, match=r"prior 'flaw'.*Did you mean 'flow'"):
        evaluate(toy, collection, settings=replace(SETTINGS, priors=("flaw",)))
    with pytest.raises(UnknownNameError, match="a Hugging Face folder"):
        evaluate(toy, collection, settings=replace(SETTINGS, features="inception"))
    with pytest.raises(UnknownNameError):
        evaluate(toy, collection, "valid", SETTINGS)
    small = make_collection(tmp_path / "small", {"train": 2, "val": 1})
    with pytest.raises(DataError, match="4 pictures or more"):
        evaluate(toy, small, settings=replace(SETTINGS, features="own"))
    for wrong in ({"samples": 0}, {"temperature": -1.0}, {"first_seed": -1}, {"shown": 0}):
        with pytest.raises(ConfigError):
            replace(SETTINGS, **wrong)
