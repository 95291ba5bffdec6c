"""Stores to test with: the same tests run on SQLite and on a real PostgreSQL server."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from postgres import server
from reverie.memory.store import Store

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[], str]]:
    """Makes an empty database on a server of our own, and returns its address."""
    try:
        running = server()
        address = running.__enter__()
    except RuntimeError as error:
        pytest.skip(str(error))
    engine = create_engine(address, isolation_level="AUTOCOMMIT")

    def make() -> str:
        name = f"memory{next(_numbers)}"
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        return address.replace("/postgres?", f"/{name}?")

    yield make
    engine.dispose()
    running.__exit__(None, None, None)


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where there is no memory yet."""
    if request.param == "sqlite":
        return str(tmp_path / "kg.db")
    made: str = request.getfixturevalue("postgres")()
    return made


@pytest.fixture
def store(address: str) -> Iterator[Store]:
    with Store.open(address) as opened:
        yield opened
        assert opened.check() == []
