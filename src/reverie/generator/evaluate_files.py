"""What an evaluation leaves to be looked at: sheets of pictures, and its figures as JSON.

evaluation.json           figures, floors, and for every sample its caption and its nearest training pictures
reconstructions.png       rows of held-out pictures, each row above the same pictures repainted
samples-PRIOR.png         samples with their captions
memorised-PRIOR.png       the samples that lie nearest to a training picture, each beside that picture
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reverie.data.pictures import contact_sheet, save_picture
from reverie.files import atomic_write_json
from reverie.generator.evaluation import Evaluation, Shown
from reverie.generator.generator import Sample
from reverie.generator.measures import Nearest
from reverie.generator.real_pictures import Near, RealPictures
from reverie.jsonio import jsonable

__all__ = ["write_files"]

_SHEET_SIDE = 160  # px of a picture on a sheet
_COLUMNS = 8


def write_files(found: Evaluation, shown: Shown, most: int, out: Path) -> tuple[str, ...]:
    """Write all files into ``out`` (made if needed), at most ``most`` pictures a sheet. Returns their names.

    Raises OSError where the disk refuses.
    """
    reference = shown.reference
    sheets = {"reconstructions.png": _repainted(shown, most)}
    for prior, samples in shown.samples.items():
        captions = [one.caption for one in samples[:most]]
        sheets[f"samples-{prior}.png"] = contact_sheet(
            [one.picture for one in samples[:most]], captions, _COLUMNS, _SHEET_SIDE
        )
        sheets[f"memorised-{prior}.png"] = _memorised(reference, samples, shown.near[prior], max(1, most // 2))
    for name, sheet in sheets.items():
        save_picture(sheet, out / name)
    files = ("evaluation.json", *sheets)
    told = {"n": found.n, "figures": found.figures, "by": found.by, "settings": found.settings, "files": files}
    told["samples"] = {name: _told(reference, rows, shown.near[name]) for name, rows in shown.samples.items()}
    atomic_write_json(out / "evaluation.json", jsonable(told))
    return files


def _repainted(shown: Shown, most: int) -> np.ndarray:
    reference = shown.reference
    pictures: list[np.ndarray] = []
    captions: list[str] = []
    for start in range(0, min(most, len(reference.pictures)), _COLUMNS):
        places = range(start, min(start + _COLUMNS, most, len(reference.pictures)))
        blank = [np.full((1, 1, 3), 255, np.uint8)] * (_COLUMNS - len(places))
        pictures += [*(reference.pictures[place] for place in places), *blank]
        pictures += [*(shown.repainted[place] for place in places), *blank]
        captions += [*(reference.held.captions[place] for place in places), *("" for _ in blank)]
        captions += [*(f"→ {shown.captions[place]}" for place in places), *("" for _ in blank)]
    return contact_sheet(pictures, captions, _COLUMNS, _SHEET_SIDE)


def _memorised(reference: RealPictures, samples: Sequence[Sample], near: Near, most: int) -> np.ndarray:
    """Pairs, the nearest first: a sample, and the training picture that is nearest to it in features."""
    order = np.argsort(near.in_features.distances, kind="stable")[:most]
    known = reference.training_pictures(near.in_features.places[order])
    pictures: list[np.ndarray] = []
    captions: list[str] = []
    for place, picture in zip(order.tolist(), known, strict=True):
        pictures += [samples[place].picture, picture]
        share = near.in_features.distances[place] / max(_usual(reference.held_near.in_features), 1e-9)
        captions += [f"seed {samples[place].seed}: {share:.2f} of the usual distance"]
        captions += [reference.train.captions[int(near.in_features.places[place])]]
    return contact_sheet(pictures, captions, _COLUMNS, _SHEET_SIDE)


def _told(reference: RealPictures, samples: Sequence[Sample], near: Near) -> list[dict[str, Any]]:
    """For each sample its caption and, by features and by pixels, the nearest training picture and how near it is,
    as a share of the usual distance of a held-out picture."""
    rows = []
    for place, sample in enumerate(samples):
        row: dict[str, Any] = {"seed": sample.seed, "caption": sample.caption}
        for name, own, held in (
            ("nearest_by_features", near.in_features, reference.held_near.in_features),
            ("nearest_by_pixels", near.in_pixels, reference.held_near.in_pixels),
        ):
            record = reference.train.records[int(own.places[place])]
            ratio = float(own.distances[place]) / max(_usual(held), 1e-9)
            row[name] = {"file": record.file, "caption": record.caption, "distance_ratio": ratio}
        rows.append(row)
    return rows


def _usual(held: Nearest) -> float:
    return float(np.median(held.distances))
