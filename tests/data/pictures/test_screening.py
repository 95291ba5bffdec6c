"""What a picture is held to: each rule refuses what it should and nothing else; hashes know a picture again."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reverie.data.pictures.images import open_picture, resize_picture
from reverie.data.pictures.screening import Examined, Rules, colour_of, difference_hash, examine, tones_of
from toy_pictures import drawing, photo, save

RULES = Rules(
    size=32,
    pad="border",
    format="png",
    grey=False,
    max_pixels=10_000_000,
    min_side=16,
    max_aspect=4.0,
    min_tones=16.0,
    max_colour=1.0,
)
INK, PAPER = np.array([70, 45, 20]), np.array([238, 222, 180])


def sepia(picture: np.ndarray) -> np.ndarray:
    """Brown ink on yellow paper, after JPEG."""
    data = io.BytesIO()
    tinted = (INK + (PAPER - INK) * (picture / 255)).astype(np.uint8)
    Image.fromarray(tinted).save(data, "JPEG", quality=70)
    return np.asarray(Image.open(data))


def kind(path: Path) -> tuple[str | None, str]:
    with Image.open(path) as image:
        return image.format, image.mode


def away(first: str, second: str) -> int:
    return (int(first, 16) ^ int(second, 16)).bit_count()


def test_a_good_picture_is_written_as_a_square(tmp_path: Path) -> None:
    found = examine(save(drawing(1), tmp_path / "a.png"), tmp_path / "b.png", RULES)
    assert (found.rule, found.width, found.height, found.box) == ("", 96, 80, (0, 2, 32, 29))
    assert open_picture(tmp_path / "b.png").shape == (32, 32, 3)
    assert found.hash == difference_hash(drawing(1))
    assert Examined.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("rule", "picture", "changes"),
    [
        ("small", drawing(1, 100, 15), {"max_aspect": 0}),
        ("aspect", drawing(1, 170, 40), {}),
        ("aspect", drawing(1, 40, 170), {}),
        ("blank", np.full((40, 40, 3), 255, np.uint8), {}),
        ("blank", np.full((40, 40, 3), (200, 10, 10), np.uint8), {}),
        ("colour", photo(1), {"max_colour": 0.02}),
        ("pixels", drawing(1), {"max_pixels": 1_000}),
    ],
)
def test_each_rule_refuses_what_it_is_for(
    tmp_path: Path, rule: str, picture: np.ndarray, changes: dict[str, float]
) -> None:
    path = save(picture, tmp_path / "a.png")
    found = examine(path, tmp_path / "b.png", replace(RULES, **changes))
    assert found.rule == rule
    assert str(tmp_path) not in found.reason
    assert not (tmp_path / "b.png").exists()


def test_each_rule_can_be_switched_off(tmp_path: Path) -> None:
    off = replace(RULES, min_side=1, max_aspect=0, min_tones=0, max_colour=1.0)
    for number, picture in enumerate([drawing(1, 200, 2), np.zeros((9, 9, 3), np.uint8), photo(1)]):
        assert not examine(save(picture, tmp_path / f"{number}.png"), tmp_path / "b.png", off).rule


def test_a_broken_file_is_told_and_not_raised(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff rubbish")
    found = examine(tmp_path / "a.jpg", tmp_path / "b.png", RULES)
    assert (found.rule, found.reason.split()[0]) == ("broken", "it")


def test_yellow_paper_and_brown_ink_are_no_colour() -> None:
    drawn = [drawing(seed) for seed in range(20)]
    assert max(map(colour_of, drawn)) == 0
    assert max(colour_of(sepia(picture)) for picture in drawn) < 0.01
    assert min(colour_of(photo(seed)) for seed in range(20)) > 0.04


def test_a_black_and_white_style_writes_greys(tmp_path: Path) -> None:
    tinted = sepia(drawing(1))
    path = save(tinted, tmp_path / "a.png")
    examine(path, tmp_path / "grey.png", replace(RULES, grey=True))
    examine(path, tmp_path / "tinted.png", RULES)
    assert kind(tmp_path / "grey.png") == ("PNG", "L")
    assert kind(tmp_path / "tinted.png") == ("PNG", "RGB")


def test_jpeg_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    examine(save(drawing(1), tmp_path / "a.png"), tmp_path / "b.jpg", replace(RULES, format="jpg"))
    assert kind(tmp_path / "b.jpg") == ("JPEG", "L")


def test_tones_are_the_distance_between_dark_and_light() -> None:
    picture = np.full((100, 100, 3), 40, np.uint8)
    picture[:50] = 90
    assert tones_of(picture) == 50
    picture[0, :5] = 255  # dust
    assert tones_of(picture) == 50


def test_a_hash_knows_a_picture_in_another_size_and_after_jpeg() -> None:
    for seed in range(20):
        picture = drawing(seed, 300, 240)
        same = difference_hash(picture)
        assert len(same) == 16
        for width, height in ((150, 120), (97, 80), (600, 480), (256, 256)):
            assert away(same, difference_hash(resize_picture(picture, width, height))) <= 4
        data = io.BytesIO()
        Image.fromarray(picture).save(data, "JPEG", quality=30)
        assert away(same, difference_hash(np.asarray(Image.open(data).convert("RGB")))) <= 4


def test_hashes_of_different_pictures_are_far_apart() -> None:
    hashes = [difference_hash(drawing(seed)) for seed in range(60)]
    assert min(away(a, b) for i, a in enumerate(hashes) for b in hashes[:i]) > 8


def test_the_hash_is_what_it_says() -> None:
    steps = np.repeat(np.arange(9, dtype=np.uint8) * 20, 10)  # lighter to the right
    picture = np.repeat(np.tile(steps, (80, 1))[:, :, None], 3, axis=2)
    assert difference_hash(picture) == "f" * 16
    assert difference_hash(np.ascontiguousarray(picture[:, ::-1])) == "0" * 16
    assert difference_hash(np.full((80, 90, 3), 255, np.uint8)) == "0" * 16
