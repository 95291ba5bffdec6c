"""The first schema."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "v0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "writes",
        _key("seq"),
        _column("time", sa.Float),
        _column("edges", _ID),
        _column("nodes", _ID),
    )
    for name in ("relations", "sources", "origins", "embedders"):
        size = [_column("size", sa.Integer)] if name == "embedders" else []
        op.create_table(name, _key("id", sa.Integer), _column("name", sa.Text), *size)
        op.create_index(f"{name}_name", name, ["name"], unique=True)
    op.create_table(
        "nodes",
        _key("id"),
        _column("kind", sa.SmallInteger),
        _column("name", sa.Text),
        sa.Column("text", sa.Text),
        sa.Column("aliases", sa.Text),
        _column("source", sa.Integer, sa.ForeignKey("sources.id")),
        sa.Column("gone", _ID),
    )
    op.create_table(
        "names",
        _key("folded", sa.Text),
        _key("kind", sa.SmallInteger),
        _key("node", _ID, sa.ForeignKey("nodes.id")),
        _column("rank", sa.SmallInteger),
        sqlite_with_rowid=False,
    )
    op.create_table("edges", _key("id"), *_edge_columns())
    op.create_index("edges_key", "edges", ["subject", "relation", "object", "source"], unique=True)
    op.create_index("edges_object", "edges", ["object"])
    op.create_table(
        "past",
        _key("edge"),
        _key("until", _ID, sa.ForeignKey("writes.seq")),
        *_edge_columns(),
        sqlite_with_rowid=False,
    )
    op.create_index("past_key", "past", ["subject", "relation", "object", "source"])
    op.create_index("past_object", "past", ["object"])
    op.create_table(
        "touched",
        _key("seq", _ID, sa.ForeignKey("writes.seq")),
        _key("what", sa.SmallInteger),
        _key("id"),
        sqlite_with_rowid=False,
    )
    op.create_table("cursors", _key("key", sa.Text), _column("count", _ID), sqlite_with_rowid=False)
    op.create_table(
        "embeddings",
        _key("embedder", sa.Integer, sa.ForeignKey("embedders.id")),
        _key("what", sa.SmallInteger),
        _key("id"),
        _column("vector", _vector()),
    )
    op.execute("INSERT INTO writes (seq, time, edges, nodes) VALUES (0, 0, 0, 0)")
    op.execute("INSERT INTO sources (id, name) VALUES (0, '')")


def _column(name: str, kind: Any, *rest: Any, key: bool = False) -> sa.Column:  # type: ignore[type-arg]
    return sa.Column(name, kind, *rest, primary_key=key, nullable=False, autoincrement=False)


def _key(name: str, kind: Any = _ID, *rest: Any) -> sa.Column:  # type: ignore[type-arg]
    return _column(name, kind, *rest, key=True)


def _edge_columns() -> list[sa.Column]:  # type: ignore[type-arg]
    return [
        _column("subject", _ID, sa.ForeignKey("nodes.id")),
        _column("relation", sa.Integer, sa.ForeignKey("relations.id")),
        _column("object", _ID, sa.ForeignKey("nodes.id")),
        _column("source", sa.Integer, sa.ForeignKey("sources.id")),
        _column("origin", sa.Integer, sa.ForeignKey("origins.id")),
        _column("confidence", sa.Float),
        sa.Column("time", sa.Float),
        _column("since", _ID, sa.ForeignKey("writes.seq")),
    ]


def _vector() -> Any:
    """pgvector's type where the server has it (and lets us switch it on), else bytes."""
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return sa.LargeBinary
    if connection.execute(sa.text("SELECT 1 FROM pg_extension WHERE extname = 'vector'")).scalar() is None:
        offered = connection.execute(sa.text("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")).scalar()
        if offered is None:
            return sa.LargeBinary
        try:
            with connection.begin_nested():
                connection.execute(sa.text("CREATE EXTENSION vector"))
        except sa.exc.DBAPIError:  # only a superuser may
            return sa.LargeBinary
    return _Vector()


class _Vector(sa.types.UserDefinedType):  # type: ignore[type-arg]
    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "vector"
