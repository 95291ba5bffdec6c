"""A file of any kind that we read becomes a ``Document``; a folder holds many."""

from __future__ import annotations

import hashlib
from pathlib import Path

from reverie.data.documents.contract import Document, Section
from reverie.data.documents.decoding import decode
from reverie.data.documents.texts import read_markdown, read_plain, read_records
from reverie.data.facts.contract import BadRow
from reverie.data.facts.lines import unpacked
from reverie.errors import DataError, shorten

__all__ = ["KINDS", "document_files", "kind_of", "read_document"]

KINDS = {  # by how a file's name ends
    ".txt": "text", ".text": "text", ".rst": "text", ".md": "markdown", ".markdown": "markdown",
    ".html": "html", ".htm": "html", ".xhtml": "html", ".pdf": "pdf", ".json": "json",
}  # fmt: skip
_MOST_MB = 512


def kind_of(path: Path) -> str | None:
    """The kind of document that a file's name promises."""
    return KINDS.get(Path(path.name.lower().removesuffix(".gz")).suffix)


def document_files(folder: Path) -> list[Path]:
    """The documents in a folder and the folders in it, by name; what is hidden is left out. DataError where none is."""
    found = [
        file
        for file in sorted(folder.rglob("*"))
        if kind_of(file) and file.is_file() and not any(part[0] == "." for part in file.relative_to(folder).parts)
    ]
    if not found:
        raise DataError(f"{folder} holds no {', '.join(KINDS)} files.")
    return found


def read_document(path: Path, kind: str | None = None) -> Document:
    """Read ``path`` as its name says, or as ``kind``; .gz is unpacked.

    Raises DataError for what cannot be read: one line, with the file's name.
    """
    data = _bytes(path)
    if kind is None:
        kind = "pdf" if data.startswith(b"%PDF-") else kind_of(path) or "text"
    notes: tuple[str, ...] = ()
    bad: tuple[BadRow, ...] = ()
    try:
        if kind == "json":
            sections, malformed = read_records(path)
            title, bad = "", tuple(malformed)
            if bad and not sections:
                raise DataError(f"is not of this format: record {bad[0].line}: {bad[0].problem}")
        elif kind == "pdf":
            from reverie.data.documents.pdf import read_pdf

            title, sections, notes = read_pdf(data)
        else:
            title, sections, notes = _read_words(data, kind)
    except DataError as error:
        said = str(error)
        raise DataError(said if str(path) in said else f"{path} {said.rstrip('.')}.") from error
    if not sections:
        raise DataError(f"{path} holds no words.")
    title = shorten(title, 120) or Path(path.name.removesuffix(".gz")).stem
    digest = hashlib.sha256(data).hexdigest()
    source = str(path.resolve())
    return Document(source, title, kind, digest, len(data), tuple(sections), kind == "json", notes, bad)


def _read_words(data: bytes, kind: str) -> tuple[str, list[Section], tuple[str, ...]]:
    if kind == "html":
        from reverie.data.documents.webpage import declared_encoding, read_page

        text, notes = decode(data, declared_encoding(data))
        return *read_page(text), notes
    text, notes = decode(data)
    return *(read_markdown if kind == "markdown" else read_plain)(text), notes


def _bytes(path: Path) -> bytes:
    with unpacked(path) as file:
        data = file.read(_MOST_MB * 2**20 + 1)
    if len(data) > _MOST_MB * 2**20:
        raise DataError(f"{path} is larger than {_MOST_MB} MB. Import it in parts.")
    return data
