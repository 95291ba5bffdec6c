"""Worlds of one size find themselves in pictures of any other, and tell others' pictures from their own."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from reverie.worlds import make_world
from reverie.worlds.sighting import trimmed

EGG = {"thing": "egg", "action": "drop", "surface": "floor", "column": 3, "height": "high"}


def room() -> np.ndarray:
    world = make_world("Everyday")
    world.reset(seed=0, options=EGG)
    return np.asarray(world.render())


def with_margin(picture: np.ndarray) -> np.ndarray:
    return np.pad(picture, ((20, 31), (17, 17), (0, 0)), constant_values=255)


@pytest.mark.parametrize("side", [64, 256, 300, 1000])
def test_a_scene_is_read_at_any_size_and_in_a_margin(side: int) -> None:
    picture = np.asarray(Image.fromarray(room()).resize((side, side), Image.Resampling.BICUBIC))
    world = make_world("Everyday")
    for shown in (picture, with_margin(picture)):
        sighting = world.sight(shown)
        assert sighting.picture is not None, sighting.why
        assert np.array_equal(sighting.picture, room())


def test_a_lake_is_no_scene_of_everyday_and_the_reverse() -> None:
    lake, everyday = make_world("FrozenLake"), make_world("Everyday")
    lake.reset(seed=0)
    assert everyday.sight(np.asarray(lake.render())).picture is None
    assert lake.sight(room()).picture is None
    assert lake.sight(np.asarray(Image.fromarray(room()).resize((512, 512)))).picture is None


def test_noise_and_upside_down_rooms_are_nothing_of_everyday() -> None:
    world = make_world("Everyday")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for picture in (noise, np.ascontiguousarray(room()[::-1]), np.zeros((64, 64, 3), np.uint8), noise[:1]):
        assert world.sight(picture).picture is None


def test_a_margin_is_cut_off_and_an_empty_picture_stays() -> None:
    assert np.array_equal(trimmed(with_margin(room())), room())
    empty = np.full((30, 40, 3), 9, np.uint8)
    assert np.array_equal(trimmed(empty), empty)
