"""Weights in eight bits: how far off they may be, what stays as it is, whole bundles, damaged ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from reverie.errors import BundleError, UsageError
from reverie.generator.bundle import seal_generator
from reverie.generator.export_int8 import agreement, agreement_of, quantize_bundle
from reverie.generator.generator import Generator, toy_generator
from reverie.generator.int8 import dequantize_tensors, quantize_tensors


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_generator().save(tmp_path_factory.mktemp("toy") / "generator")


@pytest.fixture(scope="module")
def small(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    """The toy with int8 weights, and what that costs."""
    out = tmp_path_factory.mktemp("small") / "generator"
    return out, quantize_bundle(bundle, out)


@given(st.integers(0, 99), st.floats(1e-12, 1e12))
def test_a_weight_is_off_by_half_a_step_of_its_channel_at_most(seed: int, size: float) -> None:
    weights = torch.randn(8, 16, 3, 3, generator=torch.Generator().manual_seed(seed)) * size
    weights *= torch.logspace(-3, 3, 8).view(8, 1, 1, 1)  # channels of very different sizes
    off = (dequantize_tensors(quantize_tensors({"w": weights}))["w"] - weights).abs()
    steps = weights.abs().amax((1, 2, 3)) / 127
    assert (off.amax((1, 2, 3)) <= steps / 2 * 1.001).all()


def test_what_is_no_matrix_or_tiny_stays_bit_for_bit() -> None:
    state = {
        "norm": torch.randn(5000),
        "tiny": torch.randn(8, 8),
        "half": torch.randn(4, 4).bfloat16(),
        "count": torch.arange(4096).view(64, 64),
    }
    kept = quantize_tensors(state)
    assert kept.keys() == state.keys()
    assert all(torch.equal(kept[name], tensor) for name, tensor in state.items())
    back = dequantize_tensors(kept)
    assert back["half"].dtype == torch.float32
    assert torch.equal(back["count"], state["count"])


def test_a_channel_of_zeros_stays_zero() -> None:
    weights = torch.randn(4, 400)
    weights[2] = 0
    assert (dequantize_tensors(quantize_tensors({"w": weights}))["w"][2] == 0).all()


def test_rounding_twice_is_rounding_once() -> None:
    once = quantize_tensors({"w": torch.randn(16, 80)})
    twice = quantize_tensors(dequantize_tensors(once))
    assert torch.equal(once["w"], twice["w"])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_refused(bad: float) -> None:
    weights = torch.randn(8, 200)
    weights[3, 3] = bad
    with pytest.raises(BundleError, match="'w' holds numbers that are not finite"):
        quantize_tensors({"w": weights})


def test_missing_or_foreign_scales_are_refused() -> None:
    made = quantize_tensors({"w": torch.randn(8, 200)})
    for scale in (None, torch.ones(7)):
        with pytest.raises(BundleError, match="'w' lack their scales"):
            dequantize_tensors({"w": made["w"]} | ({} if scale is None else {"w.scale": scale}))


def test_a_bundle_gets_smaller_and_says_what_that_costs(bundle: Path, small: tuple[Path, dict[str, float]]) -> None:
    folder, figures = small
    size = (folder / "model.safetensors").stat().st_size
    assert figures["bytes"] == size
    assert size < 0.75 * figures["bytes_before"] == 0.75 * (bundle / "model.safetensors").stat().st_size
    assert figures["psnr"] > 35
    assert 0 <= figures["captions_equal"] <= figures["words_equal"] <= 1
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["weights"], manifest["card"]["int8"]) == ("int8", figures)
    assert (folder / "priors" / "flow" / "prior.safetensors").read_bytes() == (
        bundle / "priors" / "flow" / "prior.safetensors"
    ).read_bytes()


def test_a_rounded_bundle_loads_as_any_other(bundle: Path, small: tuple[Path, dict[str, float]]) -> None:
    original, rounded = Generator.load(bundle), Generator.load(small[0])
    measured = agreement(original, rounded)
    assert measured == {name: small[1][name] for name in measured}
    assert rounded.sample([3])[0].picture.shape == (16, 16, 3)


def test_a_rounded_bundle_saves_as_an_ordinary_one(small: tuple[Path, dict[str, float]], tmp_path: Path) -> None:
    again = Generator.load(Generator.load(small[0]).save(tmp_path / "again"))
    assert agreement(Generator.load(small[0]), again)["psnr"] > 40  # bf16 is what is between


def test_what_cannot_be_rounded_is_refused(bundle: Path, small: tuple[Path, dict[str, float]], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has int8 weights already"):
        quantize_bundle(small[0], tmp_path / "out")
    with pytest.raises(BundleError, match="is no generator"):
        quantize_bundle(tmp_path, tmp_path / "out")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").write_text("keep me", encoding="utf-8")
    with pytest.raises(UsageError, match="is there already"):
        quantize_bundle(bundle, tmp_path / "taken")
    assert not (tmp_path / "out").exists()


def test_a_rounded_bundle_without_its_scales_is_damaged(small: tuple[Path, dict[str, float]], tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(small[0], tmp_path / "broken")
    tensors = load_file(folder / "model.safetensors")
    save_file({name: one for name, one in tensors.items() if not name.endswith(".scale")}, folder / "model.safetensors")
    seal_generator(folder, name="toy", weights="int8", default_prior="flow", card={})
    with pytest.raises(BundleError, match="lack their scales"):
        Generator.load(folder)


def test_agreement_counts_pixels_captions_and_words() -> None:
    dark, light = np.zeros((2, 4, 4, 3), np.uint8), np.full((2, 4, 4, 3), 255, np.uint8)
    same = agreement_of((dark, dark), (["a ship", ""], ["a ship", ""]))
    assert same == {"psnr": 100.0, "captions_equal": 1.0, "words_equal": 1.0}
    other = agreement_of((dark, light), (["a ship sails", "a"], ["a boat sails", "a"]))
    assert other == {"psnr": 0.0, "captions_equal": 0.5, "words_equal": pytest.approx(5 / 6)}
