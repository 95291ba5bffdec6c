"""Scenes and actions as people write them."""

from __future__ import annotations

import pytest

from reverie.dreaming.scenes import open_scene, read_actions
from reverie.errors import ReverieError, UnknownNameError, WorldError


def test_a_map_opens_a_lake_and_json_opens_a_room() -> None:
    lake, options = open_scene("FrozenLake", "SFF,FHF,FFG")
    assert options == {"desc": ["SFF", "FHF", "FFG"]}
    assert lake.render().shape == (192, 192, 3)
    room, _ = open_scene("Everyday", '{"thing": "egg", "action": "drop"}')
    assert room.state()["things"][0]["name"] == "egg"


@pytest.mark.parametrize(
    ("world", "scene", "message"),
    [
        ("FrozenLak", "SFF,FHF,FFG", "unknown world 'FrozenLak'. Did you mean 'FrozenLake'"),
        ("FrozenLake", "SFF,FXF,FFG", "made of S"),
        ("FrozenLake", "SFF,FF", "same length"),
        ("FrozenLake", "", "empty"),
        ("Everyday", "SFF,FHF,FFG", "is a JSON object of options"),
        ("Everyday", "[1, 2]", "is a JSON object of options"),
        ("Everyday", '{"thing": "dragon", "action": "drop"}', "dragon"),
    ],
)
def test_a_wrong_scene_is_one_clear_error(world: str, scene: str, message: str) -> None:
    with pytest.raises(ReverieError, match=message):
        open_scene(world, scene)


def test_actions_are_letters_names_or_numbers() -> None:
    lake, _ = open_scene("FrozenLake", None)
    expected = [(2, "right"), (2, "right"), (1, "down")]
    assert (
        read_actions(lake, "RRD")
        == read_actions(lake, "right, right,down")
        == read_actions(lake, [2, 2, 1])
        == expected
    )
    room, _ = open_scene("Everyday", None)
    spoken = read_actions(room, "Let go of the egg, wait")
    assert [(room.action_names[number], words) for number, words in spoken] == [
        ("let go", "let go of the egg"),
        ("wait", "wait"),
    ]


@pytest.mark.parametrize("actions", ["jump", "", [7], ["right", "rihgt"], []])
def test_an_action_that_the_world_lacks_is_one_clear_error(actions: str | list[int] | list[str]) -> None:
    lake, _ = open_scene("FrozenLake", None)
    with pytest.raises(WorldError):
        read_actions(lake, actions)


def test_the_nearest_action_is_suggested() -> None:
    room, _ = open_scene("Everyday", None)
    with pytest.raises(WorldError, match=r"Everyday has no action 'drp'\. Did you mean 'drop'"):
        read_actions(room, "drp")


def test_an_unknown_world_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Everyday"):
        open_scene("Everyda", None)
