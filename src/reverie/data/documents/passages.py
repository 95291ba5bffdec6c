"""Documents as rows: passages of text, Markdown, HTML and PDF files, records of JSON lists of {title, text}."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from reverie.data.documents.contract import Document
from reverie.data.documents.cutting import cut
from reverie.data.documents.reading import document_files, kind_of, read_document
from reverie.data.documents.texts import numbered, record_of
from reverie.data.facts.contract import BadRow, NodeRow, OnBad, Row
from reverie.data.facts.lines import json_records, numbered_rows
from reverie.errors import DataError

__all__ = ["read_html", "read_pdf", "read_text"]


def read_text(path: Path, on_bad: OnBad) -> Iterator[Row]:
    """Nodes of kind passage; of a folder, those of all its documents, by name. Records of a JSON list stay whole."""
    if not path.is_dir():
        return _rows(path, on_bad, "text" if kind_of(path) in ("html", "pdf") else None)
    files = document_files(path)

    def read() -> Iterator[Row]:
        for file in files:

            def named(bad: BadRow, file: Path = file) -> None:
                on_bad(BadRow(bad.line, f"{file.relative_to(path)}: {bad.problem}"))

            try:
                yield from _rows(file, named)
            except DataError as error:  # one file of many is skipped like one line of many
                on_bad(BadRow(1, str(error)))

    return read()


def read_html(path: Path, on_bad: OnBad) -> Iterator[Row]:
    return _rows(path, on_bad, "html")


def read_pdf(path: Path, on_bad: OnBad) -> Iterator[Row]:
    return _rows(path, on_bad, "pdf")


def _rows(file: Path, on_bad: OnBad, kind: str | None = None) -> Iterator[Row]:
    if kind is None and kind_of(file) == "json":
        yield from _records(file, on_bad)
        return
    document = read_document(file, kind)
    for note in document.notes:
        on_bad(BadRow(1, note))
    yield from _named(document, file.name)


def _records(file: Path, on_bad: OnBad) -> Iterator[Row]:
    seen: dict[str, int] = {}

    def rows(record: object) -> list[Row]:
        section = next(numbered([record_of(record)], seen))
        return [NodeRow(section.heading, "passage", section.text, source=file.name)]

    return numbered_rows(file, on_bad, json_records(file), rows)


def _named(document: Document, source: str) -> Iterator[Row]:
    """Passages under names of their own: a second one of the same name is numbered."""
    seen: dict[str, int] = {}
    for passage in cut(document):
        count = seen[passage.name] = seen.get(passage.name, 0) + 1
        name = f"{passage.name} ({count})" if count > 1 else passage.name
        yield NodeRow(name, "passage", passage.text, source=source)
