from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.errors import BundleError, UnknownNameError, UsageError
from reverie.generator import Generator, toy_generator


@pytest.fixture(scope="module")
def toy() -> Generator:
    return toy_generator()


@pytest.mark.parametrize(
    "settings", [{}, {"prior": "mixture"}, {"prior": "normal"}, {"prompt": "a ship", "guidance": 3.0}]
)
def test_a_seed_gives_the_same_sample_whatever_stands_beside_it(toy: Generator, settings: dict[str, object]) -> None:
    three, one = toy.sample([4, 5, 6], **settings), toy.sample([5], **settings)  # type: ignore[arg-type]
    assert np.array_equal(three[1].picture, one[0].picture)
    assert (three[1].caption, three[1].seed) == (one[0].caption, 5)
    assert len({sample.picture.tobytes() for sample in three}) == 3
    assert one[0].picture.shape == (16, 16, 3)
    assert one[0].picture.dtype == np.uint8


def test_a_prompt_changes_the_picture_and_no_guidance_ignores_it(toy: Generator) -> None:
    plain, told, ignored = (
        toy.sample([1], prompt=prompt, guidance=guidance)[0].latent
        for prompt, guidance in (("", 2.0), ("a castle", 2.0), ("a castle", 0.0))
    )
    assert np.array_equal(plain, ignored)
    assert not np.array_equal(plain, told)


def test_interpolation_begins_and_ends_at_the_samples_of_its_seeds(toy: Generator) -> None:
    for prior in toy.priors:
        line = toy.interpolate(3, 9, 5, prior)
        ends = toy.sample([3, 9], prior)
        assert [line[0].seed, line[-1].seed] == [3, 9]
        for got, wanted in zip((line[0], line[-1]), ends):
            assert np.abs(got.picture.astype(int) - wanted.picture).max() <= 1
        assert len(line) == 5


def test_an_edit_of_strength_zero_repaints_and_of_one_changes_fine_levels_alone(toy: Generator) -> None:
    picture, style = (sample.picture for sample in toy.sample([1, 2], temperature=3.0))
    repainted = toy.paint(toy.encode([picture]))[0]
    assert np.array_equal(toy.edit(picture, style, 0.0).picture, repainted)
    assert np.array_equal(toy.edit(picture, style, 1.0, levels=3).picture, repainted)
    own, other = toy.encode([picture, style])
    mixed = toy.paint(torch.stack([own, other, other])[None])[0]
    assert np.array_equal(toy.edit(picture, style, 1.0, levels=1).picture, mixed)


def test_pictures_of_any_size_are_captioned(toy: Generator) -> None:
    pictures = [np.full((40, 7, 3), 200, np.uint8), np.zeros((16, 16, 3), np.uint8)]
    captions = toy.caption(pictures)
    assert len(captions) == 2
    assert toy.caption([]) == []
    assert toy.caption(pictures, temperature=1.0, seed=3) == toy.caption(pictures, temperature=1.0, seed=3)


def test_matching_gives_unit_vectors(toy: Generator) -> None:
    vectors = torch.cat([toy.match_pictures([np.zeros((9, 9, 3), np.uint8)]), toy.match_captions(["a tree", ""])])
    assert torch.allclose(vectors.norm(dim=-1), torch.ones(3), atol=1e-5)


def test_a_bundle_is_read_back_as_it_was_saved(toy: Generator, tmp_path: Path) -> None:
    toy.save(tmp_path / "toy")
    once = Generator.load(tmp_path / "toy")
    once.save(tmp_path / "again")
    again = Generator.load(tmp_path / "again")
    for prior in toy.priors:
        first, second = (made.sample([7], prior)[0] for made in (once, again))
        assert np.array_equal(first.picture, second.picture)
        assert first.caption == second.caption
    assert again.card == toy.card
    assert again.default_prior == toy.default_prior


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("model.safetensors", lambda data: data[:-10]),
        ("model.safetensors", lambda data: data[:-1] + bytes([data[-1] ^ 1])),
        ("config.json", lambda data: data.replace(b"32", b"64")),
        ("captions/tokenizer.json", lambda data: None),
        ("manifest.json", lambda data: b"{"),
        ("manifest.json", lambda data: data.replace(b'"generator"', b'"other"')),
        ("manifest.json", lambda data: json.dumps(json.loads(data) | {"format": 99}).encode()),
    ],
)
def test_a_damaged_bundle_is_refused_in_one_line(toy: Generator, tmp_path: Path, file: str, what) -> None:  # type: ignore[no-untyped-def]
    path = toy.save(tmp_path / "toy") / file
    data = what(path.read_bytes())
    path.unlink() if data is None else path.write_bytes(data)
    with pytest.raises(BundleError) as caught:
        Generator.load(tmp_path / "toy")
    assert "\n" not in str(caught.value)


def test_no_bundle_at_all_is_said(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is no generator"):
        Generator.load(tmp_path)


def test_what_cannot_be_asked_is_refused_in_one_line(toy: Generator) -> None:
    picture = np.zeros((16, 16, 3), np.uint8)
    for ask in (
        lambda: toy.sample([-1]),
        lambda: toy.sample([2**32]),
        lambda: toy.sample([1], temperature=-1.0),
        lambda: toy.sample([1], guidance=float("nan")),
        lambda: toy.sample([1], prior="mixture", prompt="a ship"),
        lambda: toy.interpolate(1, 2, 1),
        lambda: toy.edit(picture, picture, strength=2.0),
        lambda: toy.edit(picture, picture, levels=9),
    ):
        with pytest.raises(UsageError):
            ask()
    with pytest.raises(UnknownNameError, match="Did you mean 'flow'"):
        toy.sample([1], prior="flows")
    assert toy.sample([]) == []
    assert toy.sample([1], prompt="x" * 100_000)[0].picture.shape == (16, 16, 3)
