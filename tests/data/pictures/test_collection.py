"""Collections: a prepared folder opens with its records and pictures, by split; what is none says so in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reverie.data.pictures.collection import Collection, PictureRecord
from reverie.data.pictures.images import fit_square, resize_picture
from reverie.data.pictures.prepare import PrepareConfig, prepare
from reverie.errors import DataError, UnknownNameError
from toy_pictures import drawing, drawings

RECORD = PictureRecord(
    "images/000000.png", "a ship", "train", "a.png", "given", (0, 2, 32, 29), 96, 80, "0" * 16, {"x": 1}
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare(drawings(tmp_path / "in", 6), tmp_path / "out", PrepareConfig(size=32, val_share=0.34, workers=1))
    return tmp_path / "out"


def test_a_collection_opens_with_everything(folder: Path) -> None:
    collection = Collection.open(folder)
    assert (len(collection), collection.side) == (6, 32)
    assert collection.captions == [f"drawing {index}" for index in range(6)]
    pictures = collection.pictures()
    assert (pictures.shape, pictures.dtype) == ((6, 32, 32, 3), np.uint8)
    assert np.array_equal(pictures[2], fit_square(drawing(2), 32)[0])


def test_splits_share_out_the_records(folder: Path) -> None:
    collection = Collection.open(folder)
    train, val, test = (collection.split(name) for name in ("train", "val", "test"))
    assert (len(train), len(val), len(test)) == (4, 2, 0)
    assert {record.file for record in (*train.records, *val.records)} == {record.file for record in collection.records}
    assert test.pictures().shape == (0, 32, 32, 3)
    with pytest.raises(UnknownNameError, match="Did you mean 'val'"):
        collection.split("valid")


def test_pictures_come_in_any_size(folder: Path) -> None:
    collection = Collection.open(folder)
    small = collection.pictures(16)
    assert small.shape == (6, 16, 16, 3)
    assert np.array_equal(small[0], resize_picture(collection.pictures()[0], 16, 16))


def test_a_record_is_a_line_and_back() -> None:
    line = RECORD.to_json()
    assert "\n" not in line
    assert PictureRecord.from_json(json.loads(line)) == RECORD
    assert PictureRecord.from_json(json.loads(line) | {"later": 1}) == RECORD


@pytest.mark.parametrize(
    "changes",
    [
        {"file": "../out.png"},
        {"file": "/etc/passwd"},
        {"file": ""},
        {"file": "C:\\x.png"},
        {"split": "dev"},
        {"caption_source": "me"},
        {"caption": None},
        {"box": (0, 0, 1)},
        {"width": 1.5},
        {"extra": [1]},
    ],
)
def test_a_record_that_cannot_be_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must"):
        replace(RECORD, **changes)  # type: ignore[arg-type]


def _cut_a_line(folder: Path) -> None:
    path = folder / "metadata.jsonl"
    path.write_bytes(path.read_bytes()[:-40])


def _swap_a_picture(folder: Path) -> None:
    (folder / "images" / "000003.png").write_bytes(b"rubbish")


def _no_size(folder: Path) -> None:
    (folder / "prepare.json").write_text('{"format": 1, "settings": {}}')


def _another_format(folder: Path) -> None:
    (folder / "prepare.json").write_text('{"format": 9, "settings": {"size": 32}}')


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "prepare.json").unlink(), "no prepared collection"),
        (lambda folder: (folder / "prepare.json").write_text("{"), "damaged"),
        (_no_size, "damaged"),
        (_another_format, "format 9"),
        (lambda folder: (folder / "metadata.jsonl").unlink(), "is missing"),
        (lambda folder: (folder / "metadata.jsonl").write_bytes(b"\xff\xff"), "line 1"),
        (_cut_a_line, "line 6"),
        (lambda folder: (folder / "images" / "000003.png").unlink(), "000003.png is missing"),
    ],
)
def test_a_damaged_collection_is_one_line(folder: Path, damage: Callable[[Path], object], words: str) -> None:
    damage(folder)
    with pytest.raises(DataError, match=words):
        Collection.open(folder)


def test_a_damaged_picture_is_one_line_when_it_is_needed(folder: Path) -> None:
    _swap_a_picture(folder)
    collection = Collection.open(folder)
    with pytest.raises(DataError, match=r"000003\.png"):
        collection.pictures()


def test_what_is_no_collection_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        Collection.open(tmp_path / "nowhere")
    with pytest.raises(DataError, match="reverie data prepare"):
        Collection.open(tmp_path)
    (tmp_path / ".prepare").mkdir()
    with pytest.raises(DataError, match="half prepared"):
        Collection.open(tmp_path)
