"""The store: facts and nodes in SQL, where nothing that was committed is ever lost or rewritten.

The files behind it: ``schema.py`` (tables), ``database.py`` (connections), ``upsert.py`` (writing rows),
``merging.py`` (deleting and merging), ``checks.py`` (what must hold), ``embeddings.py`` (vectors).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from sqlalchemy import Connection, text

from reverie.data import NODE_KINDS, Row
from reverie.data.facts.dates import YEAR_ONE
from reverie.errors import MemoryStoreError
from reverie.memory.checks import count_all, problems
from reverie.memory.contract import Changes, Edge, EdgeArrays, Node, Place, Written
from reverie.memory.database import Database, DatabaseConfig, by_ids
from reverie.memory.embeddings import Embedded, get_vectors, nearest, put_vectors
from reverie.memory.following import changes_after, edge_arrays, ids_at, last_change
from reverie.memory.merging import delete_edges, edges_at, end_nodes, merge_nodes
from reverie.memory.passages import attach, places
from reverie.memory.periods import (
    Held,
    RelationMode,
    declare_relation,
    edges_between_the_same,
    held_by,
    held_edges,
    learn_relations,
    relation_modes,
    worth_learning,
)
from reverie.memory.schema import fold
from reverie.memory.undoing import Unmerged, undo_merge
from reverie.memory.upsert import DATED, Change, check_rows, write_rows
from reverie.nouns import Fact

__all__ = ["Store", "fold"]

_BATCH = 100_000  # nodes at a time
_KINDS = {kind: number for number, kind in enumerate(NODE_KINDS)}


class Store:
    """An open memory. Thread-safe, and several processes may have the same one open.

    Each writing call is one transaction, durable when it returns. Writers wait for one another; readers wait for
    nobody and see the memory as it stood after some change. Whatever the database refuses is a MemoryStoreError.
    """

    def __init__(self, database: Database):
        self._database = database
        self._lock = threading.Lock()  # threads of one process queue here instead of polling SQLite's lock

    @classmethod
    def open(cls, url: str | Path, create: bool = True, settings: DatabaseConfig | None = None) -> Store:
        """Open ``kg.db``, ``sqlite:///kg.db`` or ``postgresql+psycopg://user@host/db``, made where there is none yet.

        A folder that is not there is not made, but for the user's own of ``paths.data_dir``. An older schema is
        upgraded in one transaction. A SQLite file that may not be written to is opened for reading.
        Raises MemoryStoreError (damaged, made by a newer Reverie, not reachable …), UsageError on a malformed address.
        """
        return cls(Database(url, create, settings))

    @property
    def url(self) -> str:
        return self._database.url

    @property
    def path(self) -> Path | None:
        """The SQLite file; None for PostgreSQL."""
        return self._database.path

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # writing ----------------------------------------------------------------------------------------------------

    def write(self, rows: Sequence[Row], cursor: tuple[str, int] | None = None) -> Written:
        """Upsert facts and nodes; where an equal one stands already, nothing changes.

        A fact with the subject, relation, object and source of an edge becomes its new version where confidence, time
        or origin differ (a time of None never does). A node is known by its folded name and kind, or by an alias that
        no other node has; texts replace, aliases add up. ``cursor=(key, count)`` is kept in the same transaction.
        Raises DataError on a row that cannot be stored; then nothing is written.
        """
        check_rows(rows)
        with self._change() as (connection, change):
            return self.write_in(connection, change, rows, cursor)

    def write_in(
        self, connection: Connection, change: Change, rows: Sequence[Row], cursor: tuple[str, int] | None = None
    ) -> Written:
        """``write`` within a transaction of ``changing``."""
        written = write_rows(connection, rows, change)
        attach(connection, rows, written.nodes.tolist(), change.time)
        if cursor is not None:
            key, count = cursor
            connection.execute(
                text(
                    'INSERT INTO cursors (key, "count") VALUES (:key, :count) '
                    'ON CONFLICT (key) DO UPDATE SET "count" = excluded."count"'
                ),
                {"key": key, "count": count},
            )
        return written

    def cursor(self, key: str) -> int:
        """The count that was last written under ``key``; 0 where none was."""
        with self._database.reading() as connection:
            return int(
                connection.execute(text('SELECT "count" FROM cursors WHERE key = :key'), {"key": key}).scalar() or 0
            )

    def delete_edges(self, ids: Sequence[int]) -> int:
        """End these edges; their versions stay readable. Returns how many there were."""
        with self._change() as (connection, change):
            return delete_edges(connection, change, ids)

    def delete_node(self, node: int) -> int:
        """End a node and its edges; returns how many edges those were. A later write of its name makes a new node."""
        with self._change() as (connection, change):
            self._need(connection, [node])
            edges = delete_edges(connection, change, [row[0] for row in edges_at(connection, [node])])
            connection.execute(text("DELETE FROM names WHERE node = :node"), {"node": node})
            end_nodes(connection, change, [node], 0)
            return edges

    def merge(self, into: int, others: Sequence[int]) -> int:
        """Make one node of several; returns how many edges moved.

        Names and aliases of the others become aliases of ``into``, so that later writes of them go there. A moved edge
        that meets one of the same key is joined with it (the higher confidence holds), and one that would lead from
        ``into`` to itself ends. History stays readable, and ``undo_merge`` takes it back.
        """
        others = sorted(set(others) - {into})
        with self._change() as (connection, change):
            self._need(connection, [into, *others])
            return merge_nodes(connection, change, into, others) if others else 0

    def undo_merge(self) -> Unmerged:
        """Take the last merge back: facts, words and names are as they were, but for what was written since.

        Raises UsageError where there is none, or one of its nodes is gone since.
        """
        with self._change() as (connection, change):
            return undo_merge(connection, change)

    # nodes ------------------------------------------------------------------------------------------------------

    def seq(self) -> int:
        """The number of the last change; 0 in an empty memory."""
        with self._database.reading() as connection:
            return last_change(connection)

    def node(self, id: int) -> Node | None:
        found = self.nodes([id])
        return found[0] if found else None

    def nodes(self, ids: Sequence[int], gone: bool = False) -> list[Node]:
        """The living nodes among ``ids``, in that order; with ``gone`` also deleted and merged ones, for history."""
        living = "" if gone else " AND gone IS NULL"
        found = {}
        with self._database.reading() as connection:
            for row in by_ids(connection, f"SELECT {_NODE} FROM nodes WHERE id IN :ids{living}", ids):
                found[row[0]] = _node(row)
        return [found[number] for number in map(int, ids) if number in found]

    def find(self, name: str, kind: str | None = None) -> list[Node]:
        """Living nodes with this name or alias, spelled in any case or spacing: own names first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                text(
                    f"SELECT {_NODE} FROM nodes JOIN (SELECT node, min(rank) AS rank FROM names WHERE folded = :folded "
                    "GROUP BY node) found ON found.node = nodes.id ORDER BY found.rank, nodes.id"
                ),
                {"folded": fold(name)},
            )
            return [node for node in map(_node, rows) if kind in (None, node.kind)]

    def names(self, after_seq: int = 0) -> Iterator[list[tuple[int, str, str]]]:
        """Batches of (node id, name or alias, kind) of all living nodes that changed after that change; names that are
        not of ASCII alone are folded."""
        for batch in self._node_rows("id, kind, name, NULL, aliases", _BATCH, after_seq):
            yield [
                (number, name if name.isascii() else fold(name), NODE_KINDS[kind])
                for number, kind, own, _, aliases in batch
                for name in ((own, *json.loads(aliases)) if aliases else (own,))
            ]

    def node_batches(self, size: int = 10_000) -> Iterator[list[Node]]:
        """All living nodes, ascending by id."""
        for rows in self._node_rows(_NODE, size, 0):
            yield [_node(row) for row in rows]

    def _node_rows(self, columns: str, size: int, after: int) -> Iterator[Sequence[Any]]:
        """Batches of ``columns`` of the living nodes that changed after that change."""
        with self._database.reading() as connection:
            first = ids_at(connection, after)[1]
            old = connection.execute(
                text("SELECT DISTINCT id FROM touched WHERE what = 1 AND seq > :after AND id <= :first ORDER BY id"),
                {"after": after, "first": first},
            ).scalars()
            touched = list(old)
        for start in range(0, len(touched), size):
            asked = f"SELECT {columns} FROM nodes WHERE id IN :ids AND gone IS NULL"
            with self._database.reading() as connection:
                found = list(by_ids(connection, asked, touched[start : start + size]))
            yield found
        while True:  # each batch is a read of its own, so that a slow reader holds up no checkpoint
            with self._database.reading() as connection:
                rows = connection.execute(
                    text(f"SELECT {columns} FROM nodes WHERE id > :first AND gone IS NULL ORDER BY id LIMIT :size"),
                    {"first": first, "size": size},
                ).all()
            if not rows:
                return
            yield rows
            first = rows[-1][0]

    # edges ------------------------------------------------------------------------------------------------------

    def edge(self, id: int) -> Edge | None:
        found = self.edges([id])
        return found[0] if found else None

    def edges(self, ids: Sequence[int]) -> list[Edge]:
        """The living edges among ``ids``, in that order."""
        with self._database.reading() as connection:
            found = {row[0]: Edge(*row) for row in by_ids(connection, f"{_LIVING} WHERE e.id IN :ids", ids)}
        return [found[number] for number in map(int, ids) if number in found]

    def edges_of(self, node: int, as_of: float | None = None) -> list[Edge]:
        """The edges from and to a node, ascending by id; as they stood at a time (seconds since 1970), if given."""
        at = "(e.subject = :node OR e.object = :node)"
        with self._database.reading() as connection:
            if as_of is None:
                rows = connection.execute(text(f"{_LIVING} WHERE {at} ORDER BY e.id"), {"node": node})
            else:
                rows = connection.execute(
                    text(
                        f"{_LIVING} WHERE {at} AND e.since <= :seq "
                        f"UNION ALL {_CLOSED} WHERE {at} AND e.since <= :seq AND e.until > :seq ORDER BY 1"
                    ),
                    {"node": node, "seq": _seq_at(connection, as_of)},
                )
            return [Edge(*row) for row in rows]

    def history(self, edge: int) -> list[Edge]:
        """All versions of an edge, oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                text(f"{_CLOSED} WHERE e.edge = :edge UNION ALL {_LIVING} WHERE e.id = :edge ORDER BY 9"),
                {"edge": edge},
            )
            return [Edge(*row) for row in rows]

    def facts(self, edge_ids: Sequence[int]) -> list[Fact]:
        """Edges in words, in that order; those that are gone are left out."""
        with self._database.reading() as connection:
            found = {row[0]: row for row in by_ids(connection, _FACTS, edge_ids)}
        return [
            Fact(
                subject,
                relation,
                object_,
                source,
                confidence=confidence,
                time=said,
                origin=origin,
                id=number,
                valid_from=begins,
                valid_to=ends,
            )
            for number, subject, relation, object_, source, origin, confidence, said, begins, ends in (
                found[number] for number in map(int, edge_ids) if number in found
            )
        ]

    # what changes ------------------------------------------------------------------------------------------------

    def has_dated_facts(self) -> bool:
        """Whether there ever was a fact with a beginning or an end."""
        return bool(self.cursor(DATED["key"]))

    def held(self, edges: Sequence[int]) -> list[Held]:
        """The living edges among these, and when each is said to hold."""
        with self._database.reading() as connection:
            return held_edges(connection, edges)

    def held_by(self, subjects: Collection[int], relations: Collection[int]) -> list[Held]:
        """The living edges of these relations from these nodes."""
        with self._database.reading() as connection:
            return held_by(connection, subjects, relations)

    def between_the_same(self, edges: Sequence[int], relations: Collection[int]) -> list[tuple[int, int]]:
        """(one of these edges, a relation of ``relations`` that leads from its subject to its object, too)."""
        with self._database.reading() as connection:
            return edges_between_the_same(connection, edges, relations)

    def relation_modes(self) -> list[RelationMode]:
        """Every relation, and whether it holds one value at a time."""
        with self._database.reading() as connection:
            return relation_modes(connection)

    def learn_relations(self) -> None:
        """See ``periods.learn_relations``; a memory that cannot be written to stays as it is."""
        with self._database.reading() as connection:
            if self._database.read_only or not worth_learning(connection):
                return
        with self._change() as (connection, _):
            learn_relations(connection)

    def declare_relation(self, name: str, one: bool | None) -> RelationMode:
        """Say that a relation holds one value at a time, or many; None: as its facts show."""
        with self._change() as (connection, change):
            mode = declare_relation(connection, name, one)
            change.record(connection)
            return mode

    def closed_of(self, node: int) -> list[Edge]:
        """The versions of edges from a node that were changed or deleted since, oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(text(f"{_CLOSED} WHERE e.subject = :node ORDER BY e.until"), {"node": node})
            return [Edge(*row) for row in rows]

    def count_by_relation(self) -> dict[str, int]:
        """How many living edges each relation has."""
        with self._database.reading() as connection:
            rows = connection.execute(
                text("SELECT r.name, count(*) FROM edges e JOIN relations r ON r.id = e.relation GROUP BY r.name")
            )
            return {row[0]: row[1] for row in rows}

    def relations(self) -> list[str]:
        """Names of relations by their number."""
        with self._database.reading() as connection:
            return list(connection.execute(text("SELECT name FROM relations ORDER BY id")).scalars())

    def edge_arrays(self, as_of: float | None = None) -> EdgeArrays:
        """All living edges as arrays; as they stood at a time (seconds since 1970), if given."""
        with self._database.reading() as connection:
            return edge_arrays(connection, None if as_of is None else _seq_at(connection, as_of))

    def changes(self, after: int) -> Changes:
        """Everything since change ``after``; what is ``removed`` or ``gone`` may be something that came after it."""
        with self._database.reading() as connection:
            seq = last_change(connection)
            if not 0 <= after <= seq:
                raise MemoryStoreError(f"the memory {self.url} has changes 0 to {seq}, asked for those after {after}")
            return changes_after(connection, after, seq)

    # the whole --------------------------------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """Counts (nodes by kind, edges by source, closed versions …), and the bytes on disk, in all and an edge."""
        with self._database.reading() as connection:
            return {"url": self.url, **count_all(connection, self._database.size(connection))}

    def check(self) -> list[str]:
        """Look at everything: what the database says of its own file, and what must hold between its rows.

        Returns one line a problem; an empty list says that the memory is sound.
        """
        with self._database.reading() as connection:
            return problems(connection)

    # vectors ----------------------------------------------------------------------------------------------------

    def put_vectors(self, embedder: str, ids: Sequence[int], vectors: np.ndarray, of: Embedded = "node") -> None:
        """Keep float32 (len(ids), size) vectors of nodes or edges, instead of those that there are.

        Those of ids that are gone are left out. A vector is dropped by the write that ends its node or edge or changes
        its words. Raises UsageError on another shape or size than that of the embedder's first vectors.
        """
        with self._lock, self._database.writing() as connection:
            put_vectors(connection, embedder, ids, vectors, of)

    def get_vectors(self, embedder: str, of: Embedded = "node") -> tuple[np.ndarray, np.ndarray]:
        """(ids int64 (N,), vectors float32 (N, size)) of an embedder, ascending by id."""
        with self._database.reading() as connection:
            return get_vectors(connection, embedder, of)

    def nearest(
        self, embedder: str, vector: np.ndarray, k: int, of: Embedded = "node"
    ) -> tuple[np.ndarray, np.ndarray]:
        """(ids, cosines in [-1, 1]) of the ``k`` nearest vectors, best first: exact, by pgvector where there is one."""
        with self._database.reading() as connection:
            return nearest(connection, embedder, vector, k, of)

    # for the rooms beside this one -------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one moment of the memory."""
        with self._database.reading() as connection:
            yield connection

    @contextmanager
    def changing(self) -> Iterator[tuple[Connection, Change]]:
        """A transaction and the change that it makes: all of the block, or nothing of it, is written."""
        with self._change() as found:
            yield found

    def places(self, nodes: Sequence[int]) -> dict[int, Place]:
        """Where nodes come from."""
        with self._database.reading() as connection:
            return places(connection, nodes)

    def documents_of(self, nodes: Sequence[int]) -> dict[int, int]:
        """The documents that passages stand in."""
        asked = "SELECT node, document FROM passages WHERE node IN :ids"
        with self._database.reading() as connection:
            return {row[0]: row[1] for row in by_ids(connection, asked, nodes)}

    @contextmanager
    def _change(self) -> Iterator[tuple[Connection, Change]]:
        with self._lock, self._database.writing() as connection:
            change = Change.begin(connection)
            yield connection, change
            change.finish(connection)

    def _need(self, connection: Connection, nodes: Sequence[int]) -> None:
        living = {row[0] for row in by_ids(connection, "SELECT id FROM nodes WHERE id IN :ids AND gone IS NULL", nodes)}
        for node in nodes:
            if node not in living:
                raise MemoryStoreError(f"the memory {self.url} has no node {node}")


