"""Opening memories that are missing, damaged, foreign, newer, older, closed to us or far away."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import inspect

from reverie.data import FactRow
from reverie.errors import MemoryStoreError, MissingExtraError, UsageError
from reverie.memory import schema
from reverie.memory.database import DatabaseConfig
from reverie.memory.store import Store
from reverie.memory.terms import spaced_terms
from reverie.paths import default_memory

ROWS = [FactRow(f"node {number}", "is", f"thing {number % 7}") for number in range(500)]


def refused(url: str | Path, create: bool = True) -> str:
    """The one line with which a store is refused."""
    with pytest.raises(MemoryStoreError) as raised:
        Store.open(url, create=create)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    path = tmp_path / "kg.db"
    with Store.open(path) as store:
        store.write(ROWS)
    return path


def test_what_was_written_is_there_after_closing(address: str) -> None:
    with Store.open(address) as store:
        store.write(ROWS[:3], cursor=("import", 3))
    with Store.open(address, create=False) as store:
        assert [fact.subject for fact in store.facts([1, 2, 3])] == ["node 0", "node 1", "node 2"]
        assert store.cursor("import") == 3


def test_addresses_are_files_or_urls(tmp_path: Path) -> None:
    path = tmp_path / "kg.db"
    for url in (path, str(path), f"sqlite:///{path}"):
        with Store.open(url) as store:
            assert store.path == path
            assert store.url == f"sqlite:///{path}"


@pytest.mark.parametrize(
    "url", ["mysql://host/db", "sqlite://", "sqlite:///:memory:", "nonsense://x", "postgresql://h:x/y"]
)
def test_a_malformed_address_is_wrong_usage(url: str) -> None:
    with pytest.raises(UsageError, match="is no address of a memory"):
        Store.open(url)


def test_a_missing_memory_is_made_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "kg.db"
    assert f"there is no memory at {path}" in refused(path, create=False)
    assert not path.exists()
    (tmp_path / "file").write_text("x")
    assert "cannot open the memory" in refused(tmp_path / "file" / "kg.db")
    assert "cannot open the memory" in refused(tmp_path)  # a folder


def test_a_folder_that_is_not_there_is_not_made_but_for_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mistyped" / "kg.db"
    assert f"there is no memory at {path}" in refused(path, create=False)
    assert f"cannot open the memory {path}: first make the folder {path.parent}" in refused(path)
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("REVERIE_HOME", str(tmp_path / "deep" / "home"))
    Store.open(default_memory()).close()
    assert (tmp_path / "deep" / "home" / "memory.db").is_file()


def test_an_empty_database_is_no_memory_until_one_is_made(address: str) -> None:
    if "://" not in address:
        Path(address).touch()
    assert "there is none yet" in refused(address, create=False)
    Store.open(address).close()
    Store.open(address, create=False).close()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "kg.db"
    path.write_text("subject,relation,object\n")
    assert "it is no SQLite database" in refused(path)
    assert path.read_text() == "subject,relation,object\n"


def test_a_database_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "kg.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE songs (name)")
    connection.close()
    assert "it holds other tables and is no memory of Reverie" in refused(path)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_a_truncated_database_is_refused_or_found_unsound(made: Path, share: float) -> None:
    whole = made.read_bytes()
    made.write_bytes(whole[: int(len(whole) * share)])
    said: list[str] = []
    try:
        with Store.open(made, create=False) as store:
            said += store.check()
            for act in (store.edge_arrays, lambda: store.write(ROWS), store.stats):
                with suppress(MemoryStoreError):  # what it can still read, it may
                    act()
    except MemoryStoreError as error:
        said.append(str(error))
    assert said
    assert all("damaged" in line and "\n" not in line for line in said)


def test_bytes_gone_wrong_are_found(made: Path) -> None:
    whole = bytearray(made.read_bytes())
    place = whole.rindex(b"node 400")
    whole[place - 40 : place + 40] = bytes(80)
    made.write_bytes(whole)
    with Store.open(made) as store:
        assert store.check()


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("DELETE FROM nodes WHERE id = 1", "refers to a row of nodes that is not there"),
        ("UPDATE nodes SET gone = 0 WHERE id = 1", "edge 1 lives and leads to node 1, which is gone"),
        ("UPDATE nodes SET gone = 9999 WHERE id = 1", "node 1 was merged into node 9999, which was never there"),
        ("DELETE FROM names WHERE node = 1", "node 1 cannot be found by its name"),
        ("INSERT INTO names VALUES ('node 0', 0, 3, 0)", "the name 'node 0' belongs to both nodes 1 and 3"),
        ("UPDATE edges SET confidence = 2 WHERE id = 7", "edge 7 has a confidence of 2.0"),
        ("UPDATE edges SET relation = 5 WHERE id = 7", "edge 7 has a relation, source or origin without a name"),
        ("UPDATE writes SET edges = 3 WHERE seq = 1", "edge 4 was written by no change"),
        ("UPDATE writes SET nodes = 3 WHERE seq = 1", "node 4 was written by no change"),
        ("INSERT INTO writes VALUES (5, 0, 1000, 1000)", "change 5 does not follow the one before it"),
        ("INSERT INTO past SELECT id, 1, subject, relation, object, source, origin, confidence, time, 1, 0, 0 "
         "FROM edges WHERE id = 2", "edge 2 has versions that overlap"),
    ],
)  # fmt: skip
def test_check_names_what_does_not_hold(made: Path, damage: str, problem: str) -> None:
    with sqlite3.connect(made) as connection:
        connection.create_function("spaced_terms", 1, spaced_terms)
        connection.execute(damage)
    connection.close()
    with Store.open(made) as store:
        assert problem in "\n".join(store.check())


def test_a_newer_schema_is_refused(address: str) -> None:
    with Store.open(address) as store, store._database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'v9999'")
    assert "its schema 'v9999' is newer than this Reverie" in refused(address)


def next_schema(monkeypatch: pytest.MonkeyPatch, *more: str) -> None:
    """Pretends that there is a version after the newest one."""
    monkeypatch.setattr(schema, "UPGRADES", schema.UPGRADES | {"v9000": ("CREATE TABLE extra (x INTEGER)", *more)})


def test_an_older_schema_is_upgraded(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(address) as store:
        store.write(ROWS[:3])
    next_schema(monkeypatch)
    with Store.open(address, create=False) as store, store._database.reading() as connection:
        assert schema.version(connection) == "v9000"
        assert inspect(connection).has_table("extra")
        assert len(store.edge_arrays().ids) == 3


def test_a_memory_without_periods_gets_them(address: str) -> None:
    """What a release before them wrote, on both databases: nothing is lost, and facts may begin and end from now on."""
    with Store.open(address) as store, store._database.writing() as connection:
        for statement in (
            "DROP INDEX edges_key",
            *(f"ALTER TABLE {table} DROP COLUMN {name}" for table in ("edges", "past") for name in ("starts", "ends")),
            "CREATE UNIQUE INDEX edges_key ON edges (subject, relation, object, source)",
            *(f"ALTER TABLE relations DROP COLUMN {name}" for name in ("single", "learned")),
            "DROP TABLE merges",
            "DROP TABLE attempts",
            "INSERT INTO writes VALUES (1, 1000.0, 1, 2)",
            "INSERT INTO relations VALUES (0, 'AtLocation')",
            "INSERT INTO origins VALUES (0, '')",
            "INSERT INTO nodes VALUES (1, 0, 'Alice', NULL, NULL, 0, NULL), (2, 0, 'Paris', NULL, NULL, 0, NULL)",
            "INSERT INTO names VALUES ('alice', 0, 1, 0), ('paris', 0, 2, 0)",
            "INSERT INTO edges VALUES (1, 1, 0, 2, 0, 0, 0.5, 12.0, 1)",
        ):
            connection.exec_driver_sql(statement)
        known = [schema.FIRST, *schema.UPGRADES]
        before = known[known.index("v0003") - 1]
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{before}'")
    with Store.open(address, create=False) as store:
        (edge,) = store.edges([1])
        assert (edge.confidence, edge.time, edge.valid_from, edge.valid_to) == (0.5, 12.0, None, None)
        dated = [FactRow("Alice", "AtLocation", "Paris", valid_from=moment) for moment in (1e9, 2e9)]
        assert store.write(dated).new_edges == 2
        assert store.write(dated).new_edges == 0
        assert store.check() == []


def test_an_upgrade_that_fails_changes_nothing(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(address) as store:
        store.write(ROWS[:3])
        next_schema(monkeypatch, "SELECT no_such_thing")
        assert "no_such_thing" in refused(address)
        with store._database.reading() as connection:
            assert schema.version(connection) == [*schema.UPGRADES][-2]  # without the pretended one
            assert not inspect(connection).has_table("extra")
        assert store.check() == []


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A memory as the first release made it, with Alembic."""
    path = tmp_path / "first.db"
    with sqlite3.connect(path) as connection:
        connection.executescript((Path(__file__).parent / "v0001.sql").read_text(encoding="utf-8"))
    connection.close()
    return path


