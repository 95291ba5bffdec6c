"""Text: a passage for every paragraph of .txt and .md files, or for every {title, text} of a JSON list."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reverie.data.facts.contract import BadRow, NodeRow, OnBad, Row
from reverie.data.facts.lines import clean, json_records, lines, numbered_rows, only
from reverie.errors import DataError, shorten

__all__ = ["read_text"]

_SUFFIXES = (".txt", ".md", ".markdown", ".json")
_MOST_TITLE = 80  # characters


def read_text(path: Path, on_bad: OnBad) -> Iterator[Row]:
    """Nodes of kind passage; of a folder, those of all its .txt, .md and .json files, by name.

    A paragraph ends at an empty line and is named by its heading and its first words, so that the same paragraph is the
    same passage wherever it stands; a JSON record is named by its title.
    """
    if not path.is_dir():
        return _read_file(path, on_bad)
    files = sorted(file for file in path.rglob("*") if file.is_file() and _suffix(file) in _SUFFIXES)
    if not files:
        raise DataError(f"{path} holds no {', '.join(_SUFFIXES)} files.")

    def read() -> Iterator[Row]:
        for file in files:

            def named(bad: BadRow, file: Path = file) -> None:
                on_bad(BadRow(bad.line, f"{file.relative_to(path)}: {bad.problem}"))

            try:
                yield from _read_file(file, named)
            except DataError as error:  # one file of many is skipped like one line of many
                on_bad(BadRow(1, str(error)))

    return read()


def _suffix(file: Path) -> str:
    return Path(file.name.lower().removesuffix(".gz")).suffix


def _read_file(file: Path, on_bad: OnBad) -> Iterator[Row]:
    if _suffix(file) == ".json":
        return numbered_rows(file, on_bad, json_records(file), _Titles(file.name).rows)
    found = _paragraphs(file, on_bad, marked=_suffix(file) != ".txt")
    return numbered_rows(file, on_bad, found, lambda found: [_passage(found[0], found[1], file.name)])


class _Titles:
    """Passages of {title, text} records; a second one of the same title is numbered, not written over the first."""

    def __init__(self, source: str):
        self.source = source
        self._seen: dict[str, int] = {}

    def rows(self, record: Any) -> list[Row]:
        fields = only(record, dict, "an object with title and text")
        title, text = clean(fields.get("title")), only(fields.get("text"), str, "a text").strip()
        if not text:
            raise ValueError("the text is empty")
        count = self._seen[title.casefold()] = self._seen.get(title.casefold(), 0) + 1
        return [NodeRow(f"{title} ({count})" if count > 1 else title, "passage", text, source=self.source)]


def _paragraphs(file: Path, on_bad: OnBad, marked: bool) -> Iterator[tuple[int, tuple[str, str]]]:
    """(number of its first line, (heading, paragraph)); with ``marked`` lines of Markdown are headings and fences."""
    start, heading, fenced = 0, "", False
    kept: list[str] = []
    for number, ended in lines(file, on_bad):
        line = ended.rstrip("\r")
        fence = marked and line.lstrip().startswith("```")
        fenced ^= fence
        title = marked and not fenced and line.startswith("#")
        if kept and (title or not (line.strip() or fenced)):
            yield start, (heading, "\n".join(kept).strip())
            kept = []
        if title:
            heading = line.strip("# \t")
        elif line.strip() or kept:
            start = start if kept else number
            kept.append(line)
    if kept:
        yield start, (heading, "\n".join(kept).strip())


def _passage(heading: str, text: str, source: str) -> NodeRow:
    title = f"{heading}: {clean(text)}" if heading else clean(text)
    if len(title) > _MOST_TITLE:
        title = f"{shorten(title, _MOST_TITLE)} [{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:8]}]"
    return NodeRow(title, "passage", text, source=source)
