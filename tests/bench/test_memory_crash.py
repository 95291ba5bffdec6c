"""Killed writers: a small run of the benchmark, and that it would see what was lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from reverie.errors import ConfigError, ReverieError
from reverie.memory.store import Store
from reverie_bench import BenchConfig, memory_crash, run_benchmark


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, memory_crash._Writer]:
    """A memory with two acknowledged batches of one writer that is not killed."""
    path = tmp_path / "kg.db"
    writer = memory_crash._Writer.start(path, 0, 3, 20, 0.5)
    writer.end(kill=False)
    assert writer.opened
    assert writer.batches > 2
    return path, writer


def test_what_was_acknowledged_is_there(written: tuple[Path, memory_crash._Writer]) -> None:
    path, writer = written
    kept = memory_crash._look(path, 0, [writer], 20)
    assert (kept.lost, kept.torn, kept.extra, kept.problems) == (0, 0, 0, [])
    assert kept.acknowledged == sum(memory_crash._size(0, 3, batch, 20) + 1 for batch in range(writer.batches))


def test_what_was_lost_is_seen(written: tuple[Path, memory_crash._Writer]) -> None:
    path, writer = written
    with Store.open(path) as store:
        store.delete_edges([1])
    kept = memory_crash._look(path, 0, [writer], 20)
    assert (kept.lost, kept.torn) == (1, 1)
    writer.batches += 1  # one that was never written
    assert memory_crash._look(path, 0, [writer], 20).lost > 2


def test_a_writer_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "kg.db").write_text("no database")
    writer = memory_crash._Writer.start(tmp_path / "kg.db", 0, 0, 20, 1.0)
    with pytest.raises(ReverieError, match=r"a writer failed: .*it is no SQLite database"):
        writer.end(kill=False)


def test_the_folder_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        run_benchmark("memory-crash", BenchConfig(data=tmp_path / "nowhere"))


@pytest.mark.slow
def test_killed_writers_lose_nothing(tmp_path: Path) -> None:
    report = run_benchmark("memory-crash", BenchConfig(data=tmp_path, limit=3))
    figures = report.figures
    assert report.n == figures["kills"] == 3
    assert figures["acknowledged_edges"] > 0
    assert figures["writers_acknowledged_edges"] > 0
    for name in ("lost_edges", "torn_batches", "unreadable", "writers_lost_edges", "writers_problems"):
        assert figures[name] == 0
    assert set(report.baselines) == {"one_by_one", "bare_sqlite"}
    assert not list(tmp_path.iterdir())
