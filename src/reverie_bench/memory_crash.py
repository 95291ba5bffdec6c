"""What a memory keeps when its writers are killed, when several write at once, and how fast writes become durable.

A child process writes batches and acknowledges each one that the store says is committed; it is killed with SIGKILL at
a random moment, while opening the memory or while writing. Then the memory must be sound, hold every acknowledged edge,
and hold every batch whole or not at all. (That the disk keeps what it was told to sync, no kill can show.)
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np

from reverie.data import FactRow
from reverie.errors import ConfigError, MemoryStoreError, ReverieError
from reverie.memory.store import Store
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings, Published

__all__ = ["BENCHMARK", "work"]

DATA = "the folder in which databases are made (of a disk whose fsync is one); without it a temporary folder"
KILLS, WRITERS, WRITERS_S = 100, 4, 30.0
_RUNS_A_DATABASE = 10
_LARGEST = 3000  # edges of a killed writer's batch
_LONGEST_S = 0.4  # from the first batch to the kill
_OPENING_S = (0.2, 1.2)  # from the start of the process to a kill that may come before the memory is open
_BATCH, _EDGES, _SINGLES = 5000, 1_000_000, 300  # of the rate
_NODES_AN_EDGE = 0.1


def run(settings: BenchConfig) -> Findings:
    kills = min(settings.limit or KILLS, KILLS)
    share = kills / KILLS
    if settings.data is not None and not settings.data.is_dir():
        raise ConfigError(f"there is no folder {settings.data}; give {DATA}")
    with tempfile.TemporaryDirectory(prefix="memory-crash-", dir=settings.data) as folder:
        killed = _kill_writers(Path(folder), kills, settings)
        together = _write_together(Path(folder), max(1.0, WRITERS_S * share), settings)
        rates, baselines = _rates(Path(folder), max(2 * _BATCH, int(_EDGES * share)), settings)
    return Findings(n=kills, figures={"kills": kills} | killed | together | rates, baselines=baselines)


# the child process ----------------------------------------------------------------------------------------------


def work(path: str, seed: int, writer: int, largest: int, seconds: float) -> None:
    """Write batches for so long; says on standard output when the memory is open, and the number of each batch."""
    with Store.open(path) as store:
        os.write(1, b"open\n")
        until = time.monotonic() + seconds
        for batch in count():
            if time.monotonic() > until:
                return
            store.write(_rows(seed, writer, batch, largest))
            os.write(1, b"%d\n" % batch)


def _size(seed: int, writer: int, batch: int, largest: int) -> int:
    return int(np.random.default_rng([seed, writer, batch]).integers(1, largest + 1))


def _rows(seed: int, writer: int, batch: int, largest: int) -> list[FactRow]:
    """New edges, and a new version of the one edge that every batch of this writer changes."""
    size = _size(seed, writer, batch, largest)
    rows = [FactRow(f"{writer} {batch}", "wrote", f"thing {number}", source="new") for number in range(size)]
    return [*rows, FactRow(f"writer {writer}", "came to", "its batch", source="changed", time=float(batch))]


@dataclass
class _Writer:
    """A started child, and what it has acknowledged once it has ended."""

    number: int
    process: subprocess.Popen[bytes]
    opened: bool = False
    batches: int = 0

    @classmethod
    def start(cls, path: Path, seed: int, number: int, largest: int, seconds: float) -> _Writer:
        arguments = f"{str(path)!r}, {seed}, {number}, {largest}, {seconds}"
        code = f"from reverie_bench.memory_crash import work; work({arguments})"
        command = [sys.executable, "-c", code]
        return cls(number, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE))

    def wait_until_open(self) -> None:
        assert self.process.stdout is not None
        self.opened = self.process.stdout.readline() == b"open\n"

    def end(self, kill: bool) -> None:
        if kill:
            self.process.kill()
        said, complaint = self.process.communicate()
        if complaint:
            raise ReverieError(f"a writer failed: {complaint.decode(errors='replace').strip().splitlines()[-1]}")
        lines = said.splitlines()
        if lines[:1] == [b"open"]:
            self.opened, lines = True, lines[1:]
        self.batches = len(lines)


# killing --------------------------------------------------------------------------------------------------------


@dataclass
class _Kept:
    """What a look at a memory found."""

    acknowledged: int = 0
    lost: int = 0
    torn: int = 0  # batches of which only a part is there
    extra: int = 0  # batches that were committed and could not be acknowledged any more
    problems: list[str] = field(default_factory=list)


def _kill_writers(folder: Path, kills: int, settings: BenchConfig) -> Figures:
    rng = np.random.default_rng([settings.seed, 1])
    total, unreadable, while_opening = _Kept(), 0, 0
    writers: list[_Writer] = []
    for number in range(kills):
        settings.progress("killing writers", number, kills)
        first = number % _RUNS_A_DATABASE == 0
        path = folder / f"{number // _RUNS_A_DATABASE}.db"
        if first:
            writers = []
        writer = _Writer.start(path, settings.seed, number, _LARGEST, 1000.0)
        try:
            if first:
                time.sleep(rng.uniform(*_OPENING_S))
            else:
                writer.wait_until_open()
                time.sleep(rng.uniform(0, _LONGEST_S))
        finally:
            writer.end(kill=True)
        while_opening += not writer.opened
        writers.append(writer)
        try:
            kept = _look(path, settings.seed, writers, _LARGEST)
        except MemoryStoreError:
            unreadable += 1
            continue
        unreadable += bool(kept.problems)
        if len(writers) == _RUNS_A_DATABASE or number == kills - 1:
            for name in ("acknowledged", "lost", "torn", "extra"):
                setattr(total, name, getattr(total, name) + getattr(kept, name))
            for file in folder.glob(f"{path.name}*"):
                file.unlink()
    settings.progress("killing writers", kills, kills)
    return {
        "kills_while_opening": while_opening,
        "acknowledged_edges": total.acknowledged,
        "lost_edges": total.lost,
        "torn_batches": total.torn,
        "unacknowledged_batches": total.extra,
        "unreadable": unreadable,
    }


def _look(path: Path, seed: int, writers: Sequence[_Writer], largest: int) -> _Kept:
    """Hold what is in the memory against what its writers acknowledged."""
    found = _Kept()
    with Store.open(path) as store:
        found.problems = store.check()
        names = {node.id: node.name for batch in store.node_batches() for node in batch}
        arrays = store.edge_arrays()
        wrote = store.relations().index("wrote") if len(arrays.ids) else 0
        things: dict[str, set[str]] = {}
        chosen = arrays.relations == wrote
        for subject, thing in zip(arrays.subjects[chosen].tolist(), arrays.objects[chosen].tolist()):
            things.setdefault(names[subject], set()).add(names[thing])
        came_to = {
            names[edge.subject]: edge.time for node in store.find("its batch") for edge in store.edges_of(node.id)
        }
    for writer in writers:
        changed = came_to.get(f"writer {writer.number}", -1.0)
        for batch in count():
            there = things.pop(f"{writer.number} {batch}", set())
            if batch >= writer.batches and not there:
                break
            wanted = {f"thing {number}" for number in range(_size(seed, writer.number, batch, largest))}
            found.torn += there != wanted or changed < batch
            if batch < writer.batches:
                found.acknowledged += len(wanted) + 1
                found.lost += len(wanted - there) + (changed < batch)
            else:
                found.extra += 1
    found.torn += len(things)  # whose writer never came so far
    return found


# several writers ------------------------------------------------------------------------------------------------


def _write_together(folder: Path, seconds: float, settings: BenchConfig) -> Figures:
    path, largest = folder / "together.db", 1000
    Store.open(path).close()
    writers = [_Writer.start(path, settings.seed, number, largest, seconds) for number in range(WRITERS)]
    try:
        settings.progress("writing from several processes", 0, 1)
    finally:
        for writer in writers:
            writer.end(kill=False)
    kept = _look(path, settings.seed, writers, largest)
    settings.progress("writing from several processes", 1, 1)
    return {
        "writers": WRITERS,
        "writers_acknowledged_edges": kept.acknowledged,
        "writers_lost_edges": kept.lost,
        "writers_problems": len(kept.problems) + kept.torn,
        "writers_edges_per_second": kept.acknowledged / seconds,
        "writers_fewest_batches": min(writer.batches for writer in writers),
    }


# how fast -------------------------------------------------------------------------------------------------------


def _rates(folder: Path, edges: int, settings: BenchConfig) -> tuple[Figures, dict[str, Figures]]:
    """Durable edges a second of the store in batches, one by one, and of bare SQLite without nodes, ids or history."""
    batches = list(_facts(edges, settings.seed))
    with Store.open(folder / "rate.db") as store:
        seconds = _timed(batches, store.write, "writing batches", settings)
    with Store.open(folder / "rate.db") as store:  # whose log is folded into the file now
        found = store.stats()
        singles = _timed(
            [[row] for row in batches[0][:_SINGLES]],
            lambda rows: store.write([FactRow(rows[0].subject, "single", rows[0].object)]),
            "writing one by one",
            settings,
        )
    with closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as bare:
        bare.execute("PRAGMA journal_mode = WAL")
        bare.execute("PRAGMA synchronous = FULL")
        bare.execute("CREATE TABLE edges (subject, relation, object, confidence, UNIQUE (subject, relation, object))")

        def write(rows: Sequence[FactRow]) -> None:
            bare.execute("BEGIN IMMEDIATE")
            bare.executemany(
                "INSERT INTO edges VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET confidence = excluded.confidence",
                [(row.subject, row.relation, row.object, row.confidence) for row in rows],
            )
            bare.execute("COMMIT")

        floor = _timed(batches, write, "writing to bare SQLite", settings)
    figures = {
        "edges_per_second": edges / sum(seconds),
        "slowest_batch_s": max(seconds),
        "seconds_per_write": statistics.median(singles),
        "bytes_per_edge": found["bytes_per_edge"],
    }
    baselines: dict[str, Figures] = {
        "one_by_one": {"edges_per_second": len(singles) / sum(singles)},
        "bare_sqlite": {"edges_per_second": edges / sum(floor)},
    }
    return figures, baselines


def _timed(
    batches: Sequence[Sequence[FactRow]],
    write: Callable[[Sequence[FactRow]], object],
    what: str,
    settings: BenchConfig,
) -> list[float]:
    seconds = []
    for place, rows in enumerate(batches):
        settings.progress(what, place, len(batches))
        started = time.perf_counter()
        write(rows)
        seconds.append(time.perf_counter() - started)
    settings.progress(what, len(batches), len(batches))
    return seconds


def _facts(edges: int, seed: int) -> Iterator[list[FactRow]]:
    """Random edges between a tenth as many nodes, in batches."""
    rng = np.random.default_rng([seed, 2])
    nodes = max(2, int(edges * _NODES_AN_EDGE))
    for start in range(0, edges, _BATCH):
        size = min(_BATCH, edges - start)
        ends, relations = rng.integers(0, nodes, (size, 2)).tolist(), rng.integers(0, 40, size).tolist()
        confidences = rng.random(size).round(2).tolist()
        yield [
            FactRow(f"node {a}", f"relation {relation}", f"node {b}", source="bench", confidence=confidence)
            for (a, b), relation, confidence in zip(ends, relations, confidences)
        ]


BENCHMARK = Benchmark(
    name="memory-crash",
    about="what a memory keeps when its writers are killed or write at once, and how fast writes become durable",
    run=run,
    data=DATA,
    published=(
        Published(
            "Graphiti",
            "seconds_per_write",
            12.0,
            "getzep/graphiti issue 186: a message through OpenAI's models, facts and entities extracted by them",
        ),
    ),
)
