from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from reverie.errors import UnknownNameError, WorldError
from reverie.worlds import check_world, make_world, record, record_episode, world_names
from reverie.worlds.frozenlake import (
    FrozenLake,
    in_test_split,
    map_hash,
    parse_actions,
    parse_map,
    random_map,
    shortest_plan,
)


@pytest.mark.parametrize("name", world_names())
def test_every_world_keeps_the_contract(name: str) -> None:
    assert "gymnasium check_env" in check_world(name)


@pytest.mark.parametrize("side", range(2, 9))
def test_pictures_equal_gymnasiums_pixel_for_pixel(side: int) -> None:
    rng = np.random.default_rng(side)
    desc = random_map(side, rng, holes=0.2)
    theirs = gymnasium.make("FrozenLake-v1", desc=list(desc), is_slippery=False, render_mode="rgb_array").unwrapped
    ours = FrozenLake(desc)
    theirs.reset(seed=0)
    ours.reset(seed=0)
    for action in rng.integers(4, size=15).tolist():
        assert np.array_equal(theirs.render(), ours.render())  # type: ignore[arg-type]
        *_, terminated, _, _ = theirs.step(action)
        assert ours.step(action)[2] == terminated
        if terminated:
            assert np.array_equal(theirs.render(), ours.render())  # type: ignore[arg-type]
            break


def test_a_picture_is_read_back_even_with_noise() -> None:
    world = FrozenLake("SFFH,FHFF,FFFG")
    world.reset()
    world.step(1)
    rng = np.random.default_rng(0)
    noisy = np.clip(world.render() + rng.normal(0, 12, size=(192, 256, 3)), 0, 255).astype(np.uint8)
    assert world.read(noisy) == world.state()
    assert world.read(np.zeros((10, 10, 3), np.uint8)) is None


def test_rules_catch_a_lake_that_changes_and_an_elf_that_jumps() -> None:
    world = FrozenLake("SFF,FHF,FFG")
    pictures = {}
    for row, col in ((0, 0), (0, 1), (2, 0)):
        world.reset(options={"cell": [row, col]})
        pictures[row, col] = world.render()
    assert world.check_rules(pictures[0, 0], pictures[0, 1]) == 1
    assert world.check_rules(pictures[0, 0], pictures[2, 0]) == 0
    assert world.check_rules(pictures[0, 0], FrozenLake("SFH,FHF,FFG").render()) == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("SF,FHF", "same length"),
        ("SFX,FFF,FFG", "got 'X'"),
        ("FFF,FFF,FFG", "one S and one G, got 0 and 1"),
        ("SG", "2 to 8 rows"),
        ("S" + "F" * 8 + "," + "F" * 8 + "G", "2 to 8 rows"),
    ],
)
def test_a_malformed_map_says_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(WorldError, match=says):
        parse_map(text)


def test_maps_and_actions_are_read_as_people_write_them() -> None:
    assert parse_map(" sff, fhf ,ffg") == ("SFF", "FHF", "FFG")
    assert (
        parse_actions("RRD") == parse_actions("right, right,down") == parse_actions(["R", "right", "Down"]) == [2, 2, 1]
    )
    with pytest.raises(WorldError, match="Did you mean 'right'"):
        parse_actions("rigth,down")
    with pytest.raises(WorldError, match="no actions"):
        parse_actions("")


def test_an_unknown_world_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'FrozenLake'"):
        make_world("FrozenLakes")


def test_shortest_plans_avoid_holes() -> None:
    assert shortest_plan(["SHG", "FFF"]) == [1, 2, 2, 3]
    assert shortest_plan(["SHG", "FHF"]) is None


def test_half_of_all_maps_is_kept_for_testing() -> None:
    rng = np.random.default_rng(0)
    maps = [random_map(5, rng) for _ in range(300)]
    assert map_hash(("SF", "FG")) == map_hash(["SF", "FG"])
    assert 0.4 < np.mean([in_test_split(desc) for desc in maps]) < 0.6


def test_recording_is_repeatable_and_stops_at_the_end() -> None:
    world = FrozenLake()
    first, second = list(record(world, 3, seed=4)), list(record(world, 3, seed=4))
    for a, b in zip(first, second, strict=True):
        assert [step.action for step in a.transitions] == [step.action for step in b.transitions]
        assert all(np.array_equal(x.result, y.result) for x, y in zip(a.transitions, b.transitions, strict=True))
    episode = record_episode(world, {"desc": ["SHF", "FFG"]}, actions=[2, 1, 1])
    assert [step.result_text for step in episode.transitions] == ["falls"]


def test_where_the_goal_does_not_end_the_walk_the_elf_goes_on_over_it() -> None:
    world = FrozenLake("SGF,FHF,FFF")
    options = {"desc": ["SGF", "FHF", "FFF"], "goal_ends": False}
    episode = record_episode(world, options, actions=[2, 2, 0, 1, 1])
    assert [step.result_text for step in episode.transitions] == ["goal", "safe", "goal", "falls"]
    assert world.endings == {"falls": False}
    assert len(record_episode(world, {"desc": options["desc"]}, actions=[2, 2]).transitions) == 1