def test_a_memory_of_the_first_release_opens_and_goes_on(first: Path) -> None:
    with Store.open(first, create=False) as store:
        assert store.check() == []
        assert [(fact.subject, fact.object, fact.confidence) for fact in store.facts([1])] == [("egg", "food", 0.9)]
        assert [version.confidence for version in store.history(1)] == [0.5, 0.9]
        assert [node.name for node in store.find("OVUM")] == ["egg"]
        assert store.cursor("import") == 1
        assert store.get_vectors("words")[1].tolist() == [[1, 1, 1, 1]]
        assert store.write(ROWS).new_edges == len(ROWS)
        assert store.check() == []


def test_a_new_memory_has_the_tables_of_the_first_release(first: Path, made: Path) -> None:
    def told(path: Path) -> dict[str, object]:
        with Store.open(path) as store, store._database.reading() as connection:
            found = inspect(connection)
            return {
                name: (
                    [(column["name"], str(column["type"]), column["nullable"]) for column in found.get_columns(name)],
                    found.get_pk_constraint(name)["constrained_columns"],
                    sorted(map(str, found.get_foreign_keys(name))),
                    sorted(map(str, found.get_indexes(name))),
                )
                for name in found.get_table_names()
            }

    assert told(made) == told(first)


@contextmanager
def closed_to_us(folder: Path) -> Iterator[None]:
    """The folder takes no writes for as long as the block runs; root is somebody else then."""
    modes = {path: path.stat().st_mode for path in (folder, *folder.iterdir())}
    for path in modes:
        path.chmod(0o555 if path.is_dir() else 0o444)
    root = os.geteuid() == 0
    if root:
        os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        if root:
            os.setresuid(0, 0, 0)
        for path, mode in modes.items():
            path.chmod(mode)


