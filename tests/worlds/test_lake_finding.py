"""Lakes are found in pictures at any scale, in windows and in grey; what is no lake is refused with the reason."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from reverie.worlds import make_world
from reverie.worlds.frozenlake import paint
from reverie.worlds.frozenlake.finding import find_lake

DESC = ("SFFH", "FHFF", "FFFF", "HFFG")
LAKE = paint(DESC, (0, 0))
RNG = np.random.default_rng(0)


def resized(
    picture: np.ndarray, width: int, height: int | None = None, how: int = Image.Resampling.BICUBIC
) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((width, height or width), Image.Resampling(how)))


def within(
    picture: np.ndarray, colour: tuple[int, int, int] = (240, 240, 240), at: tuple[int, int] = (37, 61)
) -> np.ndarray:
    window = np.full((picture.shape[0] + 150, picture.shape[1] + 190, 3), colour, np.uint8)
    window[at[0] : at[0] + picture.shape[0], at[1] : at[1] + picture.shape[1]] = picture
    return window


def in_grey(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).convert("L").convert("RGB"))


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


@pytest.mark.parametrize(
    "picture",
    [
        LAKE,
        resized(LAKE, 512),
        resized(LAKE, 130),
        resized(LAKE, 64),
        resized(LAKE, 1000, 1000, Image.Resampling.NEAREST),
        resized(LAKE, 300, 320),
        in_grey(LAKE),
        within(LAKE),
        within(resized(LAKE, 181), (20, 20, 25)),
        in_grey(within(LAKE)),
        jpeg(LAKE, 40),
        jpeg(within(resized(LAKE, 350)), 70),
        np.clip(LAKE.astype(int) + 12, 0, 255).astype(np.uint8),
    ],
    ids=["as it is", "512", "130", "64", "nearest", "stretched", "grey", "window", "dark window", "grey window", "jpeg",
         "jpeg window", "brighter"],
)  # fmt: skip
def test_a_lake_is_found_and_painted_as_the_world_paints_it(picture: np.ndarray) -> None:
    sighting = find_lake(picture)
    assert sighting.picture is not None, sighting.why
    assert np.array_equal(sighting.picture, LAKE)
    assert sighting.why.startswith("it shows a lake of 4x4 cells")


def test_any_map_with_the_elf_anywhere_is_read_at_another_scale() -> None:
    world = make_world("FrozenLake")
    for seed in range(12):
        rng = np.random.default_rng(seed)
        desc = world.sample_options(rng)["desc"]
        free = [(row, col) for row, line in enumerate(desc) for col, letter in enumerate(line) if letter in "SF"]
        lake = paint(desc, free[int(rng.integers(len(free)))])
        side = int(lake.shape[1] * rng.uniform(0.4, 1.7))
        found = find_lake(resized(lake, side, round(side * lake.shape[0] / lake.shape[1])))
        assert found.picture is not None, found.why
        assert np.array_equal(found.picture, lake)


@pytest.mark.parametrize(
    ("picture", "why"),
    [
        (RNG.integers(0, 256, (200, 300, 3), dtype=np.uint8), "no frozen lake"),
        (np.full((256, 256, 3), (200, 225, 243), np.uint8), "no frozen lake"),
        (np.concatenate([within(LAKE), within(LAKE)], 1), "more than one lake"),
        (LAKE[::-1], "row"),
        (LAKE[:, ::-1], "row"),
        (LAKE.swapaxes(0, 1), ""),
        (np.concatenate([LAKE, LAKE], 1), "more than one lake"),
        (np.concatenate([within(LAKE)[:278], within(paint(("SF", "FG"), (0, 0)))], 1), "more than one lake"),
        (paint(("FFFF", "FSGF", "FFHF"), (1, 1))[:, :-32], "cut off"),
        (within(paint(("FFFF", "FSGF", "FFHF"), (1, 1)))[:, :293], "cut off"),
        (LAKE[:, :-32], "0 goals"),
        (LAKE[64:], "starts"),
        (LAKE[:, 64:], "starts"),
        (paint(("FFFF", *DESC[1:]), (0, 1)), "0 starts"),
        (paint(DESC, None), "no elf"),
        (resized(resized(LAKE, 24), 256), ""),
        (np.zeros((1, 1, 3), np.uint8), "no frozen lake"),
        (np.zeros((3, 2000, 3), np.uint8), "no frozen lake"),
    ],
)  # fmt: skip
def test_what_is_no_whole_lake_is_refused_with_the_reason(picture: np.ndarray, why: str) -> None:
    sighting = find_lake(np.ascontiguousarray(picture))
    assert sighting.picture is None
    assert why in sighting.why


def test_the_cracks_in_the_ice_tell_a_part_from_a_whole() -> None:
    whole = ("FFFFF", "SFFFF", "FFFFF", "FFFFG")
    assert find_lake(paint(whole, (1, 0))).picture is not None
    assert "part of a larger one" in find_lake(paint(whole, (1, 0))[64:]).why


def test_a_covered_cell_is_named() -> None:
    covered = LAKE.copy()
    covered[70:120, 140:190] = (250, 10, 10)
    assert find_lake(covered).picture is None
