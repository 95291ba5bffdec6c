"""Files into a memory and out of it: what is exported imports back, and a stopped import goes on where it stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverie.data import NODE_KINDS, BadRow, FactRow, NodeRow, Row
from reverie.errors import DataError, UnknownNameError
from reverie.memory.contract import Edge, Node
from reverie.memory.exchange import EXPORT_FORMATS, export, import_file
from reverie.memory.store import Store

ROWS: list[Row] = [
    FactRow("Egg", "IsA", "food, or not", confidence=0.5, time=12.0, source="a|b", origin="page 1"),
    FactRow("drop egg", "Causes", 'a "mess"', "action", "outcome", source=""),
    FactRow("Egg", "IsA", "food, or not", source="other"),
    FactRow("hound", "ChasedBy", "cat"),
    NodeRow("dog", aliases=("hound", "Rex | the dog", "é")),
    NodeRow("alone", aliases=("[", "a")),
    NodeRow("note", "passage", "line one\r\nline two\n\n\tand \x01 more", ("Notiz",)),
    NodeRow("lonely", "picture"),
]


@pytest.fixture
def store(address: str) -> Iterator[Store]:
    """On SQLite and on PostgreSQL."""
    with Store.open(address) as opened:
        opened.write(ROWS)
        yield opened


def told(store: Store) -> tuple[set[Any], set[Any]]:
    """All that a memory holds, without ids."""
    nodes = {node.id: node for batch in store.node_batches() for node in batch}
    edges = store.edges(store.edge_arrays().ids.tolist())
    facts = {(*_name(nodes[edge.subject]), *_name(nodes[edge.object]), *_said(edge)) for edge in edges}
    return facts, {(node.name, node.kind, node.text, node.aliases) for node in nodes.values()}


def _name(node: Node) -> tuple[str, str]:
    return node.name, node.kind


def _said(edge: Edge) -> tuple[str, str, str, float, float]:
    return edge.relation, edge.source, edge.origin, edge.confidence, edge.time


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_what_is_exported_imports_back_to_an_equal_memory(format: str, store: Store, tmp_path: Path) -> None:
    file = tmp_path / f"out.{format}"
    facts, nodes = export(store, file, format)
    assert (facts, nodes) == (len(told(store)[0]), len(told(store)[1]))
    with Store.open(tmp_path / "again.db") as again:
        done = import_file(again, file, format)
        assert told(again) == told(store)
        assert (done.bad_rows, done.new_nodes) == (0, nodes)
        export(again, tmp_path / "twice", format)
    assert (tmp_path / "twice").read_bytes() == file.read_bytes()
    assert not list(tmp_path.glob(".*.tmp"))


words = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from(' "|[],;\t\n\r'), min_size=1, max_size=6
)
names = words.filter(lambda name: name.strip() != "")
kinds = st.sampled_from(NODE_KINDS[:2])
rows = st.builds(
    FactRow,
    subject=names,
    relation=names,
    object=names,
    subject_kind=kinds,
    object_kind=kinds,
    source=words | st.just(""),
    confidence=st.floats(0, 1),
    time=st.none() | st.floats(0, 1e10),
) | st.builds(NodeRow, name=names, kind=kinds, text=words | st.just(""), aliases=st.lists(names, max_size=3).map(tuple))


@settings(max_examples=12, deadline=None)
@given(written=st.lists(rows, max_size=8), format=st.sampled_from(["csv", "jsonl"]))
def test_any_memory_survives_the_round_trip(
    written: list[Row], format: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("round")
    with Store.open(folder / "kg.db") as store, Store.open(folder / "again.db") as again:
        store.write(written)
        export(store, folder / "out", format)
        if told(store) != (set(), set()):
            import_file(again, folder / "out", format)
        assert told(again) == told(store)


def test_graphml_is_read_by_networkx(store: Store, tmp_path: Path) -> None:
    networkx = pytest.importorskip("networkx")
    export(store, tmp_path / "out.graphml", "graphml")
    graph = networkx.read_graphml(tmp_path / "out.graphml", force_multigraph=True)
    facts, nodes = told(store)
    read = {(data["name"], data["kind"]) for _, data in graph.nodes(data=True)}
    assert read == {(name, kind) for name, kind, _, _ in nodes}
    assert sorted(data["relation"] for *_, data in graph.edges(data=True)) == sorted(fact[4] for fact in facts)
    assert {data["confidence"] for *_, data in graph.edges(data=True)} == {0.5, 1.0}


def test_an_export_as_of_a_moment_holds_what_stood_then(store: Store, tmp_path: Path) -> None:
    then = time.time()
    before = sorted(fact.relation for fact in store.facts(store.edge_arrays().ids.tolist()))
    time.sleep(0.01)
    store.write(
        [FactRow("new", "IsA", "thing"), FactRow("drop egg", "Causes", 'a "mess"', "action", "outcome", confidence=0.1)]
    )
    store.delete_node(store.find("cat")[0].id)
    for format in EXPORT_FORMATS:
        assert export(store, tmp_path / "now", format)[0] == 4
        assert export(store, tmp_path / format, format, as_of=then)[0] == 4
    lines = [json.loads(line) for line in (tmp_path / "jsonl").read_text().splitlines()]
    facts = [line for line in lines if "relation" in line]
    assert sorted(fact["relation"] for fact in facts) == before
    assert all(fact.get("confidence", 1.0) != 0.1 for fact in facts)


def test_a_failed_export_leaves_the_old_file_and_nothing_else(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "out" / "facts.csv"
    file.parent.mkdir()
    file.write_text("old")

    def stop(what: str, done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(store, file, "csv", progress=stop)
    assert [path.name for path in file.parent.iterdir()] == ["facts.csv"]
    assert file.read_text() == "old"
    with pytest.raises(UnknownNameError, match=r"unknown export format 'csw'\. Did you mean 'csv'"):
        export(store, file, "csw")


# imports --------------------------------------------------------------------------------------------------------


def write_facts(path: Path, count: int, bad: int = 0) -> Path:
    lines = [f"egg {number % 997},IsA,thing {number}" for number in range(count)]
    for number in range(bad):
        lines[100 + number] = "egg,IsA"
    path.write_text("subject,relation,object\n" + "\n".join(lines) + "\n")
    return path


def test_malformed_rows_are_told_and_skipped(tmp_path: Path) -> None:
    bad: list[BadRow] = []
    seen: list[tuple[str, int, int]] = []
    with Store.open(tmp_path / "kg.db") as store:
        file = write_facts(tmp_path / "t.csv", 6000, bad=2)
        done = import_file(store, file, "csv", on_bad=bad.append, progress=lambda *told: seen.append(told))
        assert (done.rows, done.bad_rows, done.resumed, done.new_facts) == (5998, 2, 0, 5998)
    assert [row.line for row in bad] == [102, 103]
    assert seen == [("reading", 5000, 0), *(("writing", done, 5998) for done in (0, 5000, 5998))]


def test_strict_writes_nothing_where_a_row_is_malformed(tmp_path: Path) -> None:
    with Store.open(tmp_path / "kg.db") as store:
        with pytest.raises(DataError, match=r"t.csv, line 102: 2 columns .* Nothing was written"):
            import_file(store, write_facts(tmp_path / "t.csv", 12_000, bad=2), "csv", strict=True)
        assert store.seq() == 0
        assert store.stats()["edges"] == 0


def test_an_import_again_changes_nothing_and_brings_back_what_was_deleted(tmp_path: Path) -> None:
    with Store.open(tmp_path / "kg.db") as store:
        file = write_facts(tmp_path / "t.csv", 5000)
        import_file(store, file, "csv")
        seq = store.seq()
        again = import_file(store, file, "csv")
        assert (again.resumed, again.new_facts, again.changed_facts, store.seq()) == (0, 0, 0, seq)
        store.delete_edges([1, 2])
        assert import_file(store, file, "csv").new_facts == 2


def test_a_stopped_import_goes_on_where_it_stopped(address: str, tmp_path: Path) -> None:
    file = write_facts(tmp_path / "t.csv", 12_000, bad=1)

    def stop(what: str, done: int, of: int) -> None:
        if of and done == 5000:
            raise KeyboardInterrupt

    with Store.open(address) as store:
        with pytest.raises(KeyboardInterrupt):
            import_file(store, file, "csv", progress=stop)
        assert store.stats()["edges"] == 5000
        done = import_file(store, file, "csv")
        assert (done.resumed, done.rows, done.new_facts) == (5000, 11_999, 6999)
        assert store.stats()["edges"] == 11_999


def test_a_changed_file_is_another_import(tmp_path: Path) -> None:
    with Store.open(tmp_path / "kg.db") as store:

        def stop(what: str, done: int, of: int) -> None:
            if done == 5000 and of:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            import_file(store, write_facts(tmp_path / "t.csv", 6000), "csv", progress=stop)
        done = import_file(store, write_facts(tmp_path / "t.csv", 7000), "csv")
        assert (done.resumed, done.new_facts) == (0, 2000)


def test_an_import_that_was_killed_goes_on_and_loses_nothing(tmp_path: Path) -> None:
    file, address = write_facts(tmp_path / "t.csv", 30_000), tmp_path / "kg.db"
    command = [sys.executable, "-m", "reverie", "memory", "import", str(file), "--memory", str(address), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ))
    try:
        for _ in range(2000):
            if process.poll() is not None or _edges_in(address):
                break
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    written = _edges_in(address)
    assert written >= 5000
    assert written % 5000 == 0
    with Store.open(address) as store:
        assert store.check() == []
    done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout)
    if process.returncode == -signal.SIGKILL:
        assert done["resumed"] >= written
    assert (done["rows"], _edges_in(address)) == (30_000, 30_000)


def _edges_in(address: Path) -> int:
    if not address.exists():
        return 0
    import sqlite3

    connection = sqlite3.connect(address.as_uri() + "?mode=ro", uri=True, timeout=10)
    try:
        return int(connection.execute("SELECT count(*) FROM edges").fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # its tables are being made
    finally:
        connection.close()
