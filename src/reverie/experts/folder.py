"""A folder of experts that several processes read and write at once: every change is whole or does not happen."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from reverie.errors import ExpertError, UsageError
from reverie.experts.contract import check_name
from reverie.files import atomic_folder, remove_leftovers

__all__ = ["ExpertFolder"]

_PINS = ".pins"  # a folder of empty files, one for each pinned expert: nothing in it can be half written
_LOCK = ".lock"
_OLD = ".{}.old"  # an expert that is being replaced
_COARSE_NS = 2 * 10**9  # a folder changed less than this ago may change again under the same time stamp


class ExpertFolder:
    """The folders of experts by name. ``folder`` may be absent, and is made when first written to.

    Writers come one at a time; readers never wait, and see an expert as it was or as it is. Methods that change
    something raise ExpertError where the disk refuses.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._seen: tuple[int, list[str]] | None = None  # the folder's time stamp, and what it held then

    def find(self, name: str) -> Path | None:
        """The expert's folder; what it was before, in the moment in which it is replaced."""
        own, old = self.folder / name, self.folder / _OLD.format(name)
        return next((folder for folder in (own, old, own) if folder.is_dir()), None)

    def names(self) -> list[str]:
        """Costs one look at the folder's time stamp while nothing changes."""
        try:
            stamp = self.folder.stat().st_mtime_ns
            if self._seen is not None and self._seen[0] == stamp:
                return self._seen[1]
            with os.scandir(self.folder) as entries:
                listed = {_name_of(entry.name) for entry in entries if entry.is_dir()}
        except (FileNotFoundError, NotADirectoryError):
            return []
        found = sorted(name for name in listed if name)
        self._seen = (stamp, found) if time.time_ns() - stamp > _COARSE_NS else None
        return found

    def pinned(self) -> list[str]:
        try:
            return sorted(os.listdir(self.folder / _PINS))
        except OSError:
            return []

    @contextmanager
    def changing(self) -> Iterator[Path]:
        """Yield the folder to one writer at a time; what killed writers left in it is gone."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / _LOCK, poll_interval=0.005):  # that of a killed process is free
                _clean(self.folder)
                yield self.folder
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            reason = error.strerror or error
            raise ExpertError(f"the library {self.folder} cannot be changed: {reason}{where}") from error

    @contextmanager
    def putting(self, name: str) -> Iterator[Path]:
        """Within ``changing``: yield an empty folder that becomes the expert, or takes the place of what it was."""
        own = self.folder / name
        if not own.exists():
            with atomic_folder(own) as building:
                yield building
            return
        new, old = self.folder / f".{name}.new.tmp", self.folder / _OLD.format(name)
        with atomic_folder(new) as building:
            yield building
        own.rename(old)  # if this process dies here, readers go on with the old one, and the next writer puts it back
        new.rename(own)
        shutil.rmtree(old)

    def remove(self, name: str) -> None:
        """Within ``changing``."""
        own = self.folder / name
        self.pin(name, on=False)
        if own.is_symlink():
            own.unlink()
            return
        gone = self.folder / f".{name}.removed.tmp"
        own.rename(gone)  # at once for every reader; what follows may be interrupted
        shutil.rmtree(gone)

    def rename(self, old: str, new: str) -> Path:
        """Within ``changing``: the folder under its new name."""
        (self.folder / old).rename(self.folder / new)
        if old in self.pinned():
            self.pin(new)
            self.pin(old, on=False)
        return self.folder / new

    def pin(self, name: str, on: bool = True) -> None:
        """Within ``changing``."""
        mark = self.folder / _PINS / name
        if on:
            mark.parent.mkdir(exist_ok=True)
            mark.touch()
        else:
            mark.unlink(missing_ok=True)


def _clean(folder: Path) -> None:
    """Removes what killed writers left, and puts back what one of them was about to replace."""
    remove_leftovers(folder)
    for old in folder.glob(_OLD.format("*")):
        own = folder / _name_of(old.name)
        if own.exists():
            shutil.rmtree(old)
        else:
            old.rename(own)


def _name_of(entry: str) -> str:
    """The name of the expert that an entry of the folder holds; "" where it holds none."""
    if entry.startswith(".") and entry.endswith(".old"):
        entry = entry[1:].removesuffix(".old")
    try:
        return check_name(entry)
    except UsageError:
        return ""