_NODE = "id, kind, name, text, aliases"
_WORDS = (
    " JOIN writes w ON w.seq = e.since JOIN relations r ON r.id = e.relation "
    "JOIN sources s ON s.id = e.source JOIN origins o ON o.id = e.origin"
)
_VERSION = "e.subject, r.name, e.object, s.name, o.name, e.confidence, coalesce(e.time, w.time), w.time"
_PERIOD = f"nullif(e.starts, 0) + {YEAR_ONE - 1}, nullif(e.ends, 0) + {YEAR_ONE - 1}"
_LIVING = f"SELECT e.id, {_VERSION}, NULL, {_PERIOD} FROM edges e{_WORDS}"
_CLOSED = f"SELECT e.edge, {_VERSION}, u.time, {_PERIOD} FROM past e{_WORDS} JOIN writes u ON u.seq = e.until"
_FACTS = (
    f"SELECT e.id, a.name, r.name, b.name, s.name, o.name, e.confidence, coalesce(e.time, w.time), {_PERIOD} "
    f"FROM edges e{_WORDS} JOIN nodes a ON a.id = e.subject JOIN nodes b ON b.id = e.object WHERE e.id IN :ids"
)


def _node(row: Any) -> Node:
    number, kind, name, words, aliases = row
    return Node(number, NODE_KINDS[kind], name, words or "", tuple(json.loads(aliases)) if aliases else ())


def _seq_at(connection: Connection, moment: float) -> int:
    """The last change at that time or before it."""
    return int(
        connection.execute(
            text("SELECT seq FROM writes WHERE time <= :moment ORDER BY seq DESC LIMIT 1"), {"moment": moment}
        ).scalar()
        or 0
    )
