"""Deleting edges and nodes, and making one node of several: what ends stays readable as history."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, text

from reverie.memory.database import by_ids
from reverie.memory.schema import fold
from reverie.memory.staging import stage_ids
from reverie.memory.undoing import as_it_is, keep_for_undo
from reverie.memory.upsert import EDGE_COLUMNS, Change, close_edges, forget_vectors, touch

__all__ = ["delete_edges", "edges_at", "end_nodes", "merge_nodes"]


def edges_at(connection: Connection, nodes: Sequence[int]) -> list[Any]:
    """Living edges at any of the nodes: ``EDGE_COLUMNS`` and ``said``, their time."""
    stage_ids(connection, nodes)
    columns = ", ".join(f"e.{name}" for name in EDGE_COLUMNS) + ", coalesce(e.time, w.time) AS said"
    found = f"SELECT {columns} FROM staged_ids n CROSS JOIN edges e JOIN writes w ON w.seq = e.since WHERE"
    return list(connection.execute(text(f"{found} e.subject = n.id UNION {found} e.object = n.id ORDER BY 1")))


def _key(row: Any) -> tuple[float, ...]:
    return row.subject, row.relation, row.object, row.source, row.starts


def delete_edges(connection: Connection, change: Change, ids: Iterable[int]) -> int:
    """End those that live; returns how many."""
    living = [row[0] for row in by_ids(connection, "SELECT id FROM edges WHERE id IN :ids", ids)]
    if living:
        close_edges(connection, change, living)  # stages them
        connection.execute(text("DELETE FROM edges WHERE id IN (SELECT id FROM staged_ids)"))
        forget_vectors(connection, 0, living)
    return len(living)


def end_nodes(connection: Connection, change: Change, nodes: Sequence[int], into: int) -> None:
    """Mark nodes as deleted (0) or merged into another; their rows stay for whoever reads history."""
    change.record(connection)
    stage_ids(connection, nodes)
    connection.execute(text("UPDATE nodes SET gone = :into WHERE id IN (SELECT id FROM staged_ids)"), {"into": into})
    touch(connection, change, 1, nodes)
    forget_vectors(connection, 1, nodes)


def merge_nodes(connection: Connection, change: Change, into: int, others: Sequence[int]) -> int:
    """Move edges and names of living ``others``, which are not ``into``; returns how many edges moved."""
    before = as_it_is(connection, [into, *others])
    moving = edges_at(connection, others)
    at = dict.fromkeys(others, into)
    standing: dict[tuple[float, ...], Any] = {
        _key(row): row for row in edges_at(connection, [into]) if not at.keys() & {row[1], row[3]}
    }
    ended: list[int] = []  # edges that close for good
    altered: dict[int, tuple[Any, ...]] = {}  # id → subject, object, origin, confidence, time
    for row in moving:
        subject, object_ = at.get(row.subject, row.subject), at.get(row.object, row.object)
        if subject == object_ and row.subject != row.object:
            ended.append(row.id)
            continue
        key = (subject, row.relation, object_, row.source, row.starts)
        keeper = standing.setdefault(key, row)
        if keeper is row:
            altered[row.id] = (subject, object_, row.origin, row.confidence, row.said)
            continue
        ended.append(row.id)
        if row.confidence > (altered[keeper.id][3] if keeper.id in altered else keeper.confidence):
            altered[keeper.id] = (subject, object_, row.origin, row.confidence, row.said)
    close_edges(connection, change, [*ended, *altered])
    forget_vectors(connection, 0, [*ended, *altered])
    stage_ids(connection, ended)
    connection.execute(text("DELETE FROM edges WHERE id IN (SELECT id FROM staged_ids)"))
    if altered:
        connection.execute(
            text(
                "UPDATE edges SET subject = :subject, object = :object, origin = :origin, confidence = :confidence, "
                "time = :time, since = :since WHERE id = :id"
            ),
            [
                dict(zip(("subject", "object", "origin", "confidence", "time"), values), id=number, since=change.seq)
                for number, values in altered.items()
            ],
        )
    _merge_names(connection, change, into, others)
    keep_for_undo(connection, change, into, before)
    return sum(1 for row in moving if row.id in altered)


def _merge_names(connection: Connection, change: Change, into: int, others: Sequence[int]) -> None:
    asked = "SELECT id, name, text, aliases, source FROM nodes WHERE id IN :ids"
    found = {row.id: row for row in by_ids(connection, asked, [into, *others])}
    keeper = found[into]
    called = {fold(keeper.name): keeper.name}
    rows = [found[number] for number in (into, *others)]
    for row in rows:
        for name in (row.name, *json.loads(row.aliases or "[]")):
            called.setdefault(fold(name), name)
    told = next((row for row in rows if row.text), keeper)
    connection.execute(
        text("UPDATE nodes SET text = :text, aliases = :aliases, source = :source WHERE id = :id"),
        {
            "text": told.text,
            "aliases": json.dumps(list(called.values())[1:], ensure_ascii=False),
            "source": told.source,
            "id": into,
        },
    )
    # what was an own name keeps its claim: later writes of it go to `into`
    stage_ids(connection, others)
    connection.execute(
        text(
            "INSERT INTO names (folded, kind, node, rank) "
            "SELECT folded, kind, :into, min(CASE rank WHEN 0 THEN 1 ELSE rank END) "
            "FROM names WHERE node IN (SELECT id FROM staged_ids) GROUP BY folded, kind "
            "ON CONFLICT (folded, kind, node) DO UPDATE SET rank = "
            "CASE WHEN excluded.rank < names.rank THEN excluded.rank ELSE names.rank END"
        ),
        {"into": into},
    )
    connection.execute(text("DELETE FROM names WHERE node IN (SELECT id FROM staged_ids)"))
    end_nodes(connection, change, others, into)
    touch(connection, change, 1, [into])
    forget_vectors(connection, 1, [into])
