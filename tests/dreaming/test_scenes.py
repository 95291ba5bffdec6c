"""Scenes and actions as people write them."""

from __future__ import annotations

from typing import Any

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
    "scene",
    [
        "sff/fhf/ffg",
        " SFF FHF\tFFG ",
        "SFF, FHF, FFG",
        "SFF\nFHF\nFFG\n",
        '["SFF", "FHF", "FFG"]',
        '{"desc": "SFF;FHF;FFG"}',
        ["SFF", "FHF", "FFG"],
        {"desc": ["SFF", "FHF", "FFG"]},
    ],
)
def test_a_map_is_read_however_its_rows_are_parted(scene: Any) -> None:
    lake, _ = open_scene("frozenlake", scene)
    assert lake.state()["desc"] == ["SFF", "FHF", "FFG"]


@pytest.mark.parametrize(("size", "side"), [("4x4", 4), ("8x8", 8)])
def test_gymnasiums_own_maps_have_names(size: str, side: int) -> None:
    lake, options = open_scene("FrozenLake", size)
    assert len(options["desc"]) == side
    assert lake.render().shape == (side * 64, side * 64, 3)


@pytest.mark.parametrize(
    ("world", "scene", "message"),
    [
        ("FrozenLak", "SFF,FHF,FFG", "unknown world 'FrozenLak'. Did you mean 'FrozenLake'"),
        ("FrozenLake", "SFF,FXF,FFG", "made of S"),
        ("FrozenLake", "SFF,FF", "same length"),
        ("FrozenLake", "", "empty"),
        ("FrozenLake", "5x5", "'5x5' is a size and no map; give rows such as SFF,FHF,FFG, or .*: 4x4, 8x8"),
        ("FrozenLake", "SFFFFFFFF,FFFFFFFFG", r"2 to 8 rows and columns, got 2x9: SFFFFFFFF, FFFFFFFFG"),
        ("FrozenLake", '["SF", 3]', "in JSON is a list of rows"),
        ("FrozenLake", "[SF", "in JSON is a list of rows"),
        ("FrozenLake", '{"desc": 5}', "has no scene"),
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
    room, _ = open_scene("Everyday", {"thing": "egg", "action": "let go"})
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


@pytest.mark.parametrize(
    ("scene", "said"),
    [
        ({"thing": "ball", "action": "drop"}, "drop the egg"),
        ({"thing": "glass", "action": "push", "surface": "table"}, "push the glass, drop the teddy bear"),
        ({"thing": "apple", "action": "cut"}, "cut the dragon"),
        ({"thing": "apple", "action": "cut"}, "cut the apple on the table"),
    ],
)
def test_an_action_that_the_scene_has_not_is_refused_with_those_that_it_has(scene: dict[str, str], said: str) -> None:
    room, _ = open_scene("Everyday", scene)
    thing = scene["thing"]
    with pytest.raises(WorldError, match=rf"nobody can .* in this scene .* drop the {thing}, .*push the {thing}"):
        read_actions(room, said)


@pytest.mark.parametrize(
    ("scene", "said"),
    [
        ({"thing": "cup of water", "action": "tip"}, "tip the cup over, wait"),
        ({"thing": "book", "action": "stack", "support": "ball"}, "stack the thick book on the ball"),
        ({"thing": "glass", "action": "push", "surface": "table"}, "push it off the table"),
        ({"thing": "apple", "action": "cut"}, "Cut the apple with a knife"),
    ],
)
def test_an_action_may_be_said_with_what_the_scene_has(scene: dict[str, str], said: str) -> None:
    room, _ = open_scene("Everyday", scene)
    number, words = read_actions(room, said)[0]
    assert room.action_names[number] == scene["action"]
    assert words == said.split(",")[0].lower()


def test_the_narrators_own_words_for_an_action_are_read() -> None:
    room, _ = open_scene("Everyday", {"thing": "domino row", "action": "push", "surface": "sand"})
    said = [room.narrator.say_action(number, room.state())[0] for number in range(len(room.action_names))]
    assert [number for number, _ in read_actions(room, said)] == list(range(len(said)))
