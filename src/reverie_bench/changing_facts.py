"""Facts that change: things whose keeper, price or place changes up to five times, asked about at random times.

Several sources tell of the changes: registers, of which one is exact and others may be weeks late, or two neighbours
that nobody trusts alone; and gossip, which is wrong. Values return, some end and leave a gap, reports arrive in any
order, and a tenth of them is imported again. A fourth of the things have a relation that holds many values at a time:
there the older ones must not be dropped. An answer is the first fact recalled that holds at the time asked about;
``edges`` puts as many other facts around them.
"""

from __future__ import annotations

import csv
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reverie.data import FactRow
from reverie.data.facts.dates import told_moment
from reverie.errors import ConfigError
from reverie.memory.exchange import import_file
from reverie.memory.memory import Memory
from reverie.settings import load_settings
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings
from reverie_bench.figures import grouped, share

__all__ = ["BENCHMARK", "ChangingFactsConfig"]

_DAY = 86_400.0
_FIRST, _LAST = 1_420_070_400.0, 1_767_225_600.0  # 2015 up to 2026
_BATCH, _CLUTTER = 50, 20_000  # rows of a write
_SYLLABLES = "ba ko ri lum ta ven do sel pra mi nu gor he la zin fe to wa qui ser".split()
# relation → how one asks for it; whether it is declared, learned from the rows, or usual
_ONE = {
    "HasKeeper": ("Who is the keeper of {}{}?", "learned"),
    "HasTariff": ("What is the tariff of {}{}?", "declared"),
    "AtLocation": ("Where is {}{}?", "usual"),
}
_MANY = "HasGuest"
_ASK_MANY = "Who are the guests of {}{}?"


@dataclass(frozen=True)
class ChangingFactsConfig:
    """What one can set: ``reverie bench changing-facts edges=1000000``."""

    facts: int = 1_000  # things with one changing fact each
    changes: int = 5  # most changes of one
    questions: int = 1_000
    edges: int = 20_000  # other facts around them
    gossip: float = 0.4  # share of things that gossip tells something wrong about
    echo: float = 0.2  # share of gossip that a second one repeats
    neighbours: float = 0.15  # share of changes of which two neighbours tell instead of registers
    again: float = 0.1  # share of reports that are imported again

    def __post_init__(self) -> None:
        if min(self.facts, self.questions) < 4 or self.changes < 0 or self.edges < 0:
            raise ConfigError(f"the benchmark changing-facts needs 4 facts and questions at least, got {self}")
        if not all(0 <= part <= 1 for part in (self.gossip, self.echo, self.neighbours, self.again)):
            raise ConfigError(f"the benchmark changing-facts: shares lie between 0 and 1, got {self}")


@dataclass(frozen=True)
class _Value:
    """What a thing's relation was from one moment up to another, None: to this day."""

    name: str
    begins: float
    ends: float | None = None

    def holds(self, moment: float) -> bool:
        return self.begins <= moment and (self.ends is None or moment < self.ends)


@dataclass(frozen=True)
class _Thing:
    name: str
    relation: str
    values: tuple[_Value, ...]

    def at(self, moment: float) -> set[str]:
        return {value.name for value in self.values if value.holds(moment)}


@dataclass(frozen=True)
class _Asked:
    thing: _Thing
    moment: float
    how: str  # "as_of", "words" or "now"
    said: tuple[str, ...]  # what was recalled and holds, best first
    seconds: float
    cpu_s: float

    @property
    def right(self) -> bool:
        """The first is the one that holds; where several do, all are told; where none does, nothing is."""
        true = self.thing.at(self.moment)
        if self.thing.relation == _MANY:
            return true == set(self.said)
        return set(self.said[:1]) == true


