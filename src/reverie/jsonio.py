"""JSON and JSON lines from files, each fault as one line that names the file, and the line where there is one."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reverie.errors import ReverieError, shorten

__all__ = ["json_lines", "jsonable", "read_json", "read_object"]


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
