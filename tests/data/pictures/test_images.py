"""Pictures: every format and mode opens alike, bad files are one line, squares keep the aspect; contact sheets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reverie.data.pictures.contact_sheet import contact_sheet
from reverie.data.pictures.images import TooManyPixelsError, fit_square, open_picture, resize_picture
from reverie.errors import PictureError
from toy_pictures import drawing, photo, png_header, save


@pytest.mark.parametrize("ending", ["png", "jpg", "gif", "tif", "webp", "bmp", "ppm"])
def test_every_format_opens_as_the_same_picture(tmp_path: Path, ending: str) -> None:
    settings = {"quality": 95} if ending in ("jpg", "webp") else {}
    path = save(drawing(1), tmp_path / f"a.{ending}", **settings)
    opened = open_picture(path)
    assert (opened.shape, opened.dtype) == ((80, 96, 3), np.uint8)
    assert np.abs(opened.astype(int) - drawing(1)).mean() < 3


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    grey = drawing(2)[..., 0]
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "a.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "a.tif")
    Image.fromarray(grey.astype(np.int32) * 257).save(tmp_path / "b.tif")
    for name in ("a.png", "a.tif", "b.tif"):
        assert np.array_equal(open_picture(tmp_path / name), drawing(2)), name


def test_floats_of_either_range_are_scaled(tmp_path: Path) -> None:
    grey = drawing(2)[..., 0].astype(np.float32)
    for name, values in (("a.tif", grey), ("b.tif", grey / 255)):
        Image.fromarray(values).save(tmp_path / name)
        assert np.abs(open_picture(tmp_path / name).astype(int) - drawing(2)).max() <= 1, name


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    Image.fromarray(photo(1)).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(photo(1)).convert("CMYK").save(tmp_path / "a.tif")
    for name in ("a.jpg", "a.tif"):
        assert np.abs(open_picture(tmp_path / name).astype(int) - photo(1)).mean() < 6, name


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "PA"])
def test_other_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    name = "a.tif" if mode == "PA" else "a.png"
    image = Image.fromarray(drawing(3)).convert("P" if mode == "PA" else mode)
    if mode == "PA":
        image.info["transparency"] = 0
    image.save(tmp_path / name)
    assert open_picture(tmp_path / name).shape == (80, 96, 3)


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    picture = np.zeros((8, 8, 4), np.uint8)
    picture[:, :4, 3] = 255
    opened = open_picture(save(picture, tmp_path / "a.png"))
    assert (opened[:, :4] == 0).all()
    assert (opened[:, 4:] == 255).all()


def test_of_an_animation_the_first_frame_counts(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((8, 8), tone, np.uint8)) for tone in (200, 20)]
    for ending, kind in (("gif", "GIF"), ("png", "PNG"), ("webp", "WEBP"), ("tif", "TIFF"), ("jpg", "MPO")):
        path = tmp_path / f"a.{ending}"
        frames[0].save(path, kind, save_all=True, append_images=frames[1:])
        assert abs(int(open_picture(path).mean()) - 200) <= 2, ending


def test_a_camera_held_sideways_is_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.fromarray(drawing(1)).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(open_picture(tmp_path / "a.png"), np.rot90(drawing(1), -1))


def test_a_truncated_file_is_one_line(tmp_path: Path) -> None:
    for ending in ("png", "jpg", "gif", "tif", "webp", "bmp"):
        whole = save(drawing(4), tmp_path / f"whole.{ending}").read_bytes()
        for share in (0.1, 0.5, 0.9):
            (tmp_path / f"cut.{ending}").write_bytes(whole[: int(len(whole) * share)])
            with pytest.raises(PictureError) as caught:
                open_picture(tmp_path / f"cut.{ending}")
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"no picture at all", b"\x89PNG\r\n\x1a\n", b"GIF89a\x01", b"\xff\xd8\xff\xe0" * 9]
)
def test_what_is_no_picture_is_one_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(PictureError, match=r"a\.png"):
        open_picture(tmp_path / "a.png")


def test_a_missing_file_and_a_folder_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="does not exist"):
        open_picture(tmp_path / "a.png")
    with pytest.raises(PictureError, match="cannot be read"):
        open_picture(tmp_path)


@pytest.mark.parametrize("side", [12_000, 30_000])
def test_too_many_pixels_are_refused_by_the_header(tmp_path: Path, side: int) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_header(side, side))
    with pytest.raises(TooManyPixelsError, match="pixels"):
        open_picture(path)


def test_the_limit_of_pixels_can_be_set(tmp_path: Path) -> None:
    path = save(drawing(1), tmp_path / "a.png")
    assert open_picture(path, 96 * 80).shape == (80, 96, 3)
    with pytest.raises(TooManyPixelsError, match="96 × 80"):
        open_picture(path, 96 * 80 - 1)


def test_a_square_keeps_the_aspect() -> None:
    square, box = fit_square(drawing(1, 100, 50), 40)
    assert (square.shape, square.dtype, box) == ((40, 40, 3), np.uint8, (0, 10, 40, 30))
    square, box = fit_square(drawing(1, 30, 60), 40)
    assert box == (10, 0, 30, 40)
    assert np.array_equal(square[0:40, 10:30], resize_picture(drawing(1, 30, 60), 20, 40))


def test_a_line_of_one_pixel_still_has_a_width() -> None:
    assert fit_square(drawing(1, 500, 1), 16)[1] == (0, 7, 16, 8)


@pytest.mark.parametrize(("pad", "tone"), [("white", 255), ("black", 0), ("border", 90)])
def test_padding_is_white_black_or_the_colour_of_the_border(pad: str, tone: int) -> None:
    picture = np.full((20, 40, 3), 90, np.uint8)
    picture[5:15, 10:30] = 7
    assert (fit_square(picture, 40, pad)[0][:9] == tone).all()


def test_a_picture_that_fits_stays_as_it_is() -> None:
    assert np.array_equal(fit_square(drawing(5, 64, 64), 64)[0], drawing(5, 64, 64))


def test_what_cannot_be_fitted_is_refused() -> None:
    for bad in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(PictureError, match="uint8"):
            fit_square(bad, 8)
    with pytest.raises(PictureError, match="border, white, black"):
        fit_square(drawing(1), 8, "grey")
    with pytest.raises(PictureError, match="at least 1"):
        fit_square(drawing(1), 0)


def test_a_sheet_has_a_cell_for_each_picture() -> None:
    pictures = [drawing(seed, 20 + seed, 30) for seed in range(5)]
    plain = contact_sheet(pictures, columns=3, side=40)
    assert plain.shape == (2 * 48 + 8, 3 * 48 + 8, 3)
    assert np.array_equal(plain[8:48, 8:48], fit_square(pictures[0], 40, "white")[0])
    assert contact_sheet(pictures, ["words"] * 5, columns=3, side=40).shape[0] > plain.shape[0]


def test_a_sheet_chooses_its_columns() -> None:
    assert contact_sheet([drawing(1)] * 9, side=16).shape == (80, 80, 3)
    assert contact_sheet([], side=16).shape == (32, 32, 3)


def test_captions_are_cut_to_their_cell() -> None:
    long = ["x" * 5_000, "many short words " * 100, "ø ü 漢字 \U0001f600", ""]
    sheet = contact_sheet([drawing(1)] * 4, long, columns=2, side=64)
    assert sheet.shape == contact_sheet([drawing(1)] * 4, ["a"] * 4, columns=2, side=64).shape
    gap = sheet[:, 73:79]  # between the columns
    assert (gap == 255).all()
