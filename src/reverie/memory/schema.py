"""The tables of a memory, the same in SQLite and PostgreSQL, and how a database comes to have them.

Living edges stand in ``edges``, closed versions in ``past``: what only grows is never rewritten, and what most readers
want is one compact table. Times of versions are change numbers (``writes.seq``), each with its moment in ``writes``.
Edges and nodes that are new since a change are those with higher ids than its ``writes`` row names; everything else
that a change touched stands in ``touched``. So following the store needs no index that every edge would pay for.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    inspect,
    text,
)
from sqlalchemy.exc import DBAPIError

from reverie.errors import MemoryStoreError

__all__ = ["fold", "is_newest", "migrate", "tables", "version"]

FIRST = "v0001"
_WORDS: tuple[Mapping[str, str], ...] = (  # an index of the words of nodes that have a text, which keeps itself
    {
        "sqlite": "CREATE VIRTUAL TABLE words USING fts5(name, text, content='nodes', content_rowid='id', "
        "tokenize='unicode61 remove_diacritics 0')",
        "postgresql": "CREATE INDEX nodes_words ON nodes USING gin (to_tsvector('english', name || ' ' || text)) "
        "WHERE text IS NOT NULL AND gone IS NULL",
    },
    {"sqlite": "CREATE VIRTUAL TABLE word_counts USING fts5vocab(words, 'row')"},
    {
        "sqlite": "CREATE TRIGGER words_of_new AFTER INSERT ON nodes WHEN new.text IS NOT NULL AND new.gone IS NULL "
        "BEGIN INSERT INTO words (rowid, name, text) "
        "VALUES (new.id, spaced_terms(new.name), spaced_terms(new.text)); END"
    },
    {
        "sqlite": "CREATE TRIGGER words_of_changed AFTER UPDATE OF name, text, gone ON nodes "
        "BEGIN INSERT INTO words (words, rowid, name, text) "
        "SELECT 'delete', old.id, spaced_terms(old.name), spaced_terms(old.text) "
        "WHERE old.text IS NOT NULL AND old.gone IS NULL; "
        "INSERT INTO words (rowid, name, text) SELECT new.id, spaced_terms(new.name), spaced_terms(new.text) "
        "WHERE new.text IS NOT NULL AND new.gone IS NULL; END"
    },
)
_DOCUMENTS = (
    "CREATE TABLE documents (id INTEGER NOT NULL PRIMARY KEY, source TEXT NOT NULL, title TEXT NOT NULL, "
    "kind TEXT NOT NULL, hash TEXT NOT NULL, size BIGINT NOT NULL, time FLOAT NOT NULL)",
    "CREATE UNIQUE INDEX documents_source ON documents (source)",
    "CREATE TABLE passages (node {id} NOT NULL PRIMARY KEY REFERENCES nodes (id), document INTEGER NOT NULL "
    "REFERENCES documents (id), position INTEGER NOT NULL, hash TEXT NOT NULL)",
    "CREATE INDEX passages_document ON passages (document, position)",
    "CREATE TABLE said (document INTEGER NOT NULL REFERENCES documents (id), hash TEXT NOT NULL, part {id} NOT NULL, "
    "edges {bytes} NOT NULL, nodes {bytes} NOT NULL, PRIMARY KEY (document, hash, part))",
)
_OLD_WORDS = {
    "sqlite": "INSERT INTO words (rowid, name, text) SELECT id, spaced_terms(name), spaced_terms(text) FROM nodes "
    "WHERE text IS NOT NULL AND gone IS NULL"
}
# version → SQL that makes it of the one before, in order: for both databases, or by the name of one
UPGRADES: dict[str, tuple[str | Mapping[str, str], ...]] = {
    "v0002": (*_WORDS, _OLD_WORDS, *_DOCUMENTS),
    "v0003": (  # facts that change: when they hold, and which relations hold one value at a time
        *(
            f"ALTER TABLE {table} ADD COLUMN {column} FLOAT NOT NULL DEFAULT 0"
            for table in ("edges", "past")
            for column in ("starts", "ends")
        ),
        "DROP INDEX edges_key",
        "CREATE UNIQUE INDEX edges_key ON edges (subject, relation, object, source, starts)",
        "ALTER TABLE relations ADD COLUMN single SMALLINT",
        "ALTER TABLE relations ADD COLUMN learned SMALLINT",
        "CREATE TABLE merges (seq BIGINT NOT NULL, node BIGINT NOT NULL, before TEXT NOT NULL, PRIMARY KEY (seq))",
    ),
    "v0004": (  # questions that were not known
        "CREATE TABLE attempts (id {id} NOT NULL PRIMARY KEY, time FLOAT NOT NULL, model TEXT NOT NULL, "
        "question TEXT NOT NULL, answer TEXT NOT NULL, confidence FLOAT NOT NULL, signals TEXT NOT NULL, "
        "why TEXT NOT NULL, correction TEXT NOT NULL, settled TEXT NOT NULL)",
    ),
}
_MOST_KEY_LETTERS = 500  # of up to 4 bytes each: PostgreSQL's index entries end at 2704 bytes

tables = MetaData()  # the newest version, which a new memory has at once
versions = Table("alembic_version", tables, Column("version_num", String(32), primary_key=True))  # its first name
_ID = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts rows by INTEGER PRIMARY KEY alone


def _column(name: str, kind: Any, *rest: Any, key: bool = False) -> Column:  # type: ignore[type-arg]
    return Column(name, kind, *rest, primary_key=key, nullable=False, autoincrement=False)


writes = Table(  # one row for each transaction that changed something
    "writes",
    tables,
    _column("seq", _ID, key=True),
    _column("time", Float),  # seconds since 1970, strictly rising
    _column("edges", _ID),  # the highest edge id given out so far
    _column("nodes", _ID),
)
relations = Table(  # numbered from 0
    "relations",
    tables,
    _column("id", Integer, key=True),
    _column("name", Text),
    Column("single", SmallInteger),  # whether a subject has one value at a time, 1 or 0 as declared; NULL: not said
    Column("learned", SmallInteger),  # and as the facts show
)
sources = Table("sources", tables, _column("id", Integer, key=True), _column("name", Text))
origins = Table("origins", tables, _column("id", Integer, key=True), _column("name", Text))
for _table in (relations, sources, origins):
    Index(f"{_table.name}_name", _table.c.name, unique=True)

nodes = Table(
    "nodes",
    tables,
    _column("id", _ID, key=True),
    _column("kind", SmallInteger),  # place in data.NODE_KINDS
    _column("name", Text),
    Column("text", Text),
    Column("aliases", Text),  # a JSON list, in the order in which they came
    _column("source", Integer, ForeignKey("sources.id")),
    Column("gone", _ID),  # NULL: lives; 0: deleted; else the node that it was merged into
)
names = Table(  # how a node is found; its own name has rank 0, that of a merged-away node 1, an alias 2
    "names",
    tables,
    _column("folded", Text, key=True),
    _column("kind", SmallInteger, key=True),
    _column("node", _ID, ForeignKey("nodes.id"), key=True),
    _column("rank", SmallInteger),
    sqlite_with_rowid=False,
)


def _edge_columns() -> list[Column]:  # type: ignore[type-arg]
    return [
        _column("subject", _ID, ForeignKey("nodes.id")),
        _column("relation", Integer, ForeignKey("relations.id")),
        _column("object", _ID, ForeignKey("nodes.id")),
        _column("source", Integer, ForeignKey("sources.id")),
        _column("origin", Integer, ForeignKey("origins.id")),
        _column("confidence", Float),
        Column("time", Float),  # NULL: the moment of the write
    ]


def _period_columns() -> list[Column]:  # type: ignore[type-arg]
    """When a fact begins and ceases to hold: seconds since the year 1, so that 0 can say that nobody said."""
    return [Column(name, Float, nullable=False, server_default="0") for name in ("starts", "ends")]


edges = Table(
    "edges",
    tables,
    _column("id", _ID, key=True),
    *_edge_columns(),
    _column("since", _ID, ForeignKey("writes.seq")),
    *_period_columns(),
)
Index("edges_key", *(edges.c[name] for name in ("subject", "relation", "object", "source", "starts")), unique=True)
Index("edges_object", edges.c.object)

past = Table(
    "past",
    tables,
    _column("edge", _ID, key=True),  # keys first: SQLite 3.40 mistakes other orders for damage in integrity_check
    _column("until", _ID, ForeignKey("writes.seq"), key=True),
    *_edge_columns(),
    _column("since", _ID, ForeignKey("writes.seq")),
    *_period_columns(),
    sqlite_with_rowid=False,
)
Index("past_key", past.c.subject, past.c.relation, past.c.object, past.c.source)
Index("past_object", past.c.object)

touched = Table(
    "touched",
    tables,
    _column("seq", _ID, ForeignKey("writes.seq"), key=True),
    _column("what", SmallInteger, key=True),  # 0: an edge, 1: a node
    _column("id", _ID, key=True),
    sqlite_with_rowid=False,
)
cursors = Table("cursors", tables, _column("key", Text, key=True), _column("count", _ID), sqlite_with_rowid=False)
merges = Table(  # of nodes, that can be undone
    "merges",
    tables,
    _column("seq", BigInteger, key=True),  # the change that merged
    _column("node", BigInteger),  # the one that stayed
    _column("before", Text),  # its row, those of the others and their names as they were, as JSON
)
embedders = Table(
    "embedders", tables, _column("id", Integer, key=True), _column("name", Text), _column("size", Integer)
)
Index("embedders_name", embedders.c.name, unique=True)
embeddings = Table(
    "embeddings",
    tables,
    _column("embedder", Integer, ForeignKey("embedders.id"), key=True),
    _column("what", SmallInteger, key=True),  # as in touched
    _column("id", _ID, key=True),
    _column("vector", LargeBinary),  # little-endian float32; a `vector` where PostgreSQL has pgvector
)
documents = Table(  # files that were imported
    "documents",
    tables,
    _column("id", Integer, key=True),
    _column("source", Text),  # where it lies: an absolute path
    _column("title", Text),
    _column("kind", Text),
    _column("hash", Text),  # of all that decides what it says; "" where that is not known
    _column("size", BigInteger),  # bytes
    _column("time", Float),  # of the import, seconds since 1970
)
Index("documents_source", documents.c.source, unique=True)
passages = Table(  # where in which document a node of kind passage stands
    "passages",
    tables,
    _column("node", _ID, ForeignKey("nodes.id"), key=True),
    _column("document", Integer, ForeignKey("documents.id")),
    _column("position", Integer),
    _column("hash", Text),
)
Index("passages_document", passages.c.document, passages.c.position)
said = Table(  # the facts and described nodes that a file of rows gave, batch by batch, as ``documents.pack`` has them
    "said",
    tables,
    _column("document", Integer, ForeignKey("documents.id"), key=True),
    _column("hash", Text, key=True),  # of the file as it was then
    _column("part", _ID, key=True),  # its first row
    _column("edges", LargeBinary),
    _column("nodes", LargeBinary),
)
attempts = Table(  # questions that were not known, or whose answer somebody called wrong: the gap log
    "attempts",
    tables,
    _column("id", _ID, key=True),
    _column("time", Float),  # seconds since 1970
    _column("model", Text),
    _column("question", Text),
    _column("answer", Text),  # that was attempted
    _column("confidence", Float),
    _column("signals", Text),  # a JSON object of numbers
    _column("why", Text),  # unknown, wrong
    _column("correction", Text),
    _column("settled", Text),  # "": open; dismissed; or the name of the expert that was grown for it
)


def fold(name: str) -> str:
    """The form under which a name is found: Unicode's NFKC case folding, spaces squeezed; of a long one, a digest."""
    if name.isascii():
        folded = " ".join(name.lower().split())
    else:
        folded = unicodedata.normalize("NFD", name).casefold()
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", folded).casefold())
        folded = " ".join(folded.split())
    if len(folded) > _MOST_KEY_LETTERS:
        folded = f"{folded[:50].strip()}#{hashlib.sha256(folded.encode(errors='replace')).hexdigest()}"
    return folded


