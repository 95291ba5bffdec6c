"""Edges as arrays, and what happened since a change: what is made from the store follows it by these."""

from __future__ import annotations

import numpy as np
from sqlalchemy import Connection, text

from reverie.memory.contract import Changes, EdgeArrays
from reverie.memory.database import fetch

__all__ = ["changes_after", "edge_arrays", "ids_at", "last_change"]

_ARRAYS = "id, subject, object, relation, confidence"


def last_change(connection: Connection) -> int:
    return int(connection.execute(text("SELECT max(seq) FROM writes")).scalar_one())


def ids_at(connection: Connection, seq: int) -> tuple[int, int]:
    """The highest edge and node ids that there were after a change."""
    row = connection.execute(text("SELECT edges, nodes FROM writes WHERE seq = :seq"), {"seq": seq}).first()
    return (row[0], row[1]) if row else (0, 0)


def edge_arrays(connection: Connection, seq: int | None = None) -> EdgeArrays:
    """All living edges, ascending by id; as they stood after change ``seq``, if given."""
    if seq is None:
        return _arrays(connection, f"SELECT {_ARRAYS} FROM edges ORDER BY id", last_change(connection))
    return _arrays(
        connection,
        f"SELECT {_ARRAYS} FROM edges WHERE since <= {seq} UNION ALL SELECT edge, {_ARRAYS[4:]} FROM past "
        f"WHERE since <= {seq} AND until > {seq} ORDER BY 1",
        seq,
    )


def changes_after(connection: Connection, after: int, seq: int) -> Changes:
    """Everything from the change that follows on ``after`` up to ``seq``, the last one."""
    first_edge, first_node = ids_at(connection, after)
    touched: tuple[list[int], list[int]] = ([], [])
    for what, number in connection.execute(
        text("SELECT DISTINCT what, id FROM touched WHERE seq > :after ORDER BY id"), {"after": after}
    ):
        touched[what].append(number)
    again = f"SELECT id FROM touched WHERE seq > {int(after)} AND what = 0"
    added = _arrays(
        connection,
        f"SELECT {_ARRAYS} FROM edges WHERE id > {first_edge} "
        f"UNION SELECT {_ARRAYS} FROM edges WHERE id IN ({again}) ORDER BY 1",
        seq,
    )
    nodes = connection.execute(
        text(
            "SELECT id, gone IS NOT NULL FROM nodes WHERE id > :first UNION "  # an OR would scan all
            "SELECT id, gone IS NOT NULL FROM nodes WHERE id IN "
            "(SELECT id FROM touched WHERE seq > :after AND what = 1) ORDER BY 1"
        ),
        {"first": first_node, "after": after},
    ).all()
    return Changes(
        added=added,
        removed=np.array(touched[0], dtype=np.int64),
        nodes=np.array([number for number, gone in nodes if not gone], dtype=np.int64),
        gone=np.array([number for number, gone in nodes if gone], dtype=np.int64),
        seq=seq,
    )


def _arrays(connection: Connection, statement: str, seq: int) -> EdgeArrays:
    """The five columns of ``_ARRAYS``."""
    kinds = (("ids", "i8"), ("subjects", "i8"), ("objects", "i8"), ("relations", "i4"), ("confidences", "f8"))
    rows = fetch(connection, statement, kinds)
    return EdgeArrays(
        ids=rows["ids"].astype(np.int64),
        subjects=rows["subjects"].astype(np.int64),
        objects=rows["objects"].astype(np.int64),
        relations=rows["relations"].astype(np.int32),
        confidences=rows["confidences"].astype(np.float32),
        seq=seq,
    )
