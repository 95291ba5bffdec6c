"""The measures agree with torchmetrics and with closed forms, and say chance where nothing is known."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from reverie.errors import MissingExtraError
from reverie.generator.measures import (
    chance_at,
    distinct_share,
    diversity,
    fid,
    kid,
    kid_deviation,
    mean_distance,
    ms_ssim,
    nearest,
    psnr,
    recall_at,
    thumbnails,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _pictures(rng: np.random.Generator, count: int, side: int) -> np.ndarray:
    return rng.integers(256, size=(count, side, side, 3), dtype=np.uint8)


def _units(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_equal_pictures_have_the_highest_likeness_and_noise_lowers_both_measures(rng: np.random.Generator) -> None:
    real = _pictures(rng, 3, 32)
    little, much = (np.clip(real + rng.normal(0, sigma, real.shape), 0, 255).astype(np.uint8) for sigma in (5, 50))
    assert psnr(real, real) == 100
    assert ms_ssim(real, real) == pytest.approx(1)
    assert psnr(real, little) > psnr(real, much)
    assert ms_ssim(real, little) > ms_ssim(real, much)


def test_psnr_is_that_of_the_formula() -> None:
    real = np.full((1, 8, 8, 3), 100, np.uint8)
    assert psnr(real, real + 10) == pytest.approx(20 * np.log10(255 / 10))


@pytest.mark.parametrize("side", [5, 8, 10, 11, 16, 21, 22, 43, 44, 64, 98, 99, 176])
def test_ms_ssim_takes_pictures_of_any_side(side: int, rng: np.random.Generator) -> None:
    real, other = _pictures(rng, 2, side), _pictures(rng, 2, side)
    assert ms_ssim(real, real) == pytest.approx(1)
    assert 0 <= ms_ssim(real, other) < 0.6


def test_ms_ssim_of_large_pictures_is_the_usual_one_of_five_scales(rng: np.random.Generator) -> None:
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as usual

    real = _pictures(rng, 2, 176)
    other = np.clip(real + rng.normal(0, 30, real.shape), 0, 255).astype(np.uint8)
    a, b = (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() for pictures in (real, other))
    assert ms_ssim(real, other) == pytest.approx(float(usual(b, a, data_range=255.0, normalize="relu")), abs=1e-4)


def test_pictures_that_do_not_pair_up_are_refused(rng: np.random.Generator) -> None:
    for measure in (psnr, ms_ssim):
        with pytest.raises(ValueError, match="one by one"):
            measure(_pictures(rng, 2, 8), _pictures(rng, 3, 8))
    with pytest.raises(ValueError, match="5 px"):
        ms_ssim(_pictures(rng, 1, 4), _pictures(rng, 1, 4))


def test_without_torchmetrics_the_install_command_is_named(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics.functional.image", None)
    with pytest.raises(MissingExtraError, match=r"reverie\[train\]"):
        ms_ssim(_pictures(rng, 1, 8), _pictures(rng, 1, 8))


def test_kid_is_that_of_torchmetrics(rng: np.random.Generator) -> None:
    from torchmetrics.image.kid import poly_mmd

    real, other = rng.normal(size=(40, 12)), rng.normal(0.5, 1.2, size=(40, 12))
    wanted = float(poly_mmd(torch.from_numpy(real), torch.from_numpy(other)))
    assert kid(real, other) == pytest.approx(wanted, rel=1e-9)


def test_kid_of_one_kind_is_about_zero_however_few_rows_there_are(rng: np.random.Generator) -> None:
    values = [kid(rng.normal(size=(10, 6)), rng.normal(size=(7, 6))) for _ in range(300)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
    assert kid(rng.normal(size=(200, 6)), rng.normal(1, 1, size=(200, 6))) > 10 * np.std(values)


def test_the_spread_of_kid_is_about_that_of_new_draws(rng: np.random.Generator) -> None:
    draws = [(rng.normal(size=(60, 6)), rng.normal(0.4, 1, size=(50, 6))) for _ in range(100)]
    true = np.std([kid(*draw) for draw in draws])
    guessed = np.mean([kid_deviation(*draw) for draw in draws[:20]])
    assert true / 1.6 < guessed < true * 1.6


def test_fid_is_that_of_torchmetrics(rng: np.random.Generator) -> None:
    from torchmetrics.image.fid import _compute_fid

    real, other = rng.normal(size=(200, 10)), rng.normal(0.3, 1.5, size=(150, 10)) @ rng.normal(size=(10, 10))
    a, b = torch.from_numpy(real), torch.from_numpy(other)
    wanted = float(_compute_fid(a.mean(0), torch.cov(a.T), b.mean(0), torch.cov(b.T)))
    assert fid(real, other) == pytest.approx(wanted, rel=1e-6)


def test_fid_holds_with_fewer_rows_than_features(rng: np.random.Generator) -> None:
    import scipy.linalg

    real, other = rng.normal(size=(9, 30)), rng.normal(1.0, 2.0, size=(12, 30))
    first, second = np.cov(real.T), np.cov(other.T)
    root = np.real(scipy.linalg.sqrtm(scipy.linalg.sqrtm(first) @ second @ scipy.linalg.sqrtm(first)))
    wanted = np.square(real.mean(0) - other.mean(0)).sum() + np.trace(first + second - 2 * root)
    assert fid(real, other) == pytest.approx(wanted, rel=1e-3)
    assert fid(real, real) == pytest.approx(0, abs=1e-9)
    assert fid(real, real + 2) == pytest.approx(30 * 4)


def test_too_few_rows_count_as_nothing(rng: np.random.Generator) -> None:
    one, many = rng.normal(size=(1, 4)), rng.normal(size=(5, 4))
    for value in (kid(one, many), fid(one, many), kid_deviation(one, many), mean_distance(one), diversity(one, many)):
        assert np.isnan(value)
    empty = np.zeros((0, 4))
    assert np.isnan(recall_at(empty, empty, 1))
    assert np.isnan(chance_at(1, 0))
    assert np.isnan(distinct_share([]))
    assert np.isnan(psnr(np.zeros((0, 8, 8, 3), np.uint8), np.zeros((0, 8, 8, 3), np.uint8)))


def test_partners_are_found_and_vectors_that_know_nothing_get_chance(rng: np.random.Generator) -> None:
    vectors = _units(rng.normal(size=(40, 8)))
    assert recall_at(vectors, vectors, 1) == 1
    strangers = _units(rng.normal(size=(40, 8)))
    assert recall_at(vectors, strangers, 1) < 0.2
    same = np.tile(vectors[:1], (40, 1))
    for k in (1, 5, 10, 50):
        assert recall_at(same, same, k) == pytest.approx(chance_at(k, 40))
    assert recall_at(vectors, strangers, 40) == 1


def test_recall_counts_each_way_on_its_own() -> None:
    asking = np.array([[1.0, 0.0], [0.0, 1.0]])
    answering = np.array([[1.0, 0.0], [0.8, 0.6]])
    assert recall_at(asking, answering, 1) == 1.0
    assert recall_at(answering, asking, 1) == 0.5


def test_equal_captions_share_their_place() -> None:
    vectors = np.eye(4)[[0, 0, 1, 2]]
    assert recall_at(vectors, vectors, 1) == pytest.approx((0.5 + 0.5 + 1 + 1) / 4)


def test_diversity_is_a_share_of_that_of_real_pictures(rng: np.random.Generator) -> None:
    real = rng.normal(size=(700, 5))
    assert diversity(0.3 * real, real) == pytest.approx(0.3)
    assert diversity(np.tile(real[:1], (9, 1)), real) == 0
    pairs = [np.linalg.norm(a - b) for i, a in enumerate(real[:30]) for b in real[:i]]
    assert mean_distance(real[:30]) == pytest.approx(np.mean(pairs))


def test_distinct_ones_are_counted(rng: np.random.Generator) -> None:
    pictures = _pictures(rng, 3, 4)
    assert distinct_share(pictures[[0, 1, 1, 2]]) == 0.75
    assert distinct_share(["a ship", "a ship", "a tree", "a cow"]) == 0.75


def test_the_nearest_training_picture_is_found_whatever_the_count(rng: np.random.Generator) -> None:
    known = rng.normal(size=(1300, 6))
    asked = np.concatenate([known[[700, 3]], rng.normal(size=(600, 6))])
    found = nearest(asked, known)
    assert found.places[:2].tolist() == [700, 3]
    assert found.distances[:2].tolist() == [0, 0]
    table = np.linalg.norm(asked[:, None] - known, axis=2)
    assert (found.places == table.argmin(1)).all()
    np.testing.assert_allclose(found.distances, table.min(1), atol=1e-6)


def test_distances_of_thumbnails_are_rms_differences_of_grey_values() -> None:
    dark, light = np.full((1, 64, 64, 3), 51, np.uint8), np.full((1, 64, 64, 3), 102, np.uint8)
    rows = thumbnails(np.concatenate([dark, light]))
    assert rows.shape == (2, 32 * 32)
    assert np.linalg.norm(rows[0] - rows[1]) == pytest.approx(0.2)
    assert thumbnails(np.zeros((0, 8, 8, 3), np.uint8)).shape[0] == 0
