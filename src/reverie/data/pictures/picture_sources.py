"""What lies in a folder of pictures: the pictures, and the captions and other fields that are given with them.

Fields come from every ``metadata.jsonl`` and ``metadata.csv`` (Hugging Face's imagefolder and our own), captions also
from a text beside the picture: ``a.txt``, ``a.caption`` or ``a.jpg.txt``. What is wrong with a line is a ``Problem``,
never the end.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from reverie.data.pictures.images import ENDINGS
from reverie.data.pictures.metadata import UNDECODED, csv_records, decoded, json_records, storable, undecoded_line
from reverie.data.pictures.phrases import one_line
from reverie.errors import DataError, UnknownNameError, shorten

__all__ = ["METADATA_FILES", "Columns", "Found", "Given", "Problem", "find_pictures"]

METADATA_FILES = ("metadata.jsonl", "metadata.csv")
_FILE_COLUMNS = ("file", "file_name", "image", "path")
_CAPTION_COLUMNS = ("caption", "text", "description")
_SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test"} | dict.fromkeys(
    ("val", "valid", "validation", "dev"), "val"
)
_MOST_CAPTION_BYTES = 2**20  # of a text beside a picture


@dataclass(frozen=True)
class Columns:
    """What the fields of the metadata are called; empty finds the usual names."""

    file: str = ""
    caption: str = ""
    split: str = "split"
    encoding: str = "utf-8"  # of the metadata and the texts; a byte-order mark speaks for itself


@dataclass(frozen=True)
class Given:
    """One picture of the folder, and what is given about it."""

    path: Path
    name: str  # below the folder, with /, printable
    bytes: int
    modified_ns: int
    caption: str = ""
    split: str = ""  # train, val, test, or nothing
    fields: Mapping[str, Any] = field(default_factory=dict)  # of the metadata, as they are there


@dataclass(frozen=True)
class Problem:
    """Something that was given and could not be used."""

    file: str
    rule: str  # missing, metadata, caption or folder
    reason: str


@dataclass
class Found:
    """A folder's pictures in a stable order: by their path."""

    pictures: list[Given] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    columns: set[str] = field(default_factory=set)  # every field that some metadata has


def find_pictures(folder: Path, columns: Columns | None = None, skip: Path | None = None) -> Found:
    """Everything below ``folder``, except in ``skip`` and in what begins with a dot.

    Raises DataError where there is no such folder, UnknownNameError where a named column is in no metadata.
    """
    columns = columns or Columns()
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder. Name a folder of pictures.")
    found = Found()
    files = _walk(folder, skip, found.problems)
    rows = _Rows(folder, columns, found)
    for path in files.values():
        if path.name in METADATA_FILES:
            rows.read(path, files)
    rows.check_named_columns()
    for name in sorted(files, key=lambda name: PurePosixPath(name).parts):
        if PurePosixPath(name).suffix.lower() in ENDINGS or name in rows.by_name:
            given = _given(name, files, rows, columns, found.problems)
            found.pictures += [given] if given else []
    found.problems += _orphans(files)
    return found


def _walk(folder: Path, skip: Path | None, problems: list[Problem]) -> dict[str, Path]:
    """Files by name below the folder."""
    files = {}
    skip = skip.resolve() if skip else None

    def unreadable(error: OSError) -> None:
        name = _name(Path(error.filename), folder)
        problems.append(Problem(name, "folder", f"it cannot be listed: {error.strerror or error}"))

    for parent, folders, names in os.walk(folder, onerror=unreadable):
        here = Path(parent)
        folders[:] = sorted(
            name for name in folders if name[0] != "." and (not skip or (here / name).resolve() != skip)
        )
        for name in sorted(names):
            if name[0] != ".":
                files[_name(here / name, folder)] = here / name
    return files


def _name(path: Path, folder: Path) -> str:
    """``path`` below ``folder`` with /; bytes that are no UTF-8 become �."""
    return os.fsencode(path.relative_to(folder).as_posix()).decode("utf-8", "replace")


def _given(name: str, files: dict[str, Path], rows: _Rows, columns: Columns, problems: list[Problem]) -> Given | None:
    path = files[name]
    try:
        status = path.stat()  # a link may lead nowhere
    except OSError as error:
        problems.append(Problem(name, "missing", f"it cannot be reached: {error.strerror or error}"))
        return None
    row = rows.by_name.get(name, _Row())
    caption = row.caption or _text_beside(name, files, columns, problems)
    return Given(path, name, status.st_size, status.st_mtime_ns, caption, row.split, row.fields)


def _text_beside(name: str, files: dict[str, Path], columns: Columns, problems: list[Problem]) -> str:
    stem = str(PurePosixPath(name).with_suffix(""))
    for beside in (f"{stem}.txt", f"{stem}.caption", f"{name}.txt"):
        if beside not in files:
            continue
        try:
            with files[beside].open("rb") as file:
                text = decoded(file.read(_MOST_CAPTION_BYTES), columns.encoding)
        except OSError as error:
            problems.append(Problem(beside, "caption", f"it cannot be read: {error.strerror or error}"))
            continue
        if number := undecoded_line(text):
            problems.append(Problem(beside, "caption", f"line {number}: {_not_encoded(columns)}"))
        elif caption := one_line(text):
            return caption
    return ""


