"""JSON and JSON lines from files, each fault as one line that names the file, and the line where there is one."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from reverie.errors import ReverieError, shorten

__all__ = ["LineWriter", "json_lines", "jsonable", "read_json", "read_object"]


def read_json(path: str | Path, error: type[ReverieError], what: str) -> Any:
    """The JSON in a file. ``error`` says, in one line, what is wrong with ``what``, as in "the recipe of a run"."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as fault:
        raise error(f"{what} is missing: there is no file {path}") from fault
    except OSError as fault:
        raise error(f"{what} {path} cannot be read: {fault.strerror or fault}") from fault
    except (ValueError, RecursionError) as fault:
        raise error(f"{what} {path} is damaged: {shorten(str(fault), 100)}") from fault


def read_object(path: str | Path, error: type[ReverieError], what: str) -> dict[str, Any]:
    """``read_json`` of a file that must hold a JSON object."""
    found = read_json(path, error, what)
    if not isinstance(found, dict):
        raise error(f"{what} {path} is damaged: it holds no JSON object")
    return found


def json_lines(path: str | Path, error: type[ReverieError], what: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every JSON object of a file of JSON lines with the number of its line, counted from 1; empty lines are left out.

    Lines end at line feeds alone, as JSON may hold other separators. Raises ``error`` at the first line that is none.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError) as fault:
                    raise error(f"{what} {path}, line {number}: {shorten(str(fault), 100)}") from fault
                if not isinstance(value, dict):
                    raise error(f"{what} {path}, line {number}: no JSON object")
                yield number, value
    except FileNotFoundError as fault:
        raise error(f"{what} is missing: there is no file {path}") from fault
    except OSError as fault:
        raise error(f"{what} {path} cannot be read: {fault.strerror or fault}") from fault


class LineWriter:
    """Adds JSON objects to a file of JSON lines, each in one write, whole or absent; what a killed writer left of a
    line is cut when it is opened. Any thread may append.

    Raises ``error`` where another program writes to the file, or it cannot be read or written.
    """

    def __init__(self, path: str | Path, error: type[ReverieError]):
        from filelock import FileLock, Timeout

        self.path, self._error, self._lock = Path(path), error, threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._held = FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=0)
            self._held.acquire()
            self._file: BinaryIO = self.path.open("a+b", buffering=0)
            _cut_half_line(self._file)
        except Timeout as fault:
            raise error(f"another program writes to {self.path}: wait for it, or name another file") from fault
        except OSError as fault:
            raise error(f"cannot write {self.path}: {fault.strerror or fault}") from fault

    def append(self, row: Mapping[str, Any]) -> None:
        line = json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        try:
            with self._lock:
                size = os.fstat(self._file.fileno()).st_size
                if self._file.write(line) != len(line):  # the disk is full
                    self._file.truncate(size)
                    raise OSError(None, "no space left")
        except OSError as fault:
            raise self._error(f"cannot write {self.path}: {fault.strerror or fault}; what it held stays") from fault

    def close(self) -> None:
        """Sync it to disk and let others write. It may be called twice."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()
            self._held.release()


def _cut_half_line(file: BinaryIO) -> None:
    end = place = file.seek(0, os.SEEK_END)
    while place:
        start = max(0, place - 2**16)
        file.seek(start)
        found = file.read(place - start).rfind(b"\n")
        if found >= 0:
            if start + found + 1 < end:
                file.truncate(start + found + 1)
            return
        place = start
    file.truncate(0)


def jsonable(value: Any) -> Any:
    """``value`` in JSON's own types: dataclasses and mappings become objects, paths strings, NaN and infinity null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: jsonable(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # numpy arrays and numbers, torch tensors; importing neither here
        return jsonable(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value
