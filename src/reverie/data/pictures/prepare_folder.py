"""The folder that a preparation writes: what may lie in it, what is finished or removed, what the disk refuses."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reverie.data.pictures.collection import METADATA_FILE, PREPARE_FILE, SPLITS
from reverie.data.pictures.journal import WORK_DIR, told_difference
from reverie.data.pictures.picture_sources import Found
from reverie.data.pictures.prepare_report import SHEET_FILE, read_statistics
from reverie.errors import DataError
from reverie.jsonio import read_object

__all__ = [
    "check_free",
    "check_places",
    "fingerprint",
    "finished_statistics",
    "remove_earlier",
    "telling_of_the_disk",
]

_FILES = (METADATA_FILE, *(f"{name}.jsonl" for name in SPLITS), "rejected.jsonl", "statistics.json", SHEET_FILE)


def check_places(source: Path, out: Path) -> None:
    """Refuse a source that is none, and an ``out`` that is a file or would mix the two."""
    if not source.is_dir():
        raise DataError(f"{source} is no folder. Name a folder of pictures.")
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file. Name a folder with --out.")
    if out.resolve() == source.resolve():
        raise DataError(f"--out must be another folder than the pictures', got {out} twice.")
    if source.resolve().is_relative_to((out / "images").resolve()):
        raise DataError(f"the pictures lie where {out} keeps its own, in {out / 'images'}. Name another --out.")


def check_free(out: Path) -> None:
    """Refuse a folder in which something else would be overwritten."""
    if (out / WORK_DIR).is_dir():
        return
    for name in ("images", *_FILES):
        if (out / name).exists():
            raise DataError(f"{out / name} is in the way, and was not made by prepare. Name another --out.")


def finished_statistics(out: Path, identity: Mapping[str, Any], found: Found) -> dict[str, Any]:
    """The statistics of a finished folder, where it was made of the same."""
    about = read_object(out / PREPARE_FILE, DataError, "the collection's file")
    before = about.get("settings")
    difference = told_difference(before if isinstance(before, dict) else {}, identity)
    if not difference and about.get("fingerprint") != fingerprint(found):
        difference = "the pictures or their captions have changed since"
    if difference:
        raise DataError(
            f"{out} is prepared already ({difference}). Name another --out, or start anew with --overwrite."
        )
    shutil.rmtree(out / WORK_DIR, ignore_errors=True)  # of a run that was killed after its last file
    return read_statistics(out)


def remove_earlier(out: Path) -> bool:
    """Delete what a preparation wrote into ``out``, and nothing else; False where none did."""
    if not (out / PREPARE_FILE).exists() and not (out / WORK_DIR).is_dir():
        return False
    (out / PREPARE_FILE).unlink(missing_ok=True)  # first: what is left is no collection any more
    for path in (out / "images").glob("*"):
        if re.fullmatch(r"\d{6,}\.(png|jpg)", path.name):
            path.unlink()
    if (out / "images").is_dir() and not any((out / "images").iterdir()):
        (out / "images").rmdir()
    for name in _FILES:
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / WORK_DIR, ignore_errors=True)
    return True


def fingerprint(found: Found) -> str:
    """Of everything that was given: which pictures, how many bytes, with which captions and fields."""
    digest = hashlib.sha256()
    for given in found.pictures:
        state = [given.name, given.bytes, given.caption, given.split, dict(given.fields)]
        digest.update(json.dumps(state, sort_keys=True).encode())
    return digest.hexdigest()


@contextmanager
def telling_of_the_disk(out: Path) -> Iterator[None]:
    """Say in one line what the disk refuses."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            again = "Free some space and run the same command again: it goes on where it stopped."
            raise DataError(f"the disk of {out} is full. {again}") from error
        raise DataError(f"cannot write into {out}: {error.strerror or error}.") from error