def _orphans(files: dict[str, Path]) -> list[Problem]:
    """Captions without a picture. A ``.txt`` may be anything, but a ``.caption`` is one."""
    stems = {
        str(PurePosixPath(name).with_suffix("")) for name in files if PurePosixPath(name).suffix.lower() in ENDINGS
    }
    alone = [name for name in files if name.endswith(".caption") and name.removesuffix(".caption") not in stems]
    return [Problem(name, "missing", "there is no picture beside this caption") for name in alone]


@dataclass(frozen=True)
class _Row:
    caption: str = ""
    split: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)


class _Rows:
    """The rows of all metadata files, by the picture that they speak of."""

    def __init__(self, folder: Path, columns: Columns, found: Found) -> None:
        self.folder, self.columns, self.found = folder, columns, found
        self.by_name: dict[str, _Row] = {}
        self._num_files = 0

    def read(self, path: Path, files: dict[str, Path]) -> None:
        name, lookup = _name(path, self.folder), _Lookup(_name(path.parent, self.folder), files)

        def problem(number: int, reason: str) -> None:
            self.found.problems.append(Problem(name, "metadata", f"line {number}: {reason}" if number else reason))

        self._num_files += 1
        try:
            text = decoded(path.read_bytes(), self.columns.encoding)
        except OSError as error:
            problem(0, f"it cannot be read: {error.strerror or error}")
            return
        records = json_records(text) if path.suffix == ".jsonl" else csv_records(text, self._file_column)
        for number, record in records:
            if isinstance(record, str):  # what is wrong with the line
                problem(number, _not_encoded(self.columns) if record == UNDECODED else record)
                continue
            self.found.columns.update(record)
            file_column = self._file_column(record)
            file = record.get(file_column) if file_column else None
            if not isinstance(file, str) or not file.strip():
                wanted = self.columns.file or ", ".join(_FILE_COLUMNS)
                problem(number, f"it names no file (columns looked for: {wanted})")
            elif (there := lookup.find(file)) is None:
                said = f"{name} line {number} speaks of this file, which is not there"
                self.found.problems.append(Problem(shorten(one_line(file), 200), "missing", said))
            elif there in self.by_name:
                problem(number, f"a second row for {there}; the first one counts")
            else:
                self.by_name[there] = self._row(record, str(file_column), number, problem)

    def check_named_columns(self) -> None:
        """Refuse a column that was asked for and that no metadata has."""
        for option, name in (("--file-column", self.columns.file), ("--caption-column", self.columns.caption)):
            if name and name not in self.found.columns:
                raise UnknownNameError(f"column of {option}", name, self.found.columns)

    def _file_column(self, record: Mapping[str, Any] | Sequence[str]) -> str | None:
        return _first(record, (self.columns.file,) if self.columns.file else _FILE_COLUMNS)

    def _row(self, record: Mapping[str, Any], file_column: str, number: int, problem: Any) -> _Row:
        column = _first(record, (self.columns.caption,) if self.columns.caption else _CAPTION_COLUMNS)
        caption = record.get(column) if column else None
        if caption is not None and not isinstance(caption, (str, int, float)):
            problem(number, f"the caption is not text: {shorten(json.dumps(caption), 40)}")
            caption = None
        said = record.get(self.columns.split)
        split = _SPLITS.get(str(said).strip().lower(), "") if said is not None else ""
        if said not in (None, "") and not split:
            problem(number, f"the split is train, val or test, got '{shorten(str(said), 40)}'")
        rest = {
            key: storable(value)
            for key, value in record.items()
            if key not in (file_column, column, self.columns.split)
        }
        return _Row(one_line(str(caption)) if caption is not None else "", split, rest)


class _Lookup:
    """Which of ``files`` a metadata file means by a name: the one below its own folder, or the only one so called."""

    def __init__(self, parent: str, files: dict[str, Path]) -> None:
        self.prefix = "" if parent == "." else parent + "/"
        self.files = {unicodedata.normalize("NFC", name): name for name in files}
        counts = Counter(PurePosixPath(name).name for name in self.files)
        self.alone = {
            PurePosixPath(key).name: name for key, name in self.files.items() if counts[PurePosixPath(key).name] == 1
        }

    def find(self, file: str) -> str | None:
        wanted = unicodedata.normalize("NFC", file.strip().replace("\\", "/"))
        plain = PurePosixPath(wanted)
        below = self.files.get(f"{self.prefix}{plain}")
        return below if below is not None else self.alone.get(plain.name)


def _not_encoded(columns: Columns) -> str:
    return f"bytes that are no {columns.encoding.upper()}; name the encoding with --encoding, as in latin-1"


def _first(record: Mapping[str, Any] | Sequence[str], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in record), None)
