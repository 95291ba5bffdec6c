"""A prepared collection: a folder of square pictures, each with its caption and split, as ``prepare`` writes it.

``metadata.jsonl`` holds one record per picture; ``train.jsonl`` and ``val.jsonl`` the same records by split;
``prepare.json``, written last, says how it was made. docs/collections.md describes every file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from reverie.data.pictures.images import open_picture, resize_picture
from reverie.errors import DataError, PictureError, UnknownNameError, shorten
from reverie.jsonio import json_lines, read_object

__all__ = ["CAPTION_SOURCES", "METADATA_FILE", "PREPARE_FILE", "SPLITS", "Collection", "PictureRecord"]

SPLITS = ("train", "val", "test")
CAPTION_SOURCES = ("given", "captioner", "prefix", "none")
METADATA_FILE, PREPARE_FILE = "metadata.jsonl", "prepare.json"


@dataclass(frozen=True)
class PictureRecord:
    """One picture of a collection. Raises ValueError on what cannot be."""

    file: str  # below the collection's folder, as in images/000012.png
    caption: str
    split: str  # one of SPLITS
    source: str  # where it came from, below the folder that was prepared
    caption_source: str  # one of CAPTION_SOURCES: who wrote the caption
    box: tuple[int, int, int, int]  # left, top, right, bottom of the picture inside its square, px
    width: int  # of the original, px
    height: int
    hash: str  # 16 hex digits: the difference hash of the original
    extra: Mapping[str, Any] = field(default_factory=dict)  # whatever else was given about it

    def __post_init__(self) -> None:
        for name in ("file", "caption", "split", "source", "caption_source", "hash"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"'{name}' must be text, got {shorten(repr(getattr(self, name)), 40)}")
        path = PurePosixPath(self.file)
        if not self.file or path.is_absolute() or ".." in path.parts or "\\" in self.file or ":" in self.file:
            raise ValueError(f"'file' must lie in the folder, got '{shorten(self.file, 40)}'")
        if self.split not in SPLITS:
            raise ValueError(f"'split' must be one of {', '.join(SPLITS)}, got '{shorten(self.split, 40)}'")
        if self.caption_source not in CAPTION_SOURCES:
            known = ", ".join(CAPTION_SOURCES)
            raise ValueError(f"'caption_source' must be one of {known}, got '{shorten(self.caption_source, 40)}'")
        numbers = (*self.box, self.width, self.height)
        if len(self.box) != 4 or not all(type(number) is int for number in numbers):
            raise ValueError("'box', 'width' and 'height' must be whole numbers")
        if not isinstance(self.extra, Mapping):
            raise ValueError("'extra' must hold fields by name")

    def to_json(self) -> str:
        """The record as one line of JSON."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        values |= {"box": list(self.box), "extra": dict(self.extra)}
        return json.dumps(values, ensure_ascii=False)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> PictureRecord:
        """The record of a line's fields; ValueError on malformed ones. Fields that are not ours are left out."""
        known = {item.name for item in fields(cls)}
        if missing := sorted(known - {"extra"} - values.keys()):
            raise ValueError(f"'{missing[0]}' is missing")
        values = {name: value for name, value in values.items() if name in known}
        if not isinstance(values["box"], list):
            raise ValueError("'box' must be a list")
        return cls(**values | {"box": tuple(values["box"])})


@dataclass(frozen=True)
class Collection:
    """The pictures of a prepared folder, or of one of its splits."""

    folder: Path
    records: tuple[PictureRecord, ...]
    side: int  # of the pictures as they lie in the folder, px

    @classmethod
    def open(cls, folder: str | Path) -> Collection:
        """The collection in ``folder``. Raises DataError, in one line, when it is none, not finished, or damaged."""
        folder = Path(folder)
        side = _read_side(folder)
        records = _read_records(folder / METADATA_FILE)
        there = {path.name for path in (folder / "images").glob("*")}
        for record in records:
            path = PurePosixPath(record.file)
            if not (path.name in there if path.parent.as_posix() == "images" else (folder / path).is_file()):
                raise DataError(f"{folder} is damaged: {record.file} is missing. {_AGAIN}")
        return cls(folder, records, side)

    def split(self, name: str) -> Collection:
        """The part that is called ``name``, perhaps empty; UnknownNameError where there is no such name."""
        if name not in SPLITS:
            raise UnknownNameError("split", name, SPLITS)
        return replace(self, records=tuple(record for record in self.records if record.split == name))

    def __len__(self) -> int:
        return len(self.records)

    @property
    def captions(self) -> list[str]:
        return [record.caption for record in self.records]

    def pictures(self, side: int | None = None) -> np.ndarray:
        """All pictures as uint8 (N, side, side, 3) in [0, 255]; another side than the folder's is made by Lanczos.

        Raises DataError when one cannot be read or has another size than the collection says.
        """
        side = side or self.side
        pictures = np.empty((len(self.records), side, side, 3), np.uint8)
        for index, record in enumerate(self.records):
            pictures[index] = resize_picture(self._open(record), side, side)
        return pictures

    def _open(self, record: PictureRecord) -> np.ndarray:
        try:
            picture = open_picture(self.folder / record.file)
        except PictureError as error:
            raise DataError(f"{self.folder} is damaged: {error}. {_AGAIN}") from error
        if picture.shape != (self.side, self.side, 3):
            height, width = picture.shape[:2]
            raise DataError(
                f"{self.folder} is damaged: {record.file} has {width} × {height} px, not {self.side} × {self.side}. "
                f"{_AGAIN}"
            )
        return picture


_AGAIN = "Prepare it again with: reverie data prepare DIR --out OUT --overwrite"


def _read_side(folder: Path) -> int:
    if not (folder / PREPARE_FILE).exists():
        raise DataError(_why_none(folder))
    prepared = read_object(folder / PREPARE_FILE, DataError, "the collection's file")
    if prepared.get("format") != 1:
        raise DataError(f"{folder} has the format {shorten(repr(prepared.get('format')))}; this version reads 1.")
    settings = prepared.get("settings")
    side = settings.get("size") if isinstance(settings, dict) else None
    if type(side) is not int or side < 1:
        raise DataError(f"{folder / PREPARE_FILE} is damaged: it names no size. {_AGAIN}")
    return side


def _why_none(folder: Path) -> str:
    if not folder.exists():
        return f"there is no folder {folder}. Make a collection with: reverie data prepare DIR --out {folder}"
    if (folder / ".prepare").is_dir():
        return f"{folder} is half prepared. Run the same 'reverie data prepare' again: it goes on where it stopped."
    return f"{folder} is no prepared collection. Make one with: reverie data prepare {folder} --out OUT"


def _read_records(path: Path) -> tuple[PictureRecord, ...]:
    records = list[PictureRecord]()
    for number, values in json_lines(path, DataError, "the collection's file"):
        try:
            records.append(PictureRecord.from_json(values))
        except (ValueError, TypeError) as error:
            raise DataError(f"{path} is damaged in line {number}: {shorten(str(error), 120)}. {_AGAIN}") from error
    return tuple(records)
