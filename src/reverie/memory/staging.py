"""Words and ids put where statements can join them, in temporary tables of the one writing transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, text

from reverie.memory.database import insert

__all__ = ["intern", "stage", "stage_ids"]


def intern(connection: Connection, table: str, words: set[str]) -> dict[str, int]:
    """The numbers of words, new ones numbered on; counting starts at 0."""
    ordered = sorted(words)
    stage(connection, "staged_words", "word TEXT", list(enumerate(ordered)))
    known = text(f"SELECT s.word, t.id FROM staged_words s CROSS JOIN {table} t WHERE t.name = s.word")
    found: dict[str, int] = {row.word: row.id for row in connection.execute(known)}
    missing = [word for word in ordered if word not in found]
    if missing:
        start = connection.execute(text(f"SELECT coalesce(max(id) + 1, 0) FROM {table}")).scalar_one()
        rows = list(enumerate(missing, start))
        insert(connection, table, ("id", "name"), rows)
        found |= {word: number for number, word in rows}
    return found


def stage_ids(connection: Connection, ids: Iterable[int]) -> None:
    """Put ids where statements can join them: the temporary table ``staged_ids``."""
    stage(connection, "staged_ids", "", [(number,) for number in sorted(set(ids))], key="id")


def stage(
    connection: Connection, table: str, columns: str, rows: Sequence[tuple[Any, ...]], key: str = "place"
) -> None:
    kind = "INTEGER" if connection.dialect.name == "sqlite" else "BIGINT"
    declared = ", ".join([f"{key} {kind} PRIMARY KEY", *filter(None, [columns])])
    after = "" if kind == "INTEGER" else "ON COMMIT DELETE ROWS"  # nobody vacuums a temporary table
    connection.execute(text(f"CREATE TEMP TABLE IF NOT EXISTS {table} ({declared}) {after}"))
    connection.execute(text(f"DELETE FROM {table}"))
    names = [key, *(part.split()[0] for part in columns.split(", ") if part)]
    insert(connection, table, names, rows)
