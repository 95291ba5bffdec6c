"""What the readers share: lines and JSON records of a file, plain or gzipped, and the checks that every row passes.

Whatever is wrong with a file as a whole (missing, empty, binary, cut off) ends as one DataError; whatever is wrong with
a line of it is told to ``on_bad`` with its number.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reverie.data.facts.contract import BadRow, FactRow, OnBad, Row
from reverie.errors import DataError, shorten

__all__ = ["checked", "clean", "json_records", "lines", "numbered_rows", "only", "opened", "rows_of_lines", "unpacked"]

_MOST_NAME = 1_000  # characters of a name, relation, source or origin
_MOST_TEXT = 100_000  # characters of a passage
_MOST_LINE = 16 * 2**20  # bytes of a line, characters of a JSON record
_GIVE_UP = 100  # bad rows before the first good one: then it is another format
_CHUNK = 2**18
_SPACE = re.compile(r"[\s,]*")


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """A text file as ``unpacked`` gives it; DataError where it is no text."""
    with unpacked(path) as file:
        if b"\0" in file.peek(1024)[:1024]:
            raise DataError(f"{path} is a binary file, not text. Save it as UTF-8 text.")
        yield file


@contextmanager
def unpacked(path: Path) -> Iterator[io.BufferedReader]:
    """The bytes of a file, unpacked where they are gzipped. Whatever goes wrong, also while reading, is a DataError."""
    try:
        with path.open("rb") as raw:
            file: io.BufferedReader = raw
            if raw.peek(2)[:2] == b"\x1f\x8b":
                file = io.BufferedReader(gzip.GzipFile(fileobj=raw), _CHUNK)
            if not file.peek(1)[:1]:
                raise DataError(f"{path} is empty.")
            yield file
    except IsADirectoryError as error:
        raise DataError(f"{path} is a folder where a file is needed.") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged or cut off: {error}. Fetch it again.") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}.") from error


def lines(path: Path, on_bad: OnBad) -> Iterator[tuple[int, str]]:
    """(number, line) of a text file, without byte-order mark and line feeds; bytes that are no UTF-8 become surrogates.

    ``checked`` finds those, so that a line is judged once, as the row that it makes.
    """
    with opened(path) as file:
        number = 0
        while data := file.readline(_MOST_LINE):
            number += 1
            if len(data) == _MOST_LINE and not data.endswith(b"\n"):
                on_bad(BadRow(number, f"longer than {_MOST_LINE:,} bytes"))
                while (data := file.readline(_MOST_LINE)) and not data.endswith(b"\n"):
                    pass
                continue
            line = data.decode("utf-8", "surrogateescape").removesuffix("\n")
            yield number, line.removeprefix("\ufeff") if number == 1 else line


def rows_of_lines(path: Path, on_bad: OnBad, parse: Callable[[str], Iterable[Row]]) -> Iterator[Row]:
    """The rows that ``parse`` makes of each line that is not blank; it raises ValueError on a malformed one."""
    found = ((number, line) for number, line in lines(path, on_bad) if line.strip())
    return numbered_rows(path, on_bad, found, parse)


def numbered_rows(
    path: Path, on_bad: OnBad, records: Iterable[tuple[int, Any]], parse: Callable[[Any], Iterable[Row]]
) -> Iterator[Row]:
    """The rows of numbered records. Raises DataError where there is no good one among the first of them."""
    bad, good, first = 0, False, ""
    for number, record in records:
        try:
            rows = [checked(row) for row in parse(record)]
        except (ValueError, RecursionError) as error:
            problem = shorten(str(error), 200)
            first = first or f"line {number}: {problem}"
            on_bad(BadRow(number, problem))
            bad += 1
            if bad >= _GIVE_UP and not good:
                break
        else:
            good = True
            yield from rows
    if bad and not good:
        raise DataError(f"{path} is not of this format: {first}. Try another --format.")


def checked(row: Row) -> Row:
    """``row`` itself; ValueError where it holds more or other characters than a memory takes."""
    if isinstance(row, FactRow):
        names: tuple[str, ...] = (row.subject, row.relation, row.object, row.source, row.origin)
        words = ""
    else:
        names, words = (row.name, *row.aliases, row.source), row.text
    for limit, word in ((_MOST_NAME, max(names, key=len)), (_MOST_TEXT, words)):
        if len(word) > limit:
            raise ValueError(f"{len(word):,} characters are too many (at most {limit:,}): '{shorten(word, 40)}'")
    for word in (*names, words):
        if "\0" in word:
            raise ValueError("holds a NUL character")
        try:
            word.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"holds bytes that are no UTF-8: '{_as_latin(word)}'. Save the file as UTF-8") from error
    return row


def _as_latin(word: str) -> str:
    """What is probably meant, in 60 characters around the first byte that is no UTF-8."""
    bad = next(place for place, letter in enumerate(word) if "\ud800" <= letter <= "\udfff")
    near = word[max(0, bad - 20) : bad + 40]
    guess = (bytes([ord(c) & 255]).decode("cp1252", "replace") if "\ud800" <= c <= "\udfff" else c for c in near)
    return shorten("".join(guess), 60)


def clean(words: object) -> str:
    """Words with single spaces; ValueError where they are none."""
    if not isinstance(words, str):
        raise ValueError(f"needs words, got {shorten(json.dumps(words), 40)}")
    return " ".join(words.split())


def only(record: object, kind: type, what: str) -> Any:
    """``record``, when it is of that kind; else ValueError."""
    if not isinstance(record, kind):
        raise ValueError(f"needs {what}, got {shorten(json.dumps(record), 40)}")
    return record


def json_records(path: Path) -> Iterator[tuple[int, Any]]:
    """(number, record) of a file that is one JSON list, read piece by piece; DataError where it breaks off."""
    decoder = json.JSONDecoder()
    with opened(path) as file:
        stream = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape")
        text, number = stream.read(_CHUNK), 0
        place = _SPACE.match(text, 0).end()  # type: ignore[union-attr]
        if text[place : place + 1] != "[":
            raise DataError(f"{path} is not a JSON list of records.")
        place += 1
        while True:
            place = _SPACE.match(text, place).end()  # type: ignore[union-attr]
            try:
                if text[place] == "]":
                    if (text[place + 1 :] + stream.read()).strip():
                        raise DataError(f"{path} goes on after its list of {number} records. Is it two files in one?")
                    return
                record, place = decoder.raw_decode(text, place)
            except (ValueError, IndexError, RecursionError) as error:
                rest = len(text) - place  # reading on doubles it, so that a long record is not parsed too often
                more = stream.read(max(_CHUNK, rest)) if rest < _MOST_LINE else ""
                if not more:
                    raise DataError(f"{path} is cut off or no JSON at record {number + 1}.") from error
                text, place = text[place:] + more, 0
                continue
            number += 1
            yield number, record
