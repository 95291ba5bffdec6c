"""Opening the database of a memory: SQLite files and PostgreSQL servers behind one SQLAlchemy engine.

In SQLite a transaction begins as said: IMMEDIATE for a writer, so that no two meet half-way, DEFERRED for a reader. In
PostgreSQL writers queue at an advisory lock that is held until their commit can be seen, so change numbers are in the
order of commits, and readers work on one snapshot.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, QueuePool, bindparam, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from reverie.errors import MemoryStoreError, MissingExtraError, UsageError, shorten
from reverie.memory.schema import is_newest, migrate, tables
from reverie.memory.terms import spaced_terms
from reverie.paths import data_dir

__all__ = ["Database", "DatabaseConfig", "by_ids", "copy_out", "fetch", "insert"]

_LOCK = 0x7265766572696500  # the number of our advisory lock: "reverie\0"
_ASK = 5_000  # ids in one question
_SQLITE_MAGIC = b"SQLite format 3\0"


@dataclass(frozen=True)
class DatabaseConfig:
    wait_s: float = 120.0  # how long a writer waits for another one
    cache_mb: int = 64  # pages of SQLite kept in memory, for each connection
    checkpoint_pages: int = 16_000  # of SQLite's write-ahead log before it is folded into the file


class Database:
    """A connected database with our tables. ``read_only`` where its file, or the folder around it, takes no writes."""

    def __init__(self, url: str | Path, create: bool = True, settings: DatabaseConfig | None = None):
        self.settings = settings or DatabaseConfig()
        parsed = _parse(url)
        self.url = parsed.render_as_string(hide_password=True)
        self.path = Path(parsed.database).absolute() if parsed.get_backend_name() == "sqlite" else None  # type: ignore[arg-type]
        self.read_only = False
        self.engine = self._postgres(parsed) if self.path is None else self._sqlite(self.path, create)
        try:
            self._prepare(create)
        except BaseException:
            self.engine.dispose()
            raise

    @property
    def is_sqlite(self) -> bool:
        return self.path is not None

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one moment of the memory."""
        with self._explained(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection of the only writer; what it did is on the disk when the block ends, or undone when it raises."""
        if self.read_only:
            raise MemoryStoreError(f"the memory {self.url} cannot be written to: its file or folder is read-only")
        with self._explained(), self.engine.connect().execution_options(**self._writer_options()) as connection:
            connection.begin()
            if not self.is_sqlite:
                wait = f"{self.settings.wait_s * 1000:.0f}ms"
                connection.execute(text("SELECT set_config('lock_timeout', :wait, true)"), {"wait": wait})
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            yield connection
            connection.commit()

    def size(self, connection: Connection) -> int:
        """Bytes on disk, write-ahead log and indices included."""
        if self.path is not None:
            files = (self.path, self.path.with_name(f"{self.path.name}-wal"))
            return sum(file.stat().st_size for file in files if file.exists())
        names = [f"'{name}'" for name in tables.tables]
        return int(
            connection.execute(
                text(f"SELECT {' + '.join(f'pg_total_relation_size({name})' for name in names)}")
            ).scalar_one()
        )

    # opening ----------------------------------------------------------------------------------------------------

    def _sqlite(self, path: Path, create: bool) -> Engine:
        try:
            if create and path.parent == data_dir().absolute():
                path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                with path.open("rb") as file:
                    head = file.read(len(_SQLITE_MAGIC))
                if head and head != _SQLITE_MAGIC:
                    raise MemoryStoreError(f"{path} is no memory: it is no SQLite database")
                self.read_only = not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))
            elif not create:
                raise MemoryStoreError(f"there is no memory at {path}; make one with: reverie memory import FILE")
            elif not path.parent.is_dir():  # perhaps mistyped: nothing is made on the way to it
                raise MemoryStoreError(f"cannot open the memory {path}: first make the folder {path.parent}")
            elif not os.access(path.parent, os.W_OK):
                raise MemoryStoreError(f"cannot make a memory at {path}: the folder is read-only")
        except OSError as error:
            raise MemoryStoreError(f"cannot open the memory {path}: {error.strerror}") from error
        options = ""
        if self.read_only:  # a log beside it can only be read with its index; without a log the file is all there is
            options = "?mode=ro" if path.with_name(f"{path.name}-wal").exists() else "?immutable=1"
        wait = self.settings.wait_s

        def connect() -> sqlite3.Connection:
            connection = sqlite3.connect(
                f"{path.as_uri()}{options}", uri=True, timeout=wait, isolation_level=None, check_same_thread=False
            )
            connection.create_function("spaced_terms", 1, spaced_terms, deterministic=True)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute(f"PRAGMA cache_size = -{self.settings.cache_mb * 1024}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {self.settings.checkpoint_pages}")
            return connection

        engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, max_overflow=-1)
        event.listen(engine, "begin", _begin)
        return engine

    def _postgres(self, url: URL) -> Engine:
        try:
            return create_engine(
                url, isolation_level="REPEATABLE READ", max_overflow=-1, connect_args={"connect_timeout": 10}
            )
        except ModuleNotFoundError as error:
            raise MissingExtraError("a memory in PostgreSQL", "postgres") from error

    def _prepare(self, create: bool) -> None:
        """Bring the schema to the newest version, making it where there is none."""
        with self._explained():
            with self.engine.connect() as connection:
                newest = is_newest(connection)
            if newest:
                return
            if newest is None and not create:
                raise MemoryStoreError("there is none yet")
            if self.is_sqlite and not self.read_only:
                with self.engine.connect() as connection:  # WAL is a property of the file, set outside of transactions
                    raw = connection.connection.dbapi_connection
                    assert raw is not None
                    raw.execute("PRAGMA journal_mode = WAL")
            with self.writing() as connection:
                migrate(connection)

    def _writer_options(self) -> dict[str, Any]:
        return {"writer": True} if self.is_sqlite else {"isolation_level": "READ COMMITTED"}

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what a driver raises into one line."""
        try:
            yield
        except DBAPIError as error:
            raise MemoryStoreError(f"the memory {self.url}: {_reason(error, self.settings)}") from error
        except sqlite3.Error as error:
            raise MemoryStoreError(f"the memory {self.url}: {shorten(str(error), 200)}") from error
        except MemoryStoreError as error:
            if self.url in str(error):
                raise
            raise MemoryStoreError(f"cannot use the memory {self.url}: {error}") from error


def insert(connection: Connection, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Many rows at once, by the fastest way that the driver has."""
    if not rows:
        return
    names = ", ".join(columns)
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(columns))
        connection.exec_driver_sql(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(rows))
        return
    raw: Any = connection.connection.dbapi_connection
    with raw.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def by_ids(connection: Connection, statement: str, ids: Iterable[int]) -> Iterator[Any]:
    """Rows of a statement that asks for ``IN :ids``, in portions that every driver takes."""
    wanted = sorted({int(number) for number in ids})
    asked = text(statement).bindparams(bindparam("ids", expanding=True))
    for start in range(0, len(wanted), _ASK):
        yield from connection.execute(asked, {"ids": wanted[start : start + _ASK]})


def fetch(connection: Connection, statement: str, columns: Sequence[tuple[str, str]]) -> np.ndarray:
    """Rows of numbers as one structured array: millions of them, without a Python object that outlives its row.

    ``columns``: names and numpy types ("i8", "i4", "f8") as the database has them.
    """
    if connection.dialect.name == "sqlite":
        raw: Any = connection.connection.dbapi_connection
        return np.fromiter(raw.execute(statement), dtype=list(columns))
    return copy_out(connection, statement, [(name, f">{kind}") for name, kind in columns])


def copy_out(connection: Connection, statement: str, columns: Sequence[tuple[Any, ...]]) -> np.ndarray:
    """What PostgreSQL's binary COPY sends, as a structured array; ``columns`` as in numpy, each of a fixed size."""
    layout: list[tuple[Any, ...]] = [("fields", ">i2")]
    for name, *kind in columns:
        layout += [(f"{name} bytes", ">i4"), (name, *kind)]
    kinds = np.dtype(layout)
    connection.execute(text("SELECT 1"))  # begins the transaction, of which the driver's cursor is a part
    raw: Any = connection.connection.dbapi_connection
    with raw.cursor() as cursor, cursor.copy(f"COPY ({statement}) TO STDOUT (FORMAT BINARY)") as copy:
        sent = b"".join(copy)
    start = 19 + int.from_bytes(sent[15:19], "big")  # after the header and its extension
    return np.frombuffer(sent, dtype=kinds, count=(len(sent) - start - 2) // kinds.itemsize, offset=start)


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writer") else "BEGIN")


def _parse(url: str | Path) -> URL:
    """The address as SQLAlchemy has it; a bare path is a SQLite file."""
    if isinstance(url, Path) or "://" not in url:
        return URL.create("sqlite", database=str(url))
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise UsageError(f"'{shorten(url)}' is no address of a memory: {shorten(str(error))}") from error
    if backend == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    raise UsageError(
        f"'{shorten(url)}' is no address of a memory. Give a file, as in kg.db, or postgresql+psycopg://user@host/name"
    )


def _reason(error: DBAPIError, settings: DatabaseConfig) -> str:
    said = str(error.orig)
    if "database is locked" in said or "lock timeout" in said:
        return f"another process has been writing for more than {settings.wait_s:g} s. Try again"
    if "not a database" in said or "malformed" in said:
        return f"the file is damaged ({said}). Restore a copy of it, or import again into a new one"
    return shorten(said, 200)