def run(settings: BenchConfig) -> Findings:
    options = load_settings(ChangingFactsConfig, None, settings.options)
    rng = np.random.default_rng([settings.seed, 12])
    things = [_thing(rng, number, options) for number in range(options.facts)]
    reports = [row for thing in things for row in _reports(rng, thing, options)]
    arrived = [reports[place] for place in rng.permutation(len(reports))]
    with tempfile.TemporaryDirectory(prefix="changing-") as folder, Memory.open(Path(folder) / "kg.db") as memory:
        for rows in _clutter(rng, options.edges):
            memory.write(rows)
            settings.progress("writing", 0, 0)
        started = time.perf_counter()
        for start in range(0, len(arrived), _BATCH):
            memory.write(arrived[start : start + _BATCH])
        write_s = time.perf_counter() - started
        again = [arrived[place] for place in rng.permutation(len(arrived))[: int(options.again * len(arrived))]]
        _import_again(memory, Path(folder) / "again.csv", again)
        memory.store.declare_relation("HasTariff", True)
        memory.recall("warm up")
        asked = list(_ask(memory, rng, things, options, settings))
        learned = {mode.name for mode in memory.store.relation_modes() if mode.why == "learned" and mode.one}
    arrived += again
    one = [each for each in asked if each.thing.relation != _MANY]
    rivals = {name: _rival(one, arrived, choose) for name, choose in _RIVALS.items()}
    ms = [1e3 * each.seconds for each in asked]
    return Findings(
        n=len(asked),
        figures={
            "accuracy": share(each.right for each in one),
            "many_accuracy": share(each.right for each in asked if each.thing.relation == _MANY),
            "recall_ms": float(np.median(ms)),
            "recall_p95_ms": float(np.quantile(ms, 0.95)),
            "recall_cpu_ms": 1e3 * float(np.median([each.cpu_s for each in asked])),
            "write_ms_per_report": 1e3 * write_s / len(reports),
        },
        by=grouped(asked, _kind, _count) | grouped(asked, lambda each: f"asked_{each.how}", _count),
        baselines=rivals,
        settings={
            "facts": options.facts,
            "reports": len(arrived),
            "edges": options.edges,
            "learned": sorted(learned & {*_ONE, _MANY}),
        },
    )


def _kind(asked: _Asked) -> str:
    if not asked.thing.at(asked.moment):
        return "nothing_holds"
    if asked.thing.relation == _MANY:
        return "many"
    names = [value.name for value in asked.thing.values if value.begins <= asked.moment]
    return "returned" if names.count(names[-1]) > 1 else _ONE[asked.thing.relation][1]


def _count(asked: Sequence[_Asked]) -> Figures:
    return {"accuracy": share(each.right for each in asked)}


# what is true, and what is told ---------------------------------------------------------------------------------


def _name(rng: np.random.Generator, count: int) -> str:
    return "".join(rng.choice(_SYLLABLES, count)).capitalize()


def _thing(rng: np.random.Generator, number: int, options: ChangingFactsConfig) -> _Thing:
    name = f"{_name(rng, 3)} {_name(rng, 2)} {number}"
    count = 1 + int(rng.integers(0, options.changes + 1))
    days = np.sort(rng.choice(int((_LAST - _FIRST) / _DAY / 90), count, replace=False)) * 90 + rng.integers(0, 30)
    begins = [_FIRST + _DAY * float(day) for day in days]
    if number % 4 == 3:
        begins = [begins[0] if place and rng.random() < 0.4 else moment for place, moment in enumerate(begins)]
        names = dict.fromkeys(_name(rng, 3) + " House" for _ in begins)
        return _Thing(name, _MANY, tuple(_Value(one, moment) for one, moment in zip(names, begins)))
    names_of: list[str] = []
    for _ in begins:
        back = names_of[:-1]
        fresh = f"{_name(rng, 3)} Lodge"
        names_of.append(back[int(rng.integers(len(back)))] if back and rng.random() < 0.2 else fresh)
    values = []
    for place, (one, moment) in enumerate(zip(names_of, begins)):
        after = begins[place + 1] if place + 1 < count else None
        if rng.random() < 0.1:  # it ends before another begins, and nobody knows what was then
            after = min(after or _LAST, moment + 45 * _DAY)
        values.append(_Value(one, moment, after))
    return _Thing(name, list(_ONE)[number % 4], tuple(values))


def _reports(rng: np.random.Generator, thing: _Thing, options: ChangingFactsConfig) -> Iterator[FactRow]:
    """What the sources say of a thing. An end is told where nothing follows on it, and sometimes elsewhere."""
    for place, value in enumerate(thing.values):
        after = thing.values[place + 1].begins if place + 1 < len(thing.values) else None
        ended = value.ends is not None and (value.ends != after or rng.random() < 0.2)
        exact, near = int(rng.integers(3)), rng.random() < options.neighbours
        others = {0, 1} if near else {exact, *(int(one) for one in rng.integers(3, size=2) if rng.random() < 0.4)}
        for source in others:
            late = 0 if near or source == exact else int(rng.integers(0, 40))
            yield FactRow(
                *(thing.name, thing.relation, value.name),
                source=f"neighbour {source}" if near else f"register {source}",
                confidence=float(rng.uniform(0.4, 0.48) if near else rng.uniform(0.8, 1.0)),
                valid_from=value.begins + late * _DAY,
                valid_to=value.ends if ended else None,
            )
    if thing.relation != _MANY and rng.random() < options.gossip:
        told = _FIRST + _DAY * float(rng.integers(0, int((_LAST - _FIRST) / _DAY)))
        wrong = f"{_name(rng, 3)} Lodge"
        for source in range(2 if rng.random() < options.echo else 1):
            yield FactRow(
                *(thing.name, thing.relation, wrong),
                source=f"gossip {source}",
                confidence=float(rng.uniform(0.1, 0.35)),
                valid_from=told,
            )


