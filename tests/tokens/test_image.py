from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.errors import BundleError, ConfigError, PictureError
from reverie.nouns import Frame
from reverie.tokens import ImageTokenizer, ImageTokenizerConfig
from reverie.tokens.image import FSQ, to_patches

CONFIG = ImageTokenizerConfig(stride=8, levels=(4, 3, 3), width=16)


def make(seed: int = 0) -> ImageTokenizer:
    return ImageTokenizer(CONFIG, torch.Generator().manual_seed(seed)).eval()


def pictures(count: int, height: int = 24, width: int = 16, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, size=(height, width, 3), dtype=np.uint8) for _ in range(count)]


def test_every_code_survives_the_lattice() -> None:
    fsq = FSQ((8, 5, 5, 5))
    codes = torch.arange(1000)
    lattice = fsq.from_codes(codes)
    assert lattice.abs().max() <= 1
    logits = torch.logit((lattice + 1) / 2, eps=1e-4)
    assert torch.equal(fsq.to_codes(logits), codes)


def test_quantizing_lets_gradients_through() -> None:
    z = torch.zeros(2, 3, requires_grad=True)
    FSQ((4, 3, 3))(z).sum().backward()
    assert z.grad is not None
    assert (z.grad > 0).all()


def test_a_picture_becomes_one_code_a_cell_and_comes_back_at_its_size() -> None:
    tokenizer, (picture,) = make(), pictures(1)
    (frame,) = tokenizer.encode([picture])
    assert frame.shape == (3, 2)
    (painted,) = tokenizer.decode([frame])
    assert (painted.shape, painted.dtype) == (picture.shape, np.uint8)


@pytest.mark.parametrize(("cell_px", "shape"), [(4, (6, 4)), (8, (3, 2))])
def test_cells_may_be_of_any_size(cell_px: int, shape: tuple[int, int]) -> None:
    tokenizer, (picture,) = make(), pictures(1)
    (frame,) = tokenizer.encode([picture], cell_px)
    assert frame.shape == shape
    assert tokenizer.decode([frame], cell_px)[0].shape == picture.shape


def test_a_code_depends_on_its_cell_alone() -> None:
    tokenizer, (picture,) = make(), pictures(1)
    changed = picture.copy()
    changed[:8, :8] = 255 - changed[:8, :8]
    first, second = tokenizer.encode([picture, changed])
    assert np.array_equal(first.codes.ravel()[1:], second.codes.ravel()[1:])


def test_remembered_patches_equal_computed_ones() -> None:
    many = pictures(9)
    together = make().encode(many, batch_size=4)
    fresh = [make().encode([picture])[0] for picture in many]
    again = (tokenizer := make()).encode(many) and tokenizer.encode(many)
    assert together == fresh == again


def test_save_and_load_give_the_same_codes(tmp_path: Path) -> None:
    tokenizer = make()
    tokenizer.save(tmp_path)
    loaded = ImageTokenizer.load(tmp_path)
    ImageTokenizer.load(tmp_path).save(tmp_path / "again")
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()
    assert loaded.encode(pictures(3)) == ImageTokenizer.load(tmp_path / "again").encode(pictures(3))


def test_damaged_weights_are_one_clear_line(tmp_path: Path) -> None:
    make().save(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(BundleError, match="damaged"):
        ImageTokenizer.load(tmp_path)


@pytest.mark.parametrize(
    "picture", [np.zeros((20, 16, 3), np.uint8), np.zeros((16, 16), np.uint8), np.zeros((16, 16, 3), np.float32)]
)
def test_a_wrong_picture_is_refused(picture: np.ndarray) -> None:
    with pytest.raises(PictureError):
        make().encode([picture])


def test_a_foreign_code_is_refused() -> None:
    with pytest.raises(PictureError, match="code 36"):
        make().decode([Frame(np.array([[36]]))])


@pytest.mark.parametrize("wrong", [{"stride": 12}, {"levels": (1, 3)}, {"levels": ()}, {"width": 4}, {"context": -1}])
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        ImageTokenizerConfig(**wrong)  # type: ignore[arg-type]


def test_context_blocks_let_neighbours_blend() -> None:
    config = ImageTokenizerConfig(stride=8, levels=(4, 3, 3), width=16, context=1)
    tokenizer = ImageTokenizer(config, torch.Generator().manual_seed(0)).eval()
    codes = np.zeros((3, 3), dtype=int)
    alone = tokenizer.decode([Frame(codes)])[0]
    codes[2, 2] = 35
    assert not np.array_equal(tokenizer.decode([Frame(codes)])[0][8:16, 8:16], alone[8:16, 8:16])


def test_patches_are_cut_row_by_row() -> None:
    picture = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    patches = to_patches(picture, 2)
    assert patches.shape == (2, 3, 2, 2, 3)
    assert np.array_equal(patches[1, 2], picture[2:4, 4:6])
