"""Undoing a merge of nodes: what it moved goes back to where it was, and what was written since stays.

The versions of edges that a merge ended are history as any others; ``merges`` keeps what has no history: the rows of
the nodes and their names.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from reverie.errors import UsageError, shorten
from reverie.memory.database import by_ids, insert
from reverie.memory.schema import fold
from reverie.memory.staging import stage_ids
from reverie.memory.upsert import EDGE_COLUMNS, Change, close_edges, forget_vectors, touch

__all__ = ["Unmerged", "as_it_is", "keep_for_undo", "undo_merge"]

_NODE = ("id", "name", "text", "aliases", "source")
_NAME = ("folded", "kind", "node", "rank")
_BEFORE = {
    "nodes": f"SELECT {', '.join(_NODE)} FROM nodes WHERE id",
    "names": f"SELECT {', '.join(_NAME)} FROM names WHERE node",
}
_NOW = "SELECT id, text, aliases, source, gone FROM nodes WHERE id IN :ids"


@dataclass(frozen=True)
class Unmerged:
    """What an undone merge gave back."""

    into: int  # the node that had stayed
    nodes: tuple[int, ...]  # those that live again
    edges: int  # how many are as they were
    kept: int  # edges that were written, changed or deleted since, and stay as they are
    renamed: bool  # whether names or words of the node were written since, and stay


def as_it_is(connection: Connection, nodes: Sequence[int]) -> dict[str, list[Any]]:
    """The rows of nodes, and their names."""
    return {
        what: [list(row) for row in by_ids(connection, f"{asked} IN :ids", nodes)] for what, asked in _BEFORE.items()
    }


def keep_for_undo(connection: Connection, change: Change, into: int, before: dict[str, list[Any]]) -> None:
    """Note, when a merge is done, how its nodes were ``before`` it, and the one that stays is now."""
    kept = before | {"after": as_it_is(connection, [into])["nodes"][0]}
    insert(connection, "merges", ("seq", "node", "before"), [(change.seq, into, json.dumps(kept))])


def undo_merge(connection: Connection, change: Change) -> Unmerged:
    """Take the last merge back. Raises UsageError where there is none, or its nodes are gone since."""
    last = connection.execute(text("SELECT seq, node, before FROM merges ORDER BY seq DESC LIMIT 1")).first()
    if last is None:
        raise UsageError("no merge can be undone: there was none")
    before = json.loads(last.before)
    nodes = {row[0]: row for row in before["nodes"]}
    others = [number for number in nodes if number != last.node]
    living = {row.id: row for row in by_ids(connection, _NOW, nodes)}
    if living[last.node].gone is not None or any(living[number].gone != last.node for number in others):
        raise UsageError(f"the merge into '{shorten(nodes[last.node][1])}' cannot be undone: it is gone since")
    edges, kept = _give_back_edges(connection, change, last.seq, last.node)
    renamed = _give_back_names(connection, last.node, living[last.node], before)
    stage_ids(connection, others)
    connection.execute(text("UPDATE nodes SET gone = NULL WHERE id IN (SELECT id FROM staged_ids)"))
    touch(connection, change, 1, nodes)
    forget_vectors(connection, 1, nodes)
    connection.execute(text("DELETE FROM merges WHERE seq = :seq"), {"seq": last.seq})
    return Unmerged(last.node, tuple(others), edges, kept, renamed)


def _give_back_edges(connection: Connection, change: Change, seq: int, into: int) -> tuple[int, int]:
    """How many edges are again what they were before change ``seq``, and how many stay, since others wrote them."""
    versions = connection.execute(
        text(
            f"SELECT p.edge, {', '.join(f'p.{name}' for name in EDGE_COLUMNS[1:])}, w.time AS written FROM touched t "
            "CROSS JOIN past p JOIN writes w ON w.seq = p.since "
            "WHERE t.seq = :seq AND t.what = 0 AND p.edge = t.id AND p.until = :seq"
        ),
        {"seq": seq},
    ).all()
    ids = [row.edge for row in versions]
    said = ", ".join(name for name in EDGE_COLUMNS if name not in ("id", "since"))
    living = {row[0]: row for row in by_ids(connection, f"SELECT id, since, {said} FROM edges WHERE id IN :ids", ids)}
    asked = f"SELECT edge, since, {said} FROM past WHERE since = {int(seq)} AND edge IN :ids"
    left = {row[0]: row for row in by_ids(connection, asked, ids)}  # by the merge, where it was changed since
    left |= {number: row for number, row in living.items() if row.since == seq}
    same = {number for number, row in living.items() if number in left and row[2:] == left[number][2:]}
    altered = [row for row in versions if row.edge in same]
    ended = [row for row in versions if row.edge not in living and row.edge not in left]
    moved = [row.edge for row in altered]
    close_edges(connection, change, moved)
    forget_vectors(connection, 0, moved)
    stage_ids(connection, moved)
    connection.execute(text("DELETE FROM edges WHERE id IN (SELECT id FROM staged_ids)"))
    back = [
        dict(zip(EDGE_COLUMNS, row)) | {"since": change.seq, "time": row.written if row.time is None else row.time}
        for row in (*altered, *ended)
    ]
    rows: list[tuple[Any, ...]] = [tuple(row[name] for name in EDGE_COLUMNS) for row in back]
    insert(connection, "edges", EDGE_COLUMNS, rows)
    touch(connection, change, 0, [row.edge for row in ended])
    new = connection.execute(
        text(
            "SELECT count(*) FROM edges WHERE (subject = :node OR object = :node) "
            "AND id > (SELECT edges FROM writes WHERE seq = :seq)"
        ),
        {"node": into, "seq": seq},
    ).scalar_one()
    return len(rows), len(versions) - len(rows) + int(new)


def _give_back_names(connection: Connection, into: int, now: Any, before: dict[str, list[Any]]) -> bool:
    """The words and names of the node, and of those that were merged into it, as they were; what was written of them
    since stays. Returns whether something was."""
    nodes = {row[0]: dict(zip(_NODE, row)) for row in before["nodes"]}
    was = nodes.pop(into)
    renamed = [now.text, now.aliases, now.source] != before["after"][2:]
    own = {fold(name) for name in (was["name"], *json.loads(was["aliases"] or "[]"))}
    given = {fold(name) for row in nodes.values() for name in (row["name"], *json.loads(row["aliases"] or "[]"))} - own
    words = {name: was[name] for name in ("text", "aliases", "source")}
    if renamed:
        aliases = [name for name in json.loads(now.aliases or "[]") if fold(name) not in given]
        words = {"text": now.text, "aliases": json.dumps(aliases, ensure_ascii=False) if aliases else None}
        words["source"] = now.source
    connection.execute(
        text("UPDATE nodes SET text = :text, aliases = :aliases, source = :source WHERE id = :id"), words | {"id": into}
    )
    at = {(folded, kind): rank for folded, kind, node, rank in before["names"] if node == into}
    moved = [(folded, kind) for folded, kind, node, _ in before["names"] if node != into]
    for folded, kind in moved:
        connection.execute(
            text("DELETE FROM names WHERE folded = :folded AND kind = :kind AND node = :node"),
            {"folded": folded, "kind": kind, "node": into},
        )
    back = [(folded, kind, node, rank) for folded, kind, node, rank in before["names"] if node != into]
    back += [(*name, into, at[name]) for name in dict.fromkeys(moved) if name in at]
    insert(connection, "names", _NAME, back)
    return renamed
