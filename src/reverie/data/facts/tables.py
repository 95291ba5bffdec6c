"""CSV: a header that names the columns of facts, then a row for each; commas, semicolons, tabs or bars between them."""

from __future__ import annotations

import csv
import json
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from reverie.data.facts.contract import BadRow, OnBad, Row
from reverie.data.facts.fields import FACT_FIELDS, SHORT, row_of
from reverie.data.facts.lines import lines, numbered_rows
from reverie.errors import DataError, nearest, shorten

__all__ = ["COLUMNS", "join_aliases", "read_csv"]

COLUMNS = (*FACT_FIELDS, "text", "aliases", "title", "position")
_OF_NODES = {"text", "aliases", "title", "position"}
_NEEDED = ("subject", "relation", "object")


def read_csv(path: Path, on_bad: OnBad) -> Iterator[Row]:
    """The header names the columns subject, relation and object, in any order, and any others of ``COLUMNS``.

    With a column of nodes, such as ``text``, a row whose relation and object are empty describes the node ``subject``.
    Empty cells count as not given. Where there is no column ``source`` the file's name is it. Raises DataError on a
    header that lacks a column or names an unknown one.
    """

    def records(found: _Lines, header: Sequence[str], delimiter: str) -> Iterator[tuple[int, dict[str, str]]]:
        table = csv.reader(found, delimiter=delimiter, strict=True)
        while True:
            found.taken = []
            problem, cells = "", list[str]()
            try:
                cells = next(table)
            except StopIteration:
                return
            except csv.Error as error:
                problem = f"{error}; is a quotation mark left open?"
            first = found.taken[0][0] if found.taken else 0
            if not problem and len(cells) == len(header):
                yield first, dict(zip(header, cells))
            elif problem or cells:
                on_bad(BadRow(first, problem or f"{len(cells)} columns where the header has {len(header)}"))
                found.give_back()

    def parse(cells: dict[str, str]) -> list[Row]:
        given = {name: cell for name, cell in cells.items() if cell or name == "source"}
        if "relation" not in given and "object" not in given and _OF_NODES & cells.keys():
            node = {"name": given.get("subject", ""), "kind": given.get("subject_kind", "entity")}
            node |= {name: given[name] for name in ("source", "text", "title", "position") if name in given}
            return [row_of(node | {"aliases": _split_aliases(given.get("aliases", ""))}, path.name)]
        if given.keys() & _OF_NODES:
            raise ValueError("text, aliases, title and position describe a node: leave relation and object empty")
        return [row_of(given, path.name)]

    found = _Lines(path, on_bad)
    header, delimiter = _header(path, next(found, ""))
    return numbered_rows(path, on_bad, records(found, header, delimiter), parse)


class _Lines:
    """The lines of a file, of which those of a row that is none are given back: an open quotation mark costs one."""

    def __init__(self, path: Path, on_bad: OnBad):
        self._more = lines(path, on_bad)
        self._back: deque[tuple[int, str]] = deque()
        self.taken: list[tuple[int, str]] = []  # of the present row

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        found = self._back.popleft() if self._back else next(self._more)
        self.taken.append(found)
        return found[1] + "\n"

    def give_back(self) -> None:
        self._back.extendleft(reversed(self.taken[1:]))


def join_aliases(aliases: Sequence[str]) -> str:
    """Aliases as one cell: bars between them, or a JSON list where one holds a bar."""
    joined = "|".join(aliases)
    plain = joined.count("|") == len(aliases) - 1 and not joined.startswith("[") and joined == joined.strip()
    return joined if plain or not aliases else json.dumps(list(aliases), ensure_ascii=False)


def _split_aliases(cell: str) -> list[str]:
    if cell.startswith("["):
        try:
            found = json.loads(cell)
        except ValueError as error:
            raise ValueError(f"aliases is a JSON list or names with | between, got '{shorten(cell, 40)}'") from error
        return found if isinstance(found, list) else [found]
    return [alias for alias in cell.split("|") if alias.strip()]


def _header(path: Path, line: str) -> tuple[list[str], str]:
    for delimiter in ",;\t|":
        try:
            header = [name.strip().lower() for name in next(csv.reader([line], delimiter=delimiter), [])]
            header = [SHORT.get(name, name) for name in header]
        except csv.Error:  # a carriage return in the middle of it
            continue
        if set(_NEEDED) <= set(header):
            break
    else:
        raise DataError(f"{path} has no columns {', '.join(_NEEDED)} in line 1: '{shorten(line)}'. Name them there.")
    for name in header:
        if name not in COLUMNS:
            near = nearest(name, COLUMNS)
            hint = f" Did you mean '{near}'?" if near else ""
            raise DataError(f"{path} has an unknown column '{shorten(name)}'.{hint} Known: {', '.join(COLUMNS)}.")
        if header.count(name) > 1:
            raise DataError(f"{path} has the column '{name}' twice.")
    return header, delimiter
