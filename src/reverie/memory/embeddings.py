"""Vectors kept in the store, so that a shared server holds them for all: cosine search by pgvector, or by numpy.

They can be made again from the store. A vector is dropped in the transaction that ends its node or edge, or changes its
words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from sqlalchemy import Connection, text

from reverie.errors import UsageError
from reverie.memory.database import copy_out, insert
from reverie.memory.upsert import stage_ids

__all__ = ["Embedded", "get_vectors", "nearest", "put_vectors"]

Embedded = Literal["node", "edge"]
_WHATS: dict[str, int] = {"edge": 0, "node": 1}  # as in the table `touched`
_ROWS = 20_000  # vectors at a time


def put_vectors(connection: Connection, embedder: str, ids: Sequence[int], vectors: np.ndarray, of: Embedded) -> None:
    """Keep or replace vectors. Raises UsageError where they are no finite (len(ids), size) array of their embedder."""
    vectors = np.ascontiguousarray(vectors, dtype="<f4")
    if vectors.ndim != 2 or len(vectors) != len(ids) or not vectors.size or not np.isfinite(vectors).all():
        raise UsageError(f"vectors are a finite array of ({len(ids)}, size), got shape {vectors.shape}")
    number, size = _embedder(connection, embedder, vectors.shape[1])
    if size != vectors.shape[1]:
        raise UsageError(f"the vectors of '{embedder}' have {size} numbers, got {vectors.shape[1]}")
    what = _WHATS[of]
    latest = dict(zip(map(int, ids), vectors))
    stage_ids(connection, latest)
    connection.execute(
        text("DELETE FROM embeddings WHERE embedder = :number AND what = :what AND id IN (SELECT id FROM staged_ids)"),
        {"number": number, "what": what},
    )
    table = "nodes" if of == "node" else "edges"
    living = f"SELECT id FROM {table} WHERE id IN (SELECT id FROM staged_ids)" + (" AND gone IS NULL" * (of == "node"))
    kept = [row[0] for row in connection.execute(text(f"{living} ORDER BY id"))]
    as_words = _has_pgvector(connection)
    insert(
        connection,
        "embeddings",
        ("embedder", "what", "id", "vector"),
        [(number, what, id, _literal(latest[id]) if as_words else latest[id].tobytes()) for id in kept],
    )


def get_vectors(connection: Connection, embedder: str, of: Embedded) -> tuple[np.ndarray, np.ndarray]:
    """(ids int64 (N,), vectors float32 (N, size)), ascending by id; of size 0 where there are none."""
    parts = list(_portions(connection, embedder, of))
    if not parts:
        return np.zeros(0, np.int64), np.zeros((0, 0), np.float32)
    return np.concatenate([ids for ids, _ in parts]), np.concatenate([vectors for _, vectors in parts])


def nearest(
    connection: Connection, embedder: str, vector: np.ndarray, k: int, of: Embedded
) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` vectors of the highest cosine: (ids int64, similarities float32 in [-1, 1]), best first; exact."""
    vector = np.asarray(vector, dtype=np.float32).ravel()
    known = _find_embedder(connection, embedder)
    if known is None:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    number, size = known
    if vector.size != size or not np.isfinite(vector).all():
        raise UsageError(f"a query to '{embedder}' is a vector of {size} finite numbers, got {vector.size}")
    if _has_pgvector(connection):
        rows = connection.execute(
            text(
                "SELECT id, 1 - (vector <=> CAST(:vector AS vector)) FROM embeddings WHERE embedder = :number "
                "AND what = :what ORDER BY vector <=> CAST(:vector AS vector), id LIMIT :k"
            ),
            {"vector": _literal(vector), "number": number, "what": _WHATS[of], "k": k},
        ).all()
        return np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows], np.float32)
    best_ids, best = np.zeros(0, np.int64), np.zeros(0, np.float32)
    unit = vector / max(float(np.linalg.norm(vector)), 1e-12)
    for ids, vectors in _portions(connection, embedder, of):
        similarity = vectors @ unit / np.maximum(np.linalg.norm(vectors, axis=1), 1e-12)
        best_ids, best = np.concatenate([best_ids, ids]), np.concatenate([best, similarity])
        first = np.lexsort((best_ids, -best))[:k]
        best_ids, best = best_ids[first], best[first]
    return best_ids, best


def _portions(connection: Connection, embedder: str, of: Embedded) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    known = _find_embedder(connection, embedder)
    if known is None:
        return
    number, size = known
    asked = f"SELECT id, vector FROM embeddings WHERE embedder = {number} AND what = {_WHATS[of]} ORDER BY id"
    if connection.dialect.name == "sqlite":
        result = connection.exec_driver_sql(asked)
        for rows in result.partitions(_ROWS):
            vectors = np.frombuffer(b"".join(row[1] for row in rows), dtype="<f4").reshape(len(rows), size)
            yield np.array([row[0] for row in rows], dtype=np.int64), vectors.astype(np.float32)
        return
    vector: Any = ("vector", "<f4", (size,))
    if _has_pgvector(connection):  # sent as two int16 (size, 0) and big-endian numbers
        vector = ("vector", [("size", ">i4"), ("numbers", ">f4", (size,))])
    sent = copy_out(connection, asked, [("id", ">i8"), vector])
    numbers = sent["vector"]["numbers"] if sent["vector"].dtype.names else sent["vector"]
    yield sent["id"].astype(np.int64), numbers.astype(np.float32)


def _find_embedder(connection: Connection, name: str) -> tuple[int, int] | None:
    row = connection.execute(text("SELECT id, size FROM embedders WHERE name = :name"), {"name": name}).first()
    return (row[0], row[1]) if row else None


def _embedder(connection: Connection, name: str, size: int) -> tuple[int, int]:
    known = _find_embedder(connection, name)
    if known is None:
        number = connection.execute(text("SELECT coalesce(max(id) + 1, 0) FROM embedders")).scalar_one()
        insert(connection, "embedders", ("id", "name", "size"), [(number, name, size)])
        known = number, size
    return known


def _has_pgvector(connection: Connection) -> bool:
    if connection.dialect.name != "postgresql":
        return False
    kind = connection.execute(
        text(
            "SELECT atttypid::regtype::text FROM pg_attribute "
            "WHERE attrelid = 'embeddings'::regclass AND attname = 'vector'"
        )
    ).scalar_one()
    return bool(kind == "vector")


def _literal(vector: np.ndarray) -> str:
    return "[" + ",".join(map(str, vector.tolist())) + "]"
