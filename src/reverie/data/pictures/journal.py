"""The hidden folder of a preparation under way: what is done already, so that a killed run goes on where it stopped.

``OUT/.prepare/`` holds the settings, the finished squares under the key of their picture, and two journals that grow by
a line per picture and per caption. A picture is in the journal only after its square is on the disk.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedWriter
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from reverie.data.pictures.screening import Examined
from reverie.errors import DataError, shorten
from reverie.files import atomic_write_json, remove_leftovers, sync
from reverie.jsonio import read_object

__all__ = ["WORK_DIR", "Journal", "told_difference"]

WORK_DIR = ".prepare"


class Journal:
    """Open it with ``Journal.opened``, which holds the lock. Keys name pictures in their state (``picture_key``)."""

    def __init__(self, out: Path, ending: str) -> None:
        self.out, self.folder, self.ending = out, out / WORK_DIR, ending
        self.examined: dict[str, Examined] = {}
        self.captions: dict[str, str] = {}
        self._files: dict[str, BufferedWriter] = {}

    @classmethod
    @contextmanager
    def opened(cls, out: Path, settings: Mapping[str, Any], ending: str) -> Iterator[Journal]:
        """The journal of ``out``, begun or gone on with.

        Raises DataError where it was begun with other settings, or another process is at it.
        """
        journal = cls(out, ending)
        (journal.folder / "pictures").mkdir(parents=True, exist_ok=True)
        try:  # the lock of a killed process is free
            lock = FileLock(journal.folder / "lock").acquire(timeout=0)
        except Timeout as error:
            raise DataError(f"another process is preparing {out}. Wait for it, or name another --out.") from error
        with lock:
            try:
                journal._begin(settings)
                yield journal
            finally:
                for file in journal._files.values():
                    file.close()

    def square(self, key: str) -> Path:
        """Where the finished square of a picture waits for its name."""
        return self.folder / "pictures" / f"{key}.{self.ending}"

    def add_examined(self, key: str, found: Examined) -> None:
        self.examined[key] = found
        self._append("examined.jsonl", [{"key": key, **found.to_json()}])

    def add_captions(self, captions: Mapping[str, str]) -> None:
        self.captions |= captions
        self._append("captions.jsonl", [{"key": key, "caption": caption} for key, caption in captions.items()])

    def name_squares(self, names: Mapping[str, str]) -> None:
        """Move the squares of these keys to their names below ``out``; the next run undoes a half-done move."""
        atomic_write_json(self.folder / "names.json", dict(names))
        for key, name in names.items():
            target = self.out / name
            target.parent.mkdir(exist_ok=True)
            self.square(key).replace(target)
        sync(self.out / "images")  # before anything says that they are there

    def remove(self) -> None:
        """Delete the folder, when all is done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _begin(self, settings: Mapping[str, Any]) -> None:
        path = self.folder / "settings.json"
        if path.exists():
            before = read_object(path, DataError, "the preparation's file")
            if difference := told_difference(before, settings):
                raise DataError(
                    f"{self.out} is half prepared with other settings ({difference}). "
                    "Run it with those, name another --out, or start anew with --overwrite."
                )
        else:
            atomic_write_json(path, dict(settings))
        remove_leftovers(self.folder / "pictures")
        self._undo_names()
        for values in self._read("examined.jsonl"):
            key = values.pop("key")
            if values.get("rule") or self.square(key).exists():
                self.examined[key] = Examined.from_json(values)
        self.captions = {values["key"]: values["caption"] for values in self._read("captions.jsonl")}

    def _undo_names(self) -> None:
        path = self.folder / "names.json"
        if not path.exists():
            return
        for key, name in read_object(path, DataError, "the preparation's file").items():
            target = self.out / name
            if target.exists() and not self.square(key).exists():
                target.replace(self.square(key))
        path.unlink()

    def _read(self, name: str) -> Iterator[dict[str, Any]]:
        path = self.folder / name
        for line in path.read_bytes().split(b"\n") if path.exists() else ():
            try:
                values = json.loads(line)
            except ValueError:
                continue  # the line that a kill cut off
            if isinstance(values, dict) and "key" in values:
                yield values

    def _append(self, name: str, lines: list[dict[str, Any]]) -> None:
        if name not in self._files:
            self._files[name] = (self.folder / name).open("ab")
            self._files[name].write(b"\n")  # ends the line that a kill cut off
        self._files[name].write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        self._files[name].flush()


def told_difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first setting in which the two differ, in words; nothing where they are the same."""
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            return f"{name} was {shorten(repr(before.get(name)), 40)}, is now {shorten(repr(now.get(name)), 40)}"
    return ""
