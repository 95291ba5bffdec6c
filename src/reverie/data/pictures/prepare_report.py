"""What a preparation says about itself: statistics in numbers, and a contact sheet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from reverie.data.pictures.collection import CAPTION_SOURCES, SPLITS, Collection, PictureRecord
from reverie.data.pictures.contact_sheet import contact_sheet
from reverie.data.pictures.images import save_picture
from reverie.data.pictures.picture_sources import Found, Problem
from reverie.data.pictures.screening import PICTURE_RULES, Examined
from reverie.data.pictures.splitting import group_near
from reverie.errors import DataError
from reverie.jsonio import read_object

__all__ = ["SHEET_FILE", "read_statistics", "statistics_of", "write_sheet"]

SHEET_FILE = "contact-sheet.png"
_MOST_SHOWN = 64  # pictures of the sheet


def statistics_of(
    records: Sequence[PictureRecord],
    examined: Sequence[Examined],
    rejected: Sequence[Problem],
    found: Found,
    group_distance: int,
    num_cut: int,
    missing_fields: Mapping[str, int],
) -> dict[str, Any]:
    """Counts and spreads of a collection; ``examined`` is what was seen of each record's picture."""
    rules = Counter(problem.rule for problem in rejected)
    problems = Counter(problem.rule for problem in found.problems)
    splits = Counter(record.split for record in records)
    sources = Counter(record.caption_source for record in records)
    groups = group_near([record.hash for record in records], group_distance)
    sides: dict[int, set[str]] = {}
    for group, record in zip(groups, records):
        sides.setdefault(group, set()).add(record.split)
    boxes = np.array([record.box for record in records], np.int64)
    filled = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    long_sides = [max(record.width, record.height) for record in records]
    statistics: dict[str, Any] = {
        "found": len(found.pictures),
        "kept": len(records),
        "rejected": {rule: rules[rule] for rule in (*PICTURE_RULES, "caption", "duplicate")},
        "problems": {rule: problems[rule] for rule in ("missing", "metadata", "caption", "folder")},
        "splits": {name: splits[name] for name in SPLITS},
        "captions": {
            **{source: sources[source] for source in CAPTION_SOURCES},
            "cut": num_cut,
            "distinct": len({record.caption for record in records}),
            "words": _spread([len(record.caption.split()) for record in records]),
            "characters": _spread([len(record.caption) for record in records]),
        },
        "missing_fields": dict(sorted(missing_fields.items())),
        "originals": {
            "width": _spread([record.width for record in records]),
            "height": _spread([record.height for record in records]),
            "long_side": _spread(long_sides),
        },
        "enlarged": int(sum(max(box[2] - box[0], box[3] - box[1]) > long for box, long in zip(boxes, long_sides))),
        "filled": round(float((filled / _square(records, boxes)).mean()), 4),
        "tones": _spread([one.tones for one in examined]),
        "colour": _spread([one.colour for one in examined]),
        "mean_grey": round(float(np.mean([one.mean for one in examined])), 4),
        "near_groups": sum(count > 1 for count in Counter(groups).values()),
        "largest_near_group": max(Counter(groups).values()),
        "straddling_groups": sum(len(names) > 1 for names in sides.values()),
    }
    return statistics | {"warnings": _warnings(statistics)}


def write_sheet(collection: Collection) -> None:
    """``contact-sheet.png`` of up to 64 pictures from all over the collection."""
    step = max(1.0, len(collection) / _MOST_SHOWN)
    chosen = [collection.records[int(index * step)] for index in range(min(len(collection), _MOST_SHOWN))]
    shown = replace(collection, records=tuple(chosen))
    sheet = contact_sheet(list(shown.pictures(min(collection.side, 160))), shown.captions, side=160)
    save_picture(sheet, collection.folder / SHEET_FILE)


def read_statistics(folder: Path) -> dict[str, Any]:
    """What ``statistics.json`` of a collection holds. Raises DataError where it is damaged."""
    statistics = read_object(folder / "statistics.json", DataError, "the collection's file")
    if not {"found", "kept", "captions", "splits", "warnings"} <= statistics.keys():
        raise DataError(f"{folder / 'statistics.json'} lacks figures. Prepare the folder again with --overwrite.")
    return statistics


def _square(records: Sequence[PictureRecord], boxes: np.ndarray) -> int:
    return int(boxes[:, 2:].max()) ** 2 if len(records) else 1


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "min": round(float(min(values)), 4),
        "median": round(float(np.median(values)), 4),
        "max": round(float(max(values)), 4),
    }


def _warnings(statistics: Mapping[str, Any]) -> list[str]:
    captions, splits = statistics["captions"], statistics["splits"]
    said = []
    if not splits["val"]:
        said.append("there are no pictures to validate on: the split val is empty")
    if not splits["train"]:
        said.append("there are no pictures to train on: the split train is empty")
    if bare := captions["prefix"] + captions["none"]:
        have = _counted(bare, "picture has", "pictures have")
        said.append(f"{have} no caption; --captioner writes what is missing, --without-caption drop leaves them out")
    if captions["cut"]:
        said.append(f"{_counted(captions['cut'], 'caption was', 'captions were')} too long and cut")
    if groups := statistics["straddling_groups"]:
        lie = _counted(groups, "group of near-duplicates lies", "groups of near-duplicates lie")
        said.append(f"{lie} in more than one split, because the given splits say so")
    if problems := sum(statistics["problems"].values()):
        lines = _counted(problems, "line or caption", "lines and captions")
        said.append(f"{lines} could not be used; rejected.jsonl says why")
    return said


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
