"""Files of rows, read with the number of the line that is wrong, and how work on many rows is split and watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from reverie.errors import ReverieError, UsageError, shorten
from reverie.jsonio import json_lines
from reverie.progress import Progress
from reverie.worlds.frozenlake import parse_map, shortest_plan

__all__ = ["chunks", "packaged_rows", "read_rows", "read_trivia", "solvable_map", "thin", "trivia_entries"]

Row = TypeVar("Row")


def packaged_rows(name: str, parse: Callable[[dict[str, Any]], Row], data: Path | None, wanted: str) -> list[Row]:
    """The rows of ``data``, else those of the benchmarks' own file ``name``; raises as ``read_rows``."""
    if data is not None:
        return read_rows(data, parse, wanted)
    with resources.as_file(resources.files("reverie_bench") / name) as own:
        return read_rows(Path(own), parse, wanted)


def read_rows(path: Path | None, parse: Callable[[dict[str, Any]], Row], wanted: str) -> list[Row]:
    """The rows of a JSON-lines file, each made by ``parse`` of one object; empty lines are skipped.

    Raises UsageError where there is no such file, no row in it, or a line that is none of the ``wanted`` rows
    (``parse`` says so by KeyError, TypeError, ValueError or any error of ours).
    """
    rows = []
    for number, fields in json_lines(_file(path, wanted), UsageError, "the file of rows"):
        try:
            rows.append(parse(fields))
        except KeyError as error:
            raise UsageError(f"{path}, line {number}: the field {error} is missing; wanted: {wanted}") from error
        except (ReverieError, TypeError, ValueError) as error:
            raise UsageError(f"{path}, line {number}: {shorten(str(error), 200)}") from error
    if not rows:
        raise UsageError(f"{path} holds no rows; wanted: {wanted}")
    return rows


def read_trivia(path: Path | None, wanted: str) -> list[str]:
    """All different questions of a file of OpenTriviaQA, or of every such file under a folder, in a stable order.

    Raises UsageError where there are none.
    """
    questions = (" ".join(entry.split("\n^")[0].split()) for _, entry in trivia_entries(path, wanted))
    asked = dict.fromkeys(question for question in questions if question)
    if not asked:
        raise UsageError(f"{path} holds no questions; wanted: {wanted}")
    return list(asked)


def trivia_entries(path: Path | None, wanted: str) -> Iterator[tuple[str, str]]:
    """(file name, entry) of a file of OpenTriviaQA, or of every file under a folder, in a stable order.

    An entry starts on a line with ``#Q``: the question up to the line of its answer, which starts with ``^``, then the
    options, each on a line that starts with its letter. Raises UsageError where there is no such file.
    """
    if path is not None and path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
    else:
        files = [_file(path, wanted)]
    for file in files:
        for entry in f"\n{_text(file)}".split("\n#Q")[1:]:
            yield file.name, entry


def solvable_map(fields: dict[str, Any]) -> tuple[str, ...]:
    """The map of a row's ``desc``; ValueError where its goal cannot be reached or its ``size`` is another."""
    desc = fields["desc"]
    if not isinstance(desc, str) and not (isinstance(desc, list) and all(isinstance(row, str) for row in desc)):
        raise ValueError("desc is a list of rows such as ['SFF', 'FHF', 'FFG']")
    parsed = parse_map(desc)
    if "size" in fields and fields["size"] != len(parsed):
        raise ValueError(f"size says {fields['size']}, and the map has {len(parsed)} rows")
    if shortest_plan(parsed) is None:
        raise ValueError("no way leads from S to G without a hole")
    return parsed


def thin(rows: Sequence[Row], limit: int) -> list[Row]:
    """At most ``limit`` rows (0 = all), spread evenly: files are often sorted by size."""
    if not limit or limit >= len(rows):
        return list(rows)
    return [rows[int(index)] for index in np.linspace(0, len(rows) - 1, limit).round()]


def chunks(rows: Sequence[Row], size: int, what: str, progress: Progress) -> Iterator[Sequence[Row]]:
    """``rows`` in groups of ``size``; ``progress`` hears before each group, and once when all are done."""
    for start in range(0, len(rows), size):
        progress(what, start, len(rows))
        yield rows[start : start + size]
    progress(what, len(rows), len(rows))


def _file(path: Path | None, wanted: str) -> Path:
    if path is None:
        raise UsageError(f"this benchmark needs --data FILE: {wanted}")
    if not path.is_file():
        raise UsageError(f"{path} is no file; wanted: {wanted}")
    return path


def _text(file: Path) -> str:
    """Some files of OpenTriviaQA are UTF-8, others Windows-1252."""
    data = file.read_bytes()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")