@pytest.mark.skipif(os.name != "posix", reason="needs permissions as Unix has them")
def test_a_read_only_folder_is_read_and_never_written(made: Path) -> None:
    with tempfile.TemporaryDirectory() as open_to_all:  # pytest's own folders are closed to other users
        folder = Path(open_to_all)
        shutil.copy(made, folder / "kg.db")
        with closed_to_us(folder):
            assert "the folder is read-only" in refused(folder / "new.db")
            with Store.open(folder / "kg.db") as store:
                assert len(store.edge_arrays().ids) == len(ROWS)
                assert store.find("NODE 3")
                assert store.check() == []
                for act in (lambda: store.write(ROWS), lambda: store.delete_edges([1]), lambda: store.merge(1, [2])):
                    with pytest.raises(MemoryStoreError, match="its file or folder is read-only"):
                        act()
        assert sorted(path.name for path in folder.iterdir()) == ["kg.db"]


def test_a_writer_that_waits_too_long_says_so(address: str) -> None:
    with Store.open(address) as holder, Store.open(address, settings=DatabaseConfig(wait_s=0.1)) as store:
        with (
            holder._database.writing(),
            pytest.raises(MemoryStoreError, match=r"another process has been writing for more than 0\.1 s"),
        ):
            store.write(ROWS[:1])
        with holder._database.writing():
            assert len(store.edge_arrays().ids) == 0  # readers wait for nobody
        assert store.write([FactRow("later", "is", "fine")]).new_edges == 1


def test_a_server_that_does_not_answer() -> None:
    said = refused("postgresql+psycopg://reverie:secret@127.0.0.1:1/db")
    assert "refused" in said
    assert "secret" not in said


def test_a_database_that_the_server_has_not(postgres: Callable[[], str]) -> None:
    assert "does not exist" in refused(postgres().replace("/memory", "/nowhere"))


def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"reverie\[postgres\]"):
        Store.open("postgresql+psycopg://reverie@127.0.0.1:1/db")


def test_processes_that_make_and_write_one_memory_at_once(address: str) -> None:
    code = (
        "import sys\nfrom reverie.data import FactRow\nfrom reverie.memory.store import Store\n"
        "with Store.open(sys.argv[1]) as store:\n"
        "    for step in range(5):\n"
        "        store.write([FactRow(f'{sys.argv[2]} {step}', 'is', 'ours')])\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, address, str(number)], stderr=subprocess.PIPE, text=True)
        for number in range(3)
    ]
    for process in running:
        assert process.communicate(timeout=100)[1] == ""
    with Store.open(address, create=False) as store:
        assert len(store.edge_arrays().ids) == 15
        assert store.seq() == 15
        assert store.check() == []
