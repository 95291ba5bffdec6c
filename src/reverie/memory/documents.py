"""Documents in a memory: read, cut into passages, replaced when their file changes, listed, shown and deleted.

Each document is one transaction. Its words are found when that is done; vectors follow.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import text

from reverie.data import Row
from reverie.data.documents.contract import Document
from reverie.data.documents.cutting import PassageConfig, cut
from reverie.data.documents.reading import document_files, read_document
from reverie.errors import DataError, MemoryStoreError, UsageError, shorten
from reverie.memory import passages as table
from reverie.memory.contract import Node, Written
from reverie.memory.store import Store
from reverie.progress import Progress, no_progress

__all__ = ["DOCUMENT_FORMATS", "DocumentImport", "Documents", "RowFile", "StoredDocument"]

#: formats of ``reverie memory import`` that are documents, and the kind that each forces on a file
DOCUMENT_FORMATS: dict[str, str | None] = {"text": None, "html": "html", "pdf": "pdf"}
_SAID = "said"  # names the rows of who is no file
_CUT = "1"  # changes where documents are cut otherwise, so that they are read again

_Nodes = list[Node]  # "list" is a method below


@dataclass(frozen=True)
class StoredDocument:
    """A file that was imported. ``passages`` that live, ``facts`` that its rows said when it was imported last."""

    id: int
    source: str
    title: str
    kind: str
    size: int  # bytes
    time: float  # of the last import, seconds since 1970
    passages: int
    facts: int


@dataclass(frozen=True)
class DocumentImport:
    """What an import of documents did: of documents ``new``, ``changed``, ``unchanged`` and ``failed`` (with why), of
    passages ``new_passages``, ``kept_passages`` and ``removed_passages``."""

    new: int
    changed: int
    unchanged: int
    failed: tuple[tuple[str, str], ...]
    pruned: int
    new_passages: int
    kept_passages: int
    removed_passages: int
    seconds: float


class Documents:
    """The documents of one store."""

    def __init__(self, store: Store, settings: PassageConfig | None = None):
        self.store, self.settings = store, settings or PassageConfig()

    def list(self) -> list[StoredDocument]:
        """All of them, by source."""
        with self.store.reading() as connection:
            return [
                StoredDocument(**row, facts=len(table.said_by(connection, "document = :document", row["id"])[0]))
                for row in connection.execute(text(f"{_STORED} GROUP BY {_COLUMNS} ORDER BY d.source")).mappings()
            ]

    def find(self, name: str) -> StoredDocument:
        """The document of that #id, path, file name or title. Raises MemoryStoreError where there is none, UsageError
        where there are several."""
        known = self.list()
        path = str(Path(name).resolve()) if name else ""
        tests: tuple[Callable[[StoredDocument], bool], ...] = (
            lambda one: f"#{one.id}" == name,
            lambda one: one.source in (name, path),
            lambda one: Path(one.source).name == name,
            lambda one: one.title.casefold() == name.casefold(),
        )
        found = next(filter(None, ([one for one in known if test(one)] for test in tests)), [])
        if not found:
            raise MemoryStoreError(f"the memory has no document '{shorten(name)}'. See: reverie memory documents list")
        if len(found) > 1:
            which = ", ".join(f"#{one.id} {shorten(one.source, 60)}" for one in found[:5])
            raise UsageError(f"'{shorten(name)}' names {len(found)} documents: {which}. Say which by its #id.")
        return found[0]

    def passages(self, document: int) -> _Nodes:
        """Its passages, in order."""
        with self.store.reading() as connection:
            asked = text("SELECT node FROM passages WHERE document = :document ORDER BY position")
            nodes = list(connection.execute(asked, {"document": document}).scalars())
        return self.store.nodes(nodes)

    def num_passages(self, path: Path) -> int:
        """Of the document at that path, or of those in the folder."""
        source = str(path.resolve())
        asked = text(
            "SELECT count(*) FROM passages p JOIN documents d ON d.id = p.document "
            "WHERE d.source = :source OR substr(d.source, 1, :length) = :inside"
        )
        with self.store.reading() as connection:
            given = {"source": source, "inside": f"{source}/", "length": len(source) + 1}
            return int(connection.execute(asked, given).scalar() or 0)

    def delete(self, document: int) -> tuple[int, int]:
        """Forget a document: its passages with their vectors and links, and the facts that no other one says.

        Returns (passages, facts) that ended. Their history stays readable.
        """
        with self.store.changing() as (connection, change):
            facts = table.retract(connection, change, document, "")
            passages = table.put_passages(connection, change, document, "", ()).removed
            if not connection.execute(text("DELETE FROM documents WHERE id = :id"), {"id": document}).rowcount:
                raise MemoryStoreError(f"the memory {self.store.url} has no document {document}")
        return passages, facts

    def put(self, document: Document) -> table.Put | None:
        """Write a document, or what has changed in it; None where it stands already as it is."""
        digest = hashlib.sha256(f"{_CUT} {self.settings} {document.kind} {document.hash}".encode()).hexdigest()
        if self._hash(document.source) == digest:
            return None
        passages = list(cut(document, self.settings))
        with self.store.changing() as (connection, change):
            number = table.document_of(connection, document.source, document.title, document.kind, time.time())
            same = text("SELECT 1 FROM documents WHERE id = :id AND hash = :hash")
            if connection.execute(same, {"id": number, "hash": digest}).first():  # another importer was faster
                return None
            table.retract(connection, change, number, "")  # it may have been read as rows before
            done = table.put_passages(connection, change, number, document.source, passages)
            _update(connection, number, document.title, document.kind, digest, document.size)
        return done

    def say(self, source: str, kind: str, rows: Sequence[Row]) -> Written:
        """Write rows that somebody says who is no file, such as a teacher, beside what was said before. They end when
        the document ``source`` is deleted, but for those that others say."""
        with self.store.changing() as (connection, change):
            written = self.store.write_in(connection, change, rows)
            number = table.document_of(connection, source, source, kind, time.time())
            before = table.said_by(connection, "document = :document", number)
            edges, nodes = (np.union1d(*both) for both in zip(before, (written.edges, written.nodes)))
            table.note(connection, number, _SAID, 0, edges, nodes)
            _update(connection, number, source, kind, "", 0)
        return written

    def load(
        self,
        path: Path,
        kind: str | None = None,
        *,
        strict: bool = False,
        prune: bool = False,
        on_note: Callable[[str], None] = lambda note: None,
        progress: Progress = no_progress,
    ) -> DocumentImport:
        """Read a file, or all documents in a folder, and put them into the memory, each in one transaction.

        ``on_note`` hears what was guessed or left out, and of a folder what cannot be read; with ``strict`` that is a
        DataError, before anything is written. ``prune``: documents of the folder whose files are gone are deleted.
        """
        started = time.perf_counter()
        files = document_files(path) if path.is_dir() else [path]
        if strict:
            for number, file in enumerate(files):
                progress("checking", number, len(files))
                if (read := read_document(file, kind)).bad:
                    raise DataError(f"{file}, record {read.bad[0].line}: {read.bad[0].problem}. Nothing was written.")
        puts: list[tuple[bool, table.Put | None]] = []
        failed: list[tuple[str, str]] = []
        for number, file in enumerate(files):
            progress("importing documents", number, len(files))
            try:
                document = read_document(file, kind if file == path else None)
            except DataError as error:
                if file == path:
                    raise
                failed.append((str(file), str(error)))
                on_note(str(error))
                continue
            for note in document.notes:
                on_note(f"{file}: {note}")
            for bad in document.bad:
                on_note(f"{file}: skipped record {bad.line}: {bad.problem}")
            puts.append((self._hash(document.source) is None, self.put(document)))
        progress("importing documents", len(files), len(files))
        done = [put for _, put in puts if put is not None]
        return DocumentImport(
            new=sum(new for new, put in puts if put is not None),
            changed=sum(not new for new, put in puts if put is not None),
            unchanged=sum(put is None for _, put in puts),
            failed=tuple(failed),
            pruned=self._prune(path, files) if prune and path.is_dir() else 0,
            new_passages=sum(put.new for put in done),
            kept_passages=sum(put.kept for put in done),
            removed_passages=sum(put.removed for put in done),
            seconds=time.perf_counter() - started,
        )

    def _prune(self, folder: Path, files: Sequence[Path]) -> int:
        there = {str(file.resolve()) for file in files}
        inside = f"{folder.resolve()}/"
        gone = [one.id for one in self.list() if one.source.startswith(inside) and one.source not in there]
        for number in gone:
            self.delete(number)
        return len(gone)

    def _hash(self, source: str) -> str | None:
        with self.store.reading() as connection:
            asked = text("SELECT hash FROM documents WHERE source = :source")
            found: str | None = connection.execute(asked, {"source": source}).scalar()
            return found


@dataclass(frozen=True)
class RowFile:
    """A file of facts and nodes as a document: what it says no longer when it is imported again is ended.

    ``digest`` names its place, content, format and settings.
    """

    store: Store
    path: Path
    kind: str
    digest: str

    def write(self, rows: Sequence[Row], done: int, last: bool, key: str) -> tuple[Written, int]:
        """Write the batch that ends with row ``done``, with the cursor ``key``; after the ``last`` one what an earlier
        version of the file said ends. Returns what was written, and how many facts ended."""
        ended = 0
        with self.store.changing() as (connection, change):
            written = self.store.write_in(connection, change, rows, (key, 0 if last else done))
            source, title = str(self.path.resolve()), self.path.name
            number = table.document_of(connection, source, title, self.kind, time.time())
            table.note(connection, number, self.digest, done - len(rows), written.edges, written.nodes)
            if last:
                ended = table.retract(connection, change, number, self.digest)
                table.put_passages(connection, change, number, source, ())  # it may have been read as text before
                size = 0 if self.path.is_dir() else self.path.stat().st_size
                _update(connection, number, title, self.kind, self.digest, size)
        return written, ended


def _update(connection: Any, number: int, title: str, kind: str, digest: str, size: int) -> None:
    connection.execute(
        text(
            "UPDATE documents SET title = :title, kind = :kind, hash = :hash, size = :size, time = :time WHERE id = :id"
        ),
        {"id": number, "title": title, "kind": kind, "hash": digest, "size": size, "time": time.time()},
    )


_COLUMNS = "d.id, d.source, d.title, d.kind, d.size, d.time"
_STORED = (
    f"SELECT {_COLUMNS}, count(n.id) AS passages FROM documents d LEFT JOIN passages p ON p.document = d.id "
    "LEFT JOIN nodes n ON n.id = p.node AND n.gone IS NULL"
)
