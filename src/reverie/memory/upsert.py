"""Writing rows into the tables, by sets: a batch costs a few statements, whatever its size.

Everything here runs inside the one writing transaction, so what it reads stays true until it commits.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Connection, text

from reverie.data import NODE_KINDS, FactRow, NodeRow, Row
from reverie.data.facts.dates import YEAR_ONE
from reverie.errors import DataError, shorten
from reverie.memory.contract import Written
from reverie.memory.database import insert
from reverie.memory.schema import fold
from reverie.memory.staging import intern, stage, stage_ids

__all__ = [
    "Change",
    "DATED",
    "EDGE_COLUMNS",
    "check_rows",
    "close_edges",
    "forget_vectors",
    "stage_ids",
    "stored",
    "touch",
    "write_rows",
]

EDGE_COLUMNS = (
    *("id", "subject", "relation", "object", "source", "origin", "confidence", "time", "since"),
    *("starts", "ends"),
)
_KIND_NUMBERS = {kind: number for number, kind in enumerate(NODE_KINDS)}
DATED = {"key": "dated facts"}  # the cursor of a memory that holds one with a beginning or an end
_OWN, _ALIAS = 0, 2  # ranks of names
_MOST_LETTERS = 500  # of a relation, source or origin: PostgreSQL's index entries end at 2704 bytes

_Key = tuple[int, int, int, int, float]  # subject, relation, object, source, starts


@dataclass
class Change:
    """The change that a transaction makes: its number and moment, and the ids that it gives out."""

    seq: int
    time: float
    edges: int  # the highest id given out so far
    nodes: int
    real: bool = False  # whether anything has changed, so that the number is used up

    @classmethod
    def begin(cls, connection: Connection) -> Change:
        last = connection.execute(text("SELECT seq, time, edges, nodes FROM writes ORDER BY seq DESC LIMIT 1")).one()
        # clocks can stand still or be set back; the times of changes rise
        return cls(last.seq + 1, max(time.time(), last.time + 1e-6), last.edges, last.nodes)

    def record(self, connection: Connection) -> int:
        """Number the change, first thing: rows that refer to it follow. Returns the number of the last change."""
        if not self.real:
            self.real = True
            insert(connection, "writes", ("seq", "time", "edges", "nodes"), [(self.seq, self.time, 0, 0)])
        return self.seq

    def finish(self, connection: Connection) -> int:
        if not self.real:
            return self.seq - 1
        connection.execute(
            text("UPDATE writes SET edges = :edges, nodes = :nodes WHERE seq = :seq"),
            {"edges": self.edges, "nodes": self.nodes, "seq": self.seq},
        )
        return self.seq


def check_rows(rows: Sequence[Row]) -> None:
    """Raise DataError at the first row that no database takes, before anything is written."""
    for number, row in enumerate(rows, 1):
        if isinstance(row, FactRow):
            words, texts = [row.relation, row.source, row.origin], [row.subject, row.object]
        elif isinstance(row, NodeRow):
            words, texts = [row.source], [row.name, row.text, *row.aliases]
        else:
            raise DataError(f"row {number} is no FactRow and no NodeRow: {shorten(repr(row))}")
        for word in words:
            if len(word) > _MOST_LETTERS:
                raise DataError(f"row {number}: {len(word)} characters are too many for '{shorten(word)}'")
        try:
            joined = "\n".join((*words, *texts))
            joined.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"row {number} holds half a character: {shorten(ascii(joined))}") from error
        if "\0" in joined:
            raise DataError(f"row {number} holds a NUL character: {shorten(ascii(joined))}")


def write_rows(connection: Connection, rows: Sequence[Row], change: Change) -> Written:
    """Upsert checked rows as the next change. Of several rows with the same key, the last one holds."""
    facts = [row for row in rows if isinstance(row, FactRow)]
    described = [row for row in rows if isinstance(row, NodeRow)]
    book = _Nodes(connection, change)
    subjects = [book.place(fact.subject, fact.subject_kind) for fact in facts]
    objects = [book.place(fact.object, fact.object_kind) for fact in facts]
    places = [book.place(row.name, row.kind) for row in described]
    before = change.nodes
    book.resolve(described, places)
    book.describe(described, places)
    book.save()
    ids = book.ids
    edges, new, changed = _write_facts(
        connection, facts, [ids[place] for place in subjects], [ids[place] for place in objects], change, before
    )
    return Written(
        edges=edges,
        nodes=np.array([ids[place] for place in places], dtype=np.int64),
        new_edges=new,
        changed_edges=changed,
        new_nodes=change.nodes - before,
        seq=change.seq if change.real else change.seq - 1,
    )


# nodes ----------------------------------------------------------------------------------------------------------


@dataclass
class _Words:
    """A node as it is to stand in its row."""

    kind: int
    name: str
    text: str | None = None
    aliases: list[str] = field(default_factory=list)
    source: int = 0

    def row(self) -> tuple[Any, ...]:
        aliases = json.dumps(self.aliases, ensure_ascii=False) if self.aliases else None
        return self.kind, self.name, self.text, aliases, self.source


class _Nodes:
    """The names of a batch and the nodes that they mean."""

    def __init__(self, connection: Connection, change: Change):
        self.connection = connection
        self.change = change
        self.ids: list[int] = []  # by place
        self._keys: list[tuple[str, int]] = []  # by place: folded name, kind
        self._names: list[str] = []  # by place: as first written
        self._of_key: dict[tuple[str, int], int] = {}
        self._of_name: dict[tuple[str, str], int] = {}
        self._new: dict[int, _Words] = {}
        self._known: dict[int, _Words] = {}
        self._changed: set[int] = set()
        self._found: list[tuple[str, int, int, int]] = []  # rows for `names`

    def place(self, name: str, kind: str) -> int:
        """Where in the batch this name stands."""
        place = self._of_name.get((name, kind))
        if place is None:
            key = fold(name), _KIND_NUMBERS[kind]
            place = self._of_key.setdefault(key, len(self._keys))
            if place == len(self._keys):
                self._keys.append(key)
                self._names.append(name.strip())
            self._of_name[name, kind] = place
        return place

    def resolve(self, described: Sequence[NodeRow], places: Sequence[int]) -> None:
        """Find the node of every name, or give it a new one."""
        known = _lookup(self.connection, self._keys)
        own = set(places)
        by_alias: dict[int, set[int]] = {}  # places that are only aliases of nodes of this batch
        for row, place in zip(described, places):
            for alias in row.aliases:
                other = self._of_key.get((fold(alias), _KIND_NUMBERS[row.kind]))
                if other is not None and other not in own and other not in known:
                    by_alias.setdefault(other, set()).add(place)
        self.ids = [known.get(place, 0) for place in range(len(self._keys))]
        aliased = {place: owners.pop() for place, owners in by_alias.items() if len(owners) == 1}
        for place, (folded, kind) in enumerate(self._keys):
            if self.ids[place] or place in aliased:
                continue
            self.change.nodes += 1
            self.ids[place] = self.change.nodes
            self._new[self.change.nodes] = _Words(kind, self._names[place])
            self._found.append((folded, kind, self.change.nodes, _OWN))
        for place, owner in aliased.items():
            self.ids[place] = self.ids[owner]

    def describe(self, described: Sequence[NodeRow], places: Sequence[int]) -> None:
        """Take over texts, aliases and sources."""
        if not described:
            return
        old = {self.ids[place] for place in places} - self._new.keys()
        stage_ids(self.connection, old)
        for known in self.connection.execute(
            text("SELECT id, kind, name, text, aliases, source FROM nodes WHERE id IN (SELECT id FROM staged_ids)")
        ):
            aliases = json.loads(known.aliases) if known.aliases else []
            self._known[known.id] = _Words(known.kind, known.name, known.text, aliases, known.source)
        sources = intern(self.connection, "sources", {row.source for row in described})
        for row, place in zip(described, places):
            node = self.ids[place]
            words = self._new.get(node) or self._known[node]
            was = words.row()
            have = {fold(name) for name in (words.name, *words.aliases)}
            for alias in row.aliases:
                folded = fold(alias)
                if folded not in have:
                    have.add(folded)
                    words.aliases.append(alias.strip())
                    self._found.append((folded, words.kind, node, _ALIAS))
            if row.text and row.text != words.text:
                words.text, words.source = row.text, sources[row.source]
            words.source = words.source or sources[row.source]
            if node in self._known and words.row() != was:
                self._changed.add(node)

    def save(self) -> None:
        if not self._new and not self._changed:
            return
        self.change.record(self.connection)
        insert(
            self.connection,
            "nodes",
            ("id", "kind", "name", "text", "aliases", "source"),
            [(node, *words.row()) for node, words in self._new.items()],
        )
        insert(self.connection, "names", ("folded", "kind", "node", "rank"), self._found)
        if self._changed:
            self.connection.execute(
                text("UPDATE nodes SET text = :text, aliases = :aliases, source = :source WHERE id = :id"),
                [
                    dict(zip(("text", "aliases", "source", "id"), (*self._known[node].row()[2:], node)))
                    for node in self._changed
                ],
            )
            touch(self.connection, self.change, 1, self._changed)
            forget_vectors(self.connection, 1, self._changed)


def _lookup(connection: Connection, keys: Sequence[tuple[str, int]]) -> dict[int, int]:
    """Place → the node that this name means. An alias of several nodes means none of them."""
    stage(connection, "staged_names", "folded TEXT, kind INTEGER", [(i, *key) for i, key in enumerate(keys)])
    found: dict[int, list[tuple[int, int]]] = {}
    for place, rank, node in connection.execute(
        text(
            "SELECT s.place, n.rank, n.node FROM staged_names s CROSS JOIN names n "
            "WHERE n.folded = s.folded AND n.kind = s.kind"
        )
    ):
        found.setdefault(place, []).append((rank, node))
    best = {place: min(ranked) for place, ranked in found.items()}
    return {place: node for place, (rank, node) in best.items() if rank != _ALIAS or len(found[place]) == 1}


# edges ----------------------------------------------------------------------------------------------------------


def _write_facts(
    connection: Connection,
    facts: Sequence[FactRow],
    subjects: Sequence[int],
    objects: Sequence[int],
    change: Change,
    old_nodes: int,
) -> tuple[np.ndarray, int, int]:
    """Edge ids of the facts, how many are new, how many changed. No edge leads to a node above ``old_nodes`` yet."""
    if not facts:
        return np.zeros(0, dtype=np.int64), 0, 0
    relations = intern(connection, "relations", {fact.relation.strip() for fact in facts})
    sources = intern(connection, "sources", {fact.source for fact in facts})
    origins = intern(connection, "origins", {fact.origin for fact in facts})
    keys: list[_Key] = [
        (subject, relations[fact.relation.strip()], object_, sources[fact.source], stored(fact.valid_from))
        for fact, subject, object_ in zip(facts, subjects, objects)
    ]
    if any(fact.valid_from is not None or fact.valid_to is not None for fact in facts):
        keys = [_ended(connection, key, fact) for key, fact in zip(keys, facts)]
        connection.execute(text('INSERT INTO cursors (key, "count") VALUES (:key, 1) ON CONFLICT DO NOTHING'), DATED)
    latest: dict[_Key, FactRow] = dict(zip(keys, facts))
    asked = [key for key in latest if key[0] <= old_nodes and key[2] <= old_nodes]
    stage(
        connection,
        "staged_keys",
        "subject BIGINT, relation INTEGER, object BIGINT, source INTEGER, starts DOUBLE PRECISION",
        [(place, *key) for place, key in enumerate(asked)],
    )
    ids: dict[_Key, int] = {}
    changed: list[dict[str, Any]] = []
    for place, edge, origin, confidence, said, ends in connection.execute(text(_SAME_KEY)) if asked else ():
        key = asked[place]
        ids[key] = edge
        fact = latest[key]
        until = ends if fact.valid_to is None else stored(fact.valid_to)
        now = fact.confidence, origins[fact.origin], until
        if now != (confidence, origin, ends) or fact.time not in (None, said):
            about = {"origin": origins[fact.origin], "confidence": float(fact.confidence), "time": fact.time}
            changed.append({"id": edge, "ends": until} | about)
    again = {key: edge for key, edge in _returning(connection, asked).items() if key not in ids}
    ids |= again
    added: list[tuple[Any, ...]] = []
    for key, fact in latest.items():
        if key not in ids:
            change.edges += 1
            ids[key] = change.edges
        elif key not in again:
            continue
        told = origins[fact.origin], float(fact.confidence), fact.time
        added.append((ids[key], *key[:4], *told, change.seq, key[4], stored(fact.valid_to)))
    if added or changed:
        change.record(connection)
    if changed:
        close_edges(connection, change, [row["id"] for row in changed])
        connection.execute(
            text(
                "UPDATE edges SET origin = :origin, confidence = :confidence, time = :time, since = :since, "
                "ends = :ends WHERE id = :id"
            ),
            [row | {"since": change.seq} for row in changed],
        )
    insert(connection, "edges", EDGE_COLUMNS, added)
    touch(connection, change, 0, again.values())
    return np.array([ids[key] for key in keys], dtype=np.int64), len(added), len(changed)


_SAME_KEY = (
    "SELECT s.place, e.id, e.origin, e.confidence, coalesce(e.time, w.time), e.ends "
    "FROM staged_keys s CROSS JOIN edges e JOIN writes w ON w.seq = e.since WHERE e.subject = s.subject "
    "AND e.relation = s.relation AND e.object = s.object AND e.source = s.source AND e.starts = s.starts"
)
_OPEN = text(
    "SELECT max(starts) FROM edges WHERE subject = :subject AND relation = :relation AND object = :object "
    "AND source = :source AND ends = 0 AND starts < :ends"
)


def stored(moment: float | None) -> float:
    """A moment of a period as its column has it."""
    return 0.0 if moment is None else moment - YEAR_ONE + 1.0


def _ended(connection: Connection, key: _Key, fact: FactRow) -> _Key:
    """The key of the fact that a row without a beginning ends, where one began before and goes on."""
    if fact.valid_from is not None or fact.valid_to is None:
        return key
    asked = dict(zip(("subject", "relation", "object", "source"), key)) | {"ends": stored(fact.valid_to)}
    return *key[:4], connection.execute(_OPEN, asked).scalar() or 0.0


def _returning(connection: Connection, asked: Sequence[_Key]) -> dict[_Key, int]:
    """Of the staged keys, those that had an edge once and have none now, with its id."""
    if not asked or connection.execute(text("SELECT 1 FROM past LIMIT 1")).first() is None:
        return {}
    rows = connection.execute(
        text(
            "SELECT s.place, p.edge FROM staged_keys s CROSS JOIN past p WHERE p.subject = s.subject "
            "AND p.relation = s.relation AND p.object = s.object AND p.source = s.source AND p.starts = s.starts "
            "AND NOT EXISTS (SELECT 1 FROM edges e WHERE e.id = p.edge) ORDER BY p.until"
        )
    )
    return {asked[place]: edge for place, edge in rows}


def close_edges(connection: Connection, change: Change, ids: Iterable[int]) -> None:
    """Keep the versions of these living edges that end with this change; the caller alters or deletes the edges."""
    ids = list(ids)
    change.record(connection)
    stage_ids(connection, ids)
    columns = ", ".join(EDGE_COLUMNS[1:])
    connection.execute(
        text(
            f"INSERT INTO past (edge, {columns}, until) SELECT id, {columns}, :seq FROM edges "
            "WHERE id IN (SELECT id FROM staged_ids)"
        ),
        {"seq": change.seq},
    )
    touch(connection, change, 0, ids)


def forget_vectors(connection: Connection, what: int, ids: Iterable[int]) -> None:
    """Drop the vectors of edges (0) or nodes (1) whose words are no longer those that were embedded."""
    stage_ids(connection, ids)
    connection.execute(
        text(
            "DELETE FROM embeddings WHERE embedder IN (SELECT id FROM embedders) AND what = :what "
            "AND id IN (SELECT id FROM staged_ids)"
        ),
        {"what": what},
    )


def touch(connection: Connection, change: Change, what: int, ids: Iterable[int]) -> None:
    """Note that edges (0) or nodes (1) that are not new were changed."""
    insert(connection, "touched", ("seq", "what", "id"), [(change.seq, what, number) for number in sorted(ids)])
