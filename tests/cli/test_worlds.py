"""`reverie worlds`: list, show, check and record, for people and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reverie.cli import main
from reverie.worlds import world_names


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["worlds", *arguments, "--json"]) == 0
    loaded = json.loads(capsys.readouterr().out)
    assert isinstance(loaded, dict)
    return loaded


def test_the_list_names_every_world_with_its_actions(capsys: pytest.CaptureFixture[str]) -> None:
    listed = answer(capsys)
    assert listed == answer(capsys, "list")
    assert [world["name"] for world in listed["worlds"]] == world_names()
    assert all(world["about"] and world["actions"] and world["scenes"] for world in listed["worlds"])
    pictures = {world["name"]: world["pictures"] for world in listed["worlds"]}
    assert pictures["FrozenLake"] == "sides in multiples of 64 px, at most 512"
    assert pictures["Everyday"] == "64x64 px"


@pytest.mark.parametrize("name", ["FrozenLake", "Everyday"])
def test_show_gives_a_true_episode_questions_and_a_strip(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = answer(capsys, "show", name, "--seed", "3", "--save", str(tmp_path / "new" / "out"))
    assert all(triplet[part] for triplet in shown["episode"]["triplets"] for part in ("what", "action", "result"))
    assert all(item["question"] and item["answer"] for item in shown["questions"])
    with Image.open(shown["strip"]) as strip:
        assert strip.width > 400


def test_the_same_seed_shows_the_same_episode(capsys: pytest.CaptureFixture[str]) -> None:
    first, second, other = (answer(capsys, "show", "FrozenLake", "--seed", seed) for seed in ("1", "1", "2"))
    assert first == second != other


def test_people_read_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worlds", "show", "Everyday"]) == 0
    out = capsys.readouterr().out
    assert "actions: drop" in out
    assert "pictures: 64x64 px" in out
    assert " → " in out


def test_a_name_is_found_in_any_capitals(capsys: pytest.CaptureFixture[str]) -> None:
    shown = answer(capsys, "show", "frozenLAKE")
    assert shown["name"] == "FrozenLake"
    assert "2 to 8 rows" in shown["scenes"]


def test_check_says_which_promises_hold(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worlds", "check", "FrozenLake", "--episodes", "1"]) == 0
    assert "✓ gymnasium check_env" in capsys.readouterr().out


def test_record_writes_pictures_and_triplets_that_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = answer(capsys, "record", "FrozenLake", "--episodes", "2", "--out", str(tmp_path / "lake"))
    assert recorded == {"world": "FrozenLake", "episodes": 2, "out": str(tmp_path / "lake")}
    lines = [json.loads(line) for line in (tmp_path / "lake" / "episodes.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    for line in lines:
        for before, after in zip(line["triplets"], line["triplets"][1:], strict=False):
            first, second = (tmp_path / "lake" / part["image"] for part in (before["result"], after["what"]))
            assert np.array_equal(np.asarray(Image.open(first)), np.asarray(Image.open(second)))


def test_a_file_in_the_way_of_the_folder_is_said_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for arguments in (["record", "FrozenLake", "--out"], ["show", "FrozenLake", "--save"]):
        assert main(["worlds", *arguments, str(tmp_path / "file")]) == 2
        assert "a file where a folder is needed" in capsys.readouterr().err
