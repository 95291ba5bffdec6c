"""The tables of documents: where passages stand, and what files of rows said. All inside a transaction of its caller.

A passage is known by its hash: of a document that is read again, those that are as they were stay the same nodes, with
their vectors and links. What a file of rows says is kept as numbers of edges and nodes, packed, a row for each batch.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, text

from reverie.data import NODE_KINDS, NodeRow, Row
from reverie.data.documents.contract import Passage
from reverie.memory.contract import Place
from reverie.memory.database import by_ids, insert
from reverie.memory.merging import delete_edges, edges_at, end_nodes
from reverie.memory.schema import fold
from reverie.memory.upsert import Change, stage_ids, write_rows

__all__ = ["Put", "attach", "document_of", "end", "note", "places", "put_passages", "retract", "said_by", "unsaid"]

_PASSAGE = NODE_KINDS.index("passage")


@dataclass(frozen=True)
class Put:
    """What putting a document into the memory did, in passages."""

    new: int
    kept: int
    removed: int


def document_of(connection: Connection, source: str, title: str, kind: str, now: float) -> int:
    """The number of the document at ``source``; a new one has no hash yet."""
    found = connection.execute(text("SELECT id FROM documents WHERE source = :source"), {"source": source}).scalar()
    if found is None:
        found = connection.execute(text("SELECT coalesce(max(id) + 1, 1) FROM documents")).scalar_one()
        columns = ("id", "source", "title", "kind", "hash", "size", "time")
        insert(connection, "documents", columns, [(found, source, title, kind, "", 0, now)])
    return int(found)


def put_passages(
    connection: Connection, change: Change, document: int, source: str, passages: Sequence[Passage]
) -> Put:
    """Make these the passages of a document: what is new is written, what it says no longer ends."""
    standing: dict[str, list[tuple[int, str]]] = defaultdict(list)
    living = text(
        "SELECT p.node, p.hash, n.name FROM passages p JOIN nodes n ON n.id = p.node WHERE p.document = :document "
        "AND n.gone IS NULL ORDER BY p.position DESC"
    )
    for node, digest, name in connection.execute(living, {"document": document}):
        standing[digest].append((node, name))
    kept: dict[int, tuple[int, str]] = {}  # position → node and its name
    for passage in passages:
        if standing[passage.hash]:
            kept[passage.position] = standing[passage.hash].pop()
    left = {fold(name): node for found in standing.values() for node, name in found}
    fresh = [passage for passage in passages if passage.position not in kept]
    names = _free_names(connection, fresh, {fold(name) for _, name in kept.values()}, left, source)
    rows = [NodeRow(name, "passage", one.text, source=source) for name, one in zip(names, fresh, strict=True)]
    ids = write_rows(connection, rows, change).nodes.tolist()
    removed = end(connection, change, set(left.values()) - set(ids))
    at = {position: node for position, (node, _) in kept.items()}
    at |= {one.position: node for one, node in zip(fresh, ids, strict=True)}
    connection.execute(text("DELETE FROM passages WHERE document = :document"), {"document": document})
    placed = [(at[one.position], document, one.position, one.hash) for one in passages]
    insert(connection, "passages", ("node", "document", "position", "hash"), placed)
    return Put(len(fresh), len(kept), removed + len(set(left.values()) & set(ids)))


def end(connection: Connection, change: Change, nodes: Iterable[int]) -> int:
    """End living nodes, with their facts and names; returns how many."""
    living = [row[0] for row in by_ids(connection, "SELECT id FROM nodes WHERE id IN :ids AND gone IS NULL", nodes)]
    if living:
        delete_edges(connection, change, [row[0] for row in edges_at(connection, living)])
        stage_ids(connection, living)
        connection.execute(text("DELETE FROM names WHERE node IN (SELECT id FROM staged_ids)"))
        end_nodes(connection, change, living, 0)
    return len(living)


def attach(connection: Connection, rows: Sequence[Row], nodes: Sequence[int], now: float) -> None:
    """Put passages that say where they stand (``NodeRow.position``) into their documents."""
    placed = [
        (row, node) for row, node in zip((r for r in rows if isinstance(r, NodeRow)), nodes) if row.position is not None
    ]
    if not placed:
        return
    numbers: dict[str, int] = {}
    for row, _ in placed:
        if row.source not in numbers:
            numbers[row.source] = document_of(connection, row.source, row.title or row.source, "imported", now)
    stage_ids(connection, [node for _, node in placed])
    connection.execute(text("DELETE FROM passages WHERE node IN (SELECT id FROM staged_ids)"))
    found = {node: (node, numbers[row.source], row.position, "") for row, node in placed}
    insert(connection, "passages", ("node", "document", "position", "hash"), list(found.values()))


def places(connection: Connection, nodes: Iterable[int]) -> dict[int, Place]:
    """Where nodes come from: who says them, and for passages of documents the title and position."""
    asked = (
        "SELECT n.id, coalesce(d.source, s.name), coalesce(d.title, ''), p.position FROM nodes n "
        "JOIN sources s ON s.id = n.source LEFT JOIN passages p ON p.node = n.id "
        "LEFT JOIN documents d ON d.id = p.document WHERE n.id IN :ids"
    )
    return {row[0]: Place(row[1], row[2], row[3]) for row in by_ids(connection, asked, nodes)}


def _free_names(
    connection: Connection, passages: Sequence[Passage], own: set[str], left: dict[str, int], source: str
) -> list[str]:
    """A name for each passage: its title and headings, numbered where another of the document has them, and with the
    source where a passage of another document has."""
    counts: dict[str, int] = {}
    wanted = []
    for passage in passages:
        name = passage.name
        while fold(name) in own:
            counts[passage.name] = counts.get(passage.name, 1) + 1
            name = f"{passage.name} ({counts[passage.name]})"
        own.add(fold(name))
        wanted.append(name)
    taken = _taken(connection, wanted) - left.keys()
    return [f"{name} [{zlib.crc32(source.encode()):08x}]" if fold(name) in taken else name for name in wanted]


def _taken(connection: Connection, names: Sequence[str]) -> set[str]:
    """Those of the folded names that a living node of kind passage has."""
    folded = [fold(name) for name in names]
    taken: set[str] = set()
    for start in range(0, len(folded), 500):
        marks = {f"n{place}": name for place, name in enumerate(folded[start : start + 500])}
        asked = f"SELECT folded FROM names WHERE kind = {_PASSAGE} AND folded IN (:{', :'.join(marks)})"
        taken.update(connection.execute(text(asked), marks).scalars())
    return taken


# files of rows --------------------------------------------------------------------------------------------------


def note(connection: Connection, document: int, digest: str, part: int, edges: np.ndarray, nodes: np.ndarray) -> None:
    """Note that a batch of rows, of the file as ``digest`` names it, gave these edges and nodes."""
    key = {"document": document, "hash": digest, "part": part}
    connection.execute(text("DELETE FROM said WHERE document = :document AND hash = :hash AND part = :part"), key)
    insert(connection, "said", (*key, "edges", "nodes"), [(*key.values(), _pack(edges), _pack(nodes))])


def retract(connection: Connection, change: Change, document: int, digest: str) -> int:
    """End what a file said once and does not say as ``digest``, unless others say it; returns how many facts."""
    now = said_by(connection, "document = :document AND hash = :hash", document, digest)
    before = said_by(connection, "document = :document AND hash <> :hash", document, digest)
    ended = unsaid(connection, change, document, [np.setdiff1d(old, new) for old, new in zip(before, now)])
    connection.execute(
        text("DELETE FROM said WHERE document = :document AND hash <> :hash"), {"document": document, "hash": digest}
    )
    return ended


def unsaid(connection: Connection, change: Change, document: int, gone: Sequence[np.ndarray]) -> int:
    """End these (edges, nodes) where no other document says them; returns how many edges. A node that is more than a
    passage stays while facts lead to it."""
    if not any(map(len, gone)):
        return 0
    others = said_by(connection, "document <> :document", document)
    edges, nodes = (np.setdiff1d(ids, said) for ids, said in zip(gone, others))
    ended = delete_edges(connection, change, edges.tolist())
    kinds = dict[int, int](
        tuple(row) for row in by_ids(connection, "SELECT id, kind FROM nodes WHERE id IN :ids", nodes)
    )
    joined = {end for row in edges_at(connection, list(kinds)) for end in (row.subject, row.object)} if kinds else set()
    end(connection, change, [node for node, kind in kinds.items() if kind == _PASSAGE or node not in joined])
    return ended


def said_by(connection: Connection, where: str, document: int, digest: str = "") -> tuple[np.ndarray, np.ndarray]:
    """(edges, nodes), each once and ascending, of the batches ``where`` names."""
    asked = text(f"SELECT edges, nodes FROM said WHERE {where}")
    rows: list[Any] = list(
        connection.execute(asked, {"document": document} | ({"hash": digest} if ":hash" in where else {}))
    )
    empty = np.zeros(0, np.int64)
    edges, nodes = (np.unique(np.concatenate([empty, *(_unpack(row[at]) for row in rows)])) for at in (0, 1))
    return edges, nodes


def _pack(ids: np.ndarray) -> bytes:
    return zlib.compress(np.diff(np.unique(np.asarray(ids, np.int64)), prepend=0).astype("<i8").tobytes(), 1)


def _unpack(packed: bytes) -> np.ndarray:
    return np.cumsum(np.frombuffer(zlib.decompress(packed), "<i8")).astype(np.int64)
