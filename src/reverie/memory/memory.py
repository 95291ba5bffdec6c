"""The memory as everyone above sees it: write rows, recall what matters to a question.

Everything but the store is made from it and follows it by change number: names and topology before each answer, the
links of new passages and the vectors of new nodes at the next answer, or at once by ``index``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.data import FactRow, Row
from reverie.errors import MemoryStoreError
from reverie.memory.contract import Embedder, Recalled, Written
from reverie.memory.documents import DOCUMENT_FORMATS, DocumentImport, Documents
from reverie.memory.embedders import PictureEmbedder, make_embedder
from reverie.memory.embeddings import Embedded
from reverie.memory.judging import Ranking, load_ranking
from reverie.memory.lexical import speaking_of
from reverie.memory.linking import LINKED, EntityIndex, bare_name, further_names, passage_facts
from reverie.memory.recall import RecallConfig, Recaller
from reverie.memory.relation_patterns import relation_words
from reverie.memory.store import Store
from reverie.memory.times import Span, Times, as_span
from reverie.memory.vectors import VectorIndex
from reverie.progress import Progress, no_progress

if TYPE_CHECKING:
    from reverie.memory.exchange import Imported
    from reverie.memory.topology import Topology

__all__ = ["Memory"]

_Texts = Callable[[Sequence[int]], tuple[list[int], list[Any]]]
_Kind = tuple[VectorIndex | None, Embedded, _Texts, Embedder | PictureEmbedder | None]

_LOG = logging.getLogger("reverie.memory")
_LINKED = "linked passages"  # the store's cursor: passages up to this change have been read
_ALL = 0.2  # with so large a share of new passages every passage is read anew for their names
_BATCH = 256  # texts embedded, and passages linked, between two words of progress
_CHUNK = 5_000  # nodes or facts read at a time


class Memory:
    """A store with all that is made from it. Thread-safe; other processes may write to the same store.

    ``store`` is the truth, for whoever looks up a node, mends, deletes or merges; the next question follows it.

    Args:
        embedder: None recalls by names and edges alone
        pictures: makes vectors of picture nodes, whose names are files; None leaves them to their captions
        compiled: False for a process that is done after a question or two: nothing is loaded that would not pay
    """

    def __init__(
        self,
        store: Store,
        embedder: Embedder | None = None,
        settings: RecallConfig | None = None,
        folder: Path | None = None,
        pictures: PictureEmbedder | None = None,
        compiled: bool = True,
    ):
        self.store, self.embedder, self.pictures = store, embedder, pictures
        self.settings = settings or RecallConfig()
        self.names, self.times, self._compiled = EntityIndex(), Times(), compiled
        self._shared = store.path is None  # a server keeps the vectors for all
        self._lock = threading.RLock()
        self._linked = store.cursor(_LINKED)
        self._nodes = self._facts = self._seen = None
        if embedder is not None:
            self._nodes = _open_index(folder, "nodes", embedder)
            self._facts = _open_index(folder, "facts", embedder)
        if pictures is not None:
            self._seen = _open_index(folder, "pictures", pictures)

    @classmethod
    def open(
        cls,
        url: str | Path,
        embedder: Embedder | str | None = None,
        create: bool = True,
        settings: RecallConfig | None = None,
        pictures: PictureEmbedder | None = None,
        compiled: bool = True,
    ) -> Memory:
        """Open the memory at ``url`` (see ``Store.open``); vectors lie beside a SQLite file, in ``<name>.vectors/``, or
        on the server.

        Raises MemoryStoreError, and what ``make_embedder`` raises for the name of an embedder.
        """
        embedder = None if embedder == "none" else embedder
        made = make_embedder(embedder) if isinstance(embedder, str) else embedder
        store = Store.open(url, create)
        try:
            folder = store.path.with_name(f"{store.path.stem}.vectors") if store.path else None
            return cls(store, made, settings, folder, pictures, compiled)
        except BaseException:
            store.close()
            raise

    @property
    def address(self) -> str:
        """The file of the memory, else its address without a password."""
        return str(self.store.path or self.store.url)

    @property
    def documents(self) -> Documents:
        """The files that were put into the memory: to be listed, looked into and deleted."""
        return Documents(self.store)

    @cached_property
    def ranking(self) -> Ranking | None:
        """What judges which of what is recalled holds the answer; may be put in its place."""
        return load_ranking()

    @cached_property
    def topology(self) -> Topology:
        """Who is joined to whom; opened when it is first needed, since its compiled loops take a moment to load."""
        from reverie.memory.topology import Topology

        return Topology.open(self.store, compiled=self._compiled)

    def __enter__(self) -> Memory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            try:
                self._save()
            except MemoryStoreError as error:  # they can be made again; what was asked or written stands
                _LOG.warning("%s", error)
            self.store.close()

    # writing ----------------------------------------------------------------------------------------------------

    def write(self, rows: Sequence[Row], cursor: tuple[str, int] | None = None) -> Written:
        """``Store.write``; the rows are recalled from the next question on."""
        return self.store.write(rows, cursor)

    def load(
        self,
        path: str | Path,
        format: str | None = None,
        *,
        strict: bool = False,
        prune: bool = False,
        on_note: Callable[[str], None] = lambda note: None,
        progress: Progress = no_progress,
    ) -> DocumentImport | Imported:
        """Put a file, or a folder of documents, into the memory; of a file that has changed, what it says now.

        Documents (text, Markdown, HTML, PDF) are found by their words at once, and get their vectors here where there
        is an embedder. ``format`` is guessed where it is not given (``data.guess_reader``), ``strict`` and ``prune`` as
        in ``Documents.load``, ``on_note`` hears of what was guessed or skipped. Raises DataError.
        """
        from reverie.data import guess_reader
        from reverie.memory.exchange import import_file

        path = Path(path)
        name = format or guess_reader(path)
        if name not in DOCUMENT_FORMATS:
            return import_file(
                self.store,
                path,
                name,
                strict=strict,
                on_bad=lambda bad: on_note(f"skipped line {bad.line}: {bad.problem}"),
                progress=progress,
            )
        kind = DOCUMENT_FORMATS[name] if format else None
        done = self.documents.load(path, kind, strict=strict, prune=prune, on_note=on_note, progress=progress)
        if self.embedder is not None or self.names.seq:  # else whoever asks first pays for it
            earlier = self.documents.num_passages(path) if done.unchanged else 0  # an import may have been cut off
            self.refresh(done.new_passages + earlier, progress)
        return done

    # recalling --------------------------------------------------------------------------------------------------

    def recall(
        self,
        question: str,
        k: int = 10,
        pictures: Sequence[np.ndarray] = (),
        progress: Progress = no_progress,
        as_of: Span | float | None = None,
    ) -> Recalled:
        """The ``k`` facts and nodes that matter most to ``question``, best first, with chains and reasons.

        ``as_of``: what is to hold, a moment or a span of time (seconds since 1970); None: what the question says of it,
        as "in 2024" does, else now. ``pictures`` (uint8 (H, W, 3)) recall picture nodes that look alike, where there is
        a picture embedder. New nodes are embedded on the way, ``settings.lazy`` at most, which ``progress`` hears of:
        call ``index`` after large writes.
        """
        started = time.perf_counter()
        with self._lock:
            self.refresh(self.settings.lazy, progress)
            refreshed = time.perf_counter()
            vector = self.embedder.embed([question])[0] if self.embedder is not None and question.strip() else None
            embedded = time.perf_counter()
            found = self.recaller().recall(question, k, vector, self._looking_like(pictures), as_span(as_of))
        details = {"refresh": refreshed - started, "embed": embedded - refreshed, **found.details}
        return replace(found, seconds=time.perf_counter() - started, details=details)

    def recaller(self) -> Recaller:
        """What answers questions, as the memory stands after the last ``refresh``."""
        settings = replace(self.settings, near=max(self.settings.near, getattr(self.embedder, "near", 0.0)))
        vectors = self._nodes, self._facts
        return Recaller(self.store, self.topology, self.names, settings, *vectors, self.times, self.ranking)

    # following the store ----------------------------------------------------------------------------------------

    def index(self, progress: Progress = no_progress, facts: bool = True) -> None:
        """Link every new passage and embed every new node (and fact) now, and save the vectors.

        Can be interrupted at any time; the next call goes on from there.
        """
        with self._lock:
            try:
                self.refresh(None, progress, facts)
            finally:
                self._save()

    def refresh(self, limit: int | None = 0, progress: Progress = no_progress, facts: bool = False) -> None:
        """Follow the store; embed ``limit`` new texts at most (None: all), facts only if asked for, now or before."""
        with self._lock:
            self.names.refresh(self.store)
            self._link(progress)
            self.topology.refresh(self.store)
            self.times.refresh(self.store)
            kinds: tuple[_Kind, ...] = (
                (self._nodes, "node", self._node_texts, self.embedder),
                (self._facts, "edge", self._fact_texts, self.embedder),
                (self._seen, "node", self._pictures, self.pictures),
            )
            for index, of, texts, embedder in kinds:
                if index is not None and embedder is not None and (of == "node" or facts or len(index)):
                    self._note_changes(index, of)
                    self._embed_waiting(index, of, texts, embedder.embed, limit, progress)

    def _link(self, progress: Progress) -> None:
        """Join new passages to what they name, and older ones to what is new, in one transaction a batch."""
        if not self.names.passages:
            self._linked = self.names.seq
        if self._linked >= self.names.seq:
            return
        changes = self.store.changes(self._linked)
        new = set(changes.nodes.tolist())
        if new or len(changes.added.ids) > _CHUNK:
            try:
                self._link_all(self._passages_about(new), changes.seq, progress)
            except MemoryStoreError as error:  # what is read out of passages can wait, the question cannot
                _LOG.warning("passages are not linked: %s", error)
        self._linked = changes.seq

    def _link_all(self, passages: Sequence[int], seq: int, progress: Progress) -> None:
        for start in range(0, len(passages), _BATCH):
            progress("linking passages", start, len(passages))
            self._link_batch(passages[start : start + _BATCH])
        progress("linking passages", len(passages), len(passages))
        self.store.write((), cursor=(_LINKED, seq))

    def _passages_about(self, new: set[int]) -> list[int]:
        """Passages that are in ``new`` or speak of something in it; all, where much is new."""
        if len(new) > _ALL * len(self.names.passages):
            return sorted(self.names.passages)
        spoken = {
            bare_name(name)
            for node in self.store.nodes(sorted(new))
            for name in (node.name, *node.aliases, *(further_names(node) if node.kind == "passage" else ()))
        }
        with self.store.reading() as connection:
            found = speaking_of(connection, spoken)
        return sorted((found | new) & self.names.passages)

    def _link_batch(self, ids: Sequence[int]) -> None:
        """Read these passages; what an earlier reading found and this one does not is deleted."""
        rows: list[FactRow] = []
        before: set[int] = set()
        for node in self.store.nodes(ids):
            rows += passage_facts(node, self.names, self.store)
            before.update(e.id for e in self.store.edges_of(node.id) if e.subject == node.id and e.source == LINKED)
        written = self.store.write(rows)
        if outdated := before - set(written.edges.tolist()):
            self.store.delete_edges(sorted(outdated))

    def _note_changes(self, index: VectorIndex, of: Embedded) -> None:
        """Forget what is gone, and let what is new wait for its vector."""
        if index.seq == self.store.seq():
            return
        first, changes = index.seq == 0, self.store.changes(index.seq)
        gone, new = (changes.gone, changes.nodes) if of == "node" else (changes.removed, changes.added.ids)
        index.remove(gone)
        for key in gone.tolist():
            index.waiting.pop(key, None)
        waiting = dict.fromkeys(new.tolist())
        if first and self._shared:
            ids, vectors = self.store.get_vectors(index.embedder, of)
            if len(ids):
                index.add(ids, vectors)
            waiting = {key: None for key in waiting if key not in index}
        index.waiting.update(waiting)
        index.seq = changes.seq

    def _embed_waiting(
        self,
        index: VectorIndex,
        of: Embedded,
        texts: _Texts,
        embed: Callable[[Sequence[Any]], np.ndarray],
        limit: int | None,
        progress: Progress,
    ) -> None:
        """Embed what waits, the newest first, ``limit`` at most (None: all)."""
        due = list(index.waiting)[::-1][:limit]
        for start in range(0, len(due), _BATCH):
            progress("embedding", start, len(due))
            ids = due[start : start + _BATCH]
            known, contents = texts(ids)
            if known:
                vectors = embed(contents)
                index.add(known, vectors)
                if self._shared:
                    self.store.put_vectors(index.embedder, known, vectors, of)
            for key in ids:
                index.waiting.pop(key, None)
        if due:
            progress("embedding", len(due), len(due))

    def _node_texts(self, ids: Sequence[int]) -> tuple[list[int], list[Any]]:
        nodes = self.store.nodes(ids)
        return [node.id for node in nodes], [f"{node.name}\n{node.text}" if node.text else node.name for node in nodes]

    def _fact_texts(self, ids: Sequence[int]) -> tuple[list[int], list[Any]]:
        facts = self.store.facts(ids)
        return [fact.id for fact in facts], [f"{f.subject} {relation_words(f.relation)} {f.object}" for f in facts]

    def _pictures(self, ids: Sequence[int]) -> tuple[list[int], list[Any]]:
        """The pictures that can be opened; the others are found by their captions alone."""
        from PIL import Image

        found = {}
        for node in self.store.nodes(ids):
            if node.kind == "picture":
                try:
                    with Image.open(node.name) as picture:
                        found[node.id] = np.asarray(picture.convert("RGB"))
                except (OSError, ValueError):
                    continue
        return list(found), list(found.values())

    def _looking_like(self, pictures: Sequence[np.ndarray]) -> dict[int, float]:
        """Picture nodes that look like ``pictures`` -> likeness in [0, 1]."""
        if self._seen is None or self.pictures is None or not pictures:
            return {}
        ids, likeness = self._seen.search(self.pictures.embed(pictures), max(1, self.settings.similar))
        return {int(key): float(np.clip(like, 0, 1)) for key, like in zip(ids.ravel(), likeness.ravel(), strict=True)}

    def _save(self) -> None:
        for index in (self._nodes, self._facts, self._seen):
            if index is not None:
                index.save()


def _open_index(folder: Path | None, what: str, embedder: Embedder | PictureEmbedder) -> VectorIndex:
    return VectorIndex.open(folder / what if folder else None, embedder.name, embedder.size)
