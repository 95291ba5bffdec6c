"""Records of metadata files, line by line: JSON lines and CSV in any encoding, where a bad line spoils no other."""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from reverie.errors import shorten

__all__ = ["UNDECODED", "csv_records", "decoded", "json_records", "storable", "undecoded_line"]

UNDECODED = "\0undecoded"


def json_records(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """(line number, record or what is wrong with it)."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        if undecoded_line(line):
            yield number, UNDECODED
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            yield number, f"no JSON: {error.msg} at character {error.colno}"
        except (ValueError, RecursionError):
            yield number, "no JSON that can be read: a number too long, or nested too deep"
        else:
            yield number, record if isinstance(record, dict) else "no object in braces"


def csv_records(
    text: str, file_column: Callable[[Sequence[str]], str | None]
) -> Iterator[tuple[int, dict[str, Any] | str]]:
    first = text.split("\n", 1)[0]
    headers = {mark: [name.strip() for name in next(csv.reader([first], delimiter=mark), [])] for mark in ",;\t|"}
    mark = next((mark for mark, header in headers.items() if file_column(header)), "")
    if not mark:
        yield 1, f"no column names the file: {shorten(first, 80)}. Say which with --file-column"
        return
    table, header, before = csv.reader(io.StringIO(text), delimiter=mark, strict=True), headers[mark], 0
    while True:
        try:
            cells = next(table)
        except StopIteration:
            return
        except csv.Error as error:
            yield before + 1, f"{error}; is a quotation mark left open?"
            return  # what follows an open quotation mark is its inside
        number, before = before + 1, table.line_num
        if number == 1 or not cells:
            continue
        if any(map(undecoded_line, cells)):
            yield number, UNDECODED
        elif len(cells) != len(header):
            yield number, f"{len(cells)} columns where the header has {len(header)}"
        else:
            yield number, {name: cell for name, cell in zip(header, cells) if name and cell.strip()}


def decoded(data: bytes, encoding: str) -> str:
    """Text; bytes that are none stay as surrogates, so that each line can be judged alone."""
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            encoding = name
    errors = "replace" if encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32")) else "surrogateescape"
    return data.decode(encoding, errors)


def undecoded_line(text: str) -> int:
    """The number of the first line with bytes that could not be decoded, or 0."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return text.count("\n", 0, error.start) + 1
    return 0


def storable(value: Any) -> Any:
    """``value`` without what JSON or UTF-8 cannot hold: NaN and infinity become null."""
    if isinstance(value, str):
        return value if value.isprintable() else value.encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {str(key): storable(item) for key, item in value.items()}
    return value