def is_newest(connection: Connection) -> bool | None:
    """Whether a database has the newest schema; None where it is empty."""
    found = version(connection)
    return None if found is None else found == [FIRST, *UPGRADES][-1]


def version(connection: Connection) -> str | None:
    """The version of the schema that a database has; None where it is empty."""
    names = set(inspect(connection).get_table_names())
    if "alembic_version" in names:
        found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return found
    if names:
        raise MemoryStoreError("it holds other tables and is no memory of Reverie")
    return None


def migrate(connection: Connection) -> None:
    """Bring a database to the newest schema within the connection's transaction.

    Raises MemoryStoreError where a newer Reverie made it, or something else did.
    """
    current, known = version(connection), [FIRST, *UPGRADES]
    if current is None:
        tables.create_all(connection)
        _execute(connection, _WORDS)
        _use_pgvector(connection)
        connection.execute(writes.insert(), {"seq": 0, "time": 0.0, "edges": 0, "nodes": 0})
        connection.execute(sources.insert(), {"id": 0, "name": ""})
    elif current not in known:
        raise MemoryStoreError(
            f"its schema {current!r} is newer than this Reverie, which knows {known[-1]}. Install a newer Reverie"
        )
    else:
        for step in known[known.index(current) + 1 :]:
            _execute(connection, UPGRADES[step])
    connection.execute(versions.delete())
    connection.execute(versions.insert(), {"version_num": known[-1]})


def _execute(connection: Connection, statements: Sequence[str | Mapping[str, str]]) -> None:
    name = connection.dialect.name
    for said in statements:
        statement = said if isinstance(said, str) else said.get(name, "")
        if statement:
            kinds = (
                {"{bytes}": "BLOB", "{id}": "INTEGER"} if name == "sqlite" else {"{bytes}": "BYTEA", "{id}": "BIGINT"}
            )
            for mark, kind in kinds.items():
                statement = statement.replace(mark, kind)
            connection.exec_driver_sql(statement)


def _use_pgvector(connection: Connection) -> None:
    """pgvector's type for the vectors where the server has it (and lets us switch it on); they stay bytes elsewhere."""
    if connection.dialect.name != "postgresql":
        return
    if connection.execute(text("SELECT 1 FROM pg_extension WHERE extname = 'vector'")).scalar() is None:
        if connection.execute(text("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")).scalar() is None:
            return
        try:
            with connection.begin_nested():
                connection.execute(text("CREATE EXTENSION vector"))
        except DBAPIError:  # only a superuser may
            return
    connection.execute(text("ALTER TABLE embeddings ALTER COLUMN vector TYPE vector USING NULL"))
