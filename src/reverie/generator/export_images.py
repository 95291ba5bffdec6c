"""Samples for others to keep: one PNG a picture, their captions as JSON lines, a sheet of all, a GIF of a walk.

The folder holds, beside whatever else lies there:

    seed-000007.png     the picture of seed 7
    captions.jsonl      {"file", "seed", "caption", "prompt"} of every picture, by seed
    sheet.png           the first pictures of the newest call with their captions

Each file is whole or absent. Memory stays the same however many samples come: a picture is written and forgotten, only
a small copy of the first ones is kept for the sheet.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from reverie.data.pictures import contact_sheet, save_picture
from reverie.drawing import gif_bytes
from reverie.files import atomic_write_bytes, atomic_write_text

if TYPE_CHECKING:
    from reverie.generator.generator import Sample

__all__ = ["CAPTIONS", "GIF", "SHEET", "ImageExport", "picture_name", "save_walk", "walk_gif"]

CAPTIONS = "captions.jsonl"
SHEET = "sheet.png"
GIF = "walk.gif"
MAX_ON_SHEET = 100  # pictures; more would make a sheet that nobody can look at
_SHEET_SIDE = 160  # px of a picture on the sheet


class ImageExport:
    """A folder that samples are written into as they come, used as a context.

    On leaving it, also by Ctrl-C or an error, captions and sheet of what was written are there. Captions of pictures
    from earlier calls stay, unless their picture was written anew. Raises OSError where the disk refuses.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._records: list[dict[str, Any]] = []
        self._small: list[np.ndarray] = []

    def __enter__(self) -> ImageExport:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._finish()
        else:
            with contextlib.suppress(OSError):  # the error that rises already says what is wrong
                self._finish()

    def add(self, sample: Sample) -> Path:
        """Write one picture; returns its file."""
        path = save_picture(sample.picture, self.folder / picture_name(sample.seed))
        self._records.append(record_of(sample, path))
        if len(self._small) < MAX_ON_SHEET:
            self._small.append(_at_most(sample.picture, _SHEET_SIDE))
        return path

    def _finish(self) -> None:
        if not self._records:
            return
        records = sorted(self._records + self._others(), key=lambda record: record["seed"])
        save_captions(records, self.folder)
        captions = [record["caption"] for record in self._records[: len(self._small)]]
        save_sheet(self._small, captions, self.folder)

    def _others(self) -> list[dict[str, Any]]:
        """The records of pictures that lie here from earlier calls and were not written anew."""
        written = {record["file"] for record in self._records}
        return [
            record
            for record in read_captions(self.folder)
            if record["file"] not in written and (self.folder / record["file"]).is_file()
        ]


def save_walk(samples: Sequence[Sample], folder: Path, frame_ms: int = 120) -> list[Path]:
    """Write the pictures of a walk from one seed to another, with captions, sheet and an endless GIF.

    Returns the pictures' files, in order. ``frame_ms``: milliseconds a picture of the GIF.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"step-{index:03d}.png" for index in range(len(samples))]
    for sample, file in zip(samples, files, strict=True):
        save_picture(sample.picture, file)
    ends = {"from": samples[0].seed, "to": samples[-1].seed}
    save_captions(
        [
            {"file": file.name, "step": step, **ends, "caption": sample.caption}
            for step, (sample, file) in enumerate(zip(samples, files, strict=True))
        ],
        folder,
    )
    small = [_at_most(sample.picture, _SHEET_SIDE) for sample in samples[:MAX_ON_SHEET]]
    save_sheet(small, [sample.caption for sample in samples[:MAX_ON_SHEET]], folder)
    atomic_write_bytes(folder / GIF, walk_gif([sample.picture for sample in samples], frame_ms))
    return files


def picture_name(seed: int) -> str:
    """The file of a seed's picture; names sort by seed."""
    return f"seed-{seed:06d}.png"


def record_of(sample: Sample, path: Path) -> dict[str, Any]:
    return {"file": path.name, "seed": sample.seed, "caption": sample.caption, "prompt": sample.prompt}


def save_captions(records: Sequence[dict[str, Any]], folder: Path) -> None:
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    atomic_write_text(folder / CAPTIONS, "".join(lines))


def read_captions(folder: Path) -> list[dict[str, Any]]:
    """The records of a folder; lines that are none are left out."""
    try:
        lines = (folder / CAPTIONS).read_text(encoding="utf-8").split("\n")  # and at nothing else
    except (OSError, UnicodeDecodeError):
        return []
    found = []
    for line in lines:
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict) and isinstance(record.get("file"), str) and isinstance(record.get("seed"), int):
                found.append(record)
    return found


def save_sheet(pictures: Sequence[np.ndarray], captions: Sequence[str], folder: Path) -> None:
    save_picture(contact_sheet(pictures, captions, side=_SHEET_SIDE), folder / SHEET)


def walk_gif(pictures: Sequence[np.ndarray], frame_ms: int = 120) -> bytes:
    """Pictures of one size, uint8 (H, W, 3), as an endless GIF; its first and last picture stay longer."""
    durations = [frame_ms] * len(pictures)
    durations[0] = durations[-1] = 5 * frame_ms
    return gif_bytes([Image.fromarray(picture) for picture in pictures], durations)


def _at_most(picture: np.ndarray, side: int) -> np.ndarray:
    """``picture``, or a smaller copy of its own whose longer side is ``side`` px."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return picture.copy()  # the picture may be a view of a whole batch
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))
