"""Pictures that people bring are checked before they are decoded, and fit a world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reverie.dreaming.pictures import MAX_PIXELS, fit_picture, open_picture
from reverie.errors import PictureError


def test_any_kind_of_picture_opens_as_rgb(tmp_path: Path) -> None:
    Image.new("L", (20, 10), 7).save(tmp_path / "grey.png")
    Image.new("RGB", (20, 10), (1, 2, 3)).save(tmp_path / "colour.jpg")
    clear = Image.new("RGBA", (20, 10), (0, 0, 0, 0))
    assert open_picture(tmp_path / "grey.png").getpixel((0, 0)) == (7, 7, 7)
    assert open_picture(tmp_path / "colour.jpg").mode == "RGB"
    assert open_picture(clear).getpixel((0, 0)) == (255, 255, 255)
    assert open_picture(np.zeros((10, 20, 3), np.uint8)).size == (20, 10)


def test_what_is_no_picture_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("text.png", "empty.png"):
        with pytest.raises(PictureError, match=f"{name} is damaged, or of a format that is not read"):
            open_picture(tmp_path / name)
    with pytest.raises(PictureError, match=r"gone\.png does not exist"):
        open_picture(tmp_path / "gone.png")
    with pytest.raises(PictureError, match="cannot be read"):
        open_picture(tmp_path)
    with pytest.raises(PictureError, match="a picture is uint8"):
        open_picture(np.zeros((4, 4)))
    with pytest.raises(PictureError, match="at most 25,000,000 are allowed"):
        open_picture(Image.new("1", (10_000, 10_000)))


def test_a_cut_short_picture_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(256, size=(64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:2000])
    with pytest.raises(PictureError, match=r"cut\.png"):
        open_picture(tmp_path / "cut.png")
    with Image.open(tmp_path / "cut.png") as half, pytest.raises(PictureError, match="the picture is damaged"):
        open_picture(half)


@pytest.mark.parametrize("side", [10_000, 14_000])
def test_a_picture_of_100_megapixels_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    Image.new("1", (side, side)).save(tmp_path / "huge.png")
    with pytest.raises(PictureError, match=f"{MAX_PIXELS:,}"):
        open_picture(tmp_path / "huge.png")


def test_any_picture_can_be_fitted_into_a_square() -> None:
    assert fit_picture(Image.new("RGB", (300, 200)), 64).shape == (64, 64, 3)