def _clutter(rng: np.random.Generator, edges: int) -> Iterator[list[FactRow]]:
    """Other facts, undated, of relations that a question may share a word with."""
    names = [f"{_name(rng, 3)} {_name(rng, 2)} annex {number}" for number in range(max(2, edges // 10))]
    relations = ("IsA", "RelatedTo", "AtLocation", "PartOf", "Supplies")
    for start in range(0, edges, _CLUTTER):
        count = min(_CLUTTER, edges - start)
        ends = rng.integers(0, len(names), (count, 2))
        which = rng.integers(0, len(relations), count)
        yield [FactRow(names[a], relations[r], names[b], source="a map") for (a, b), r in zip(ends.tolist(), which)]


def _import_again(memory: Memory, path: Path, rows: Sequence[FactRow]) -> None:
    """A tenth of the reports once more, as a file of dates."""
    if not rows:
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["subject", "relation", "object", "source", "confidence", "from", "to"])
        for row in rows:
            until = "" if row.valid_to is None else told_moment(row.valid_to - _DAY)  # a day, which it includes
            table.writerow(
                [
                    row.subject,
                    row.relation,
                    row.object,
                    row.source,
                    row.confidence,
                    told_moment(row.valid_from or 0),
                    until,
                ]
            )
    import_file(memory.store, path, "csv", strict=True)


# asking ---------------------------------------------------------------------------------------------------------


def _ask(
    memory: Memory,
    rng: np.random.Generator,
    things: Sequence[_Thing],
    options: ChangingFactsConfig,
    settings: BenchConfig,
) -> Iterator[_Asked]:
    count = settings.limit or options.questions
    for number in range(count):
        thing = things[int(rng.integers(len(things)))]
        first = thing.values[0].begins
        moment = first + _DAY * float(rng.integers(0, int((_LAST - first) / _DAY)))
        how = ("as_of", "words", "as_of", "now")[number % 4]
        moment = time.time() if how == "now" else moment
        form = _ASK_MANY if thing.relation == _MANY else _ONE[thing.relation][0]
        question = form.format(thing.name, f" on {told_moment(moment)}" if how == "words" else "")
        started = time.process_time()
        found = memory.recall(question, 12, as_of=moment if how == "as_of" else None)
        cpu_s = time.process_time() - started
        about = [fact for fact in found.facts if fact.holds and fact.relation == thing.relation]
        said = tuple(dict.fromkeys(fact.object for fact in about if fact.subject == thing.name))
        settings.progress("asking", number + 1, count)
        yield _Asked(thing, moment, how, said, found.seconds, cpu_s)


# rivals ---------------------------------------------------------------------------------------------------------


def _rival(
    asked: Sequence[_Asked], arrived: Sequence[FactRow], choose: Callable[[Sequence[FactRow], float], FactRow | None]
) -> Figures:
    """What a simpler memory of the same reports, in the same order, would say."""
    told: dict[str, list[FactRow]] = {}
    for row in arrived:
        told.setdefault(row.subject, []).append(row)
    chosen = [(each, choose(told[each.thing.name], each.moment)) for each in asked]
    return {"accuracy": share(({row.object} if row else set()) == each.thing.at(each.moment) for each, row in chosen)}


def _newest(rows: Sequence[FactRow], moment: float) -> FactRow | None:
    begun = [row for row in rows if (row.valid_from or 0) <= moment]
    return max(begun, key=lambda row: row.valid_from or 0, default=None)


def _newest_good(rows: Sequence[FactRow], moment: float) -> FactRow | None:
    """The newest of those that are trusted, which knows their ends too: what one would write by hand."""
    good = _newest([row for row in rows if row.confidence >= 0.5], moment)
    return good if good and (good.valid_to is None or moment < good.valid_to) else None


_RIVALS: dict[str, Callable[[Sequence[FactRow], float], FactRow | None]] = {
    "last_written_wins": lambda rows, moment: rows[-1],
    "all_values_first": lambda rows, moment: rows[0],
    "newest_date_wins": _newest,
    "newest_good_by_hand": _newest_good,
}

BENCHMARK = Benchmark(
    name="changing-facts",
    about="facts that change up to five times, told by several sources in any order, asked about at random times",
    run=run,
    options=ChangingFactsConfig,
)
