"""Facts that change: what holds at a moment, which relations hold one value, and what time a question asks about."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from reverie.data import FactRow
from reverie.data.facts.dates import parse_span
from reverie.errors import UsageError
from reverie.memory.history import history_of
from reverie.memory.memory import Memory
from reverie.memory.moments import asked_span
from reverie.memory.periods import Held
from reverie.memory.store import Store
from reverie.memory.times import Times, TimesConfig, changes_of


def at(date: str) -> float:
    return parse_span(date)[0]


def place(where: str, begins: str | None, ends: str | None = None, **more: Any) -> FactRow:
    until = None if ends is None else at(ends)
    return FactRow("Alice", "AtLocation", where, valid_from=at(begins) if begins else None, valid_to=until, **more)


@pytest.fixture
def memory(store: Store) -> Memory:
    return Memory(store)


def holding(memory: Memory, question: str, as_of: str | None = None) -> list[str]:
    found = memory.recall(question, as_of=None if as_of is None else parse_span(as_of))
    return [fact.object for fact in found.facts if fact.holds]


def test_the_newest_place_comes_first_and_the_older_one_is_told_as_former(memory: Memory) -> None:
    memory.write([place("Paris", "2024-01-01")])
    memory.write([place("Berlin", "2025-01-01")])
    first, second = memory.recall("Where is Alice?").facts
    assert (first.object, first.holds, first.valid_to) == ("Berlin", True, None)
    assert (second.object, second.holds, second.valid_from, second.valid_to) == (
        *("Paris", False),
        *(at("2024"), at("2025")),
    )
    assert "former" in second.reason
    assert first.score > second.score
    assert holding(memory, "Where is Alice?", "2024-06-01") == ["Paris"]
    assert holding(memory, "Where was Alice in 2024?") == ["Paris"]
    assert holding(memory, "Where was Alice before 2025?") == ["Paris"]
    assert holding(memory, "Where was Alice in 2023?") == []
    assert holding(memory, "Where is Alice?", "2026-03") == ["Berlin"]


def test_a_value_that_returns_has_two_periods_in_whatever_order_it_arrives(memory: Memory) -> None:
    rows = [place("Berlin", "2022"), place("Paris", "2024"), place("Paris", "2020")]
    memory.write(rows)
    memory.write(rows[::-1])  # once more
    assert len(memory.store.edge_arrays().ids) == 3
    told = {year: holding(memory, "Where is Alice?", year) for year in ("2021", "2023", "2025")}
    assert told == {"2021": ["Paris"], "2023": ["Berlin"], "2025": ["Paris"]}


def test_an_end_leaves_a_gap_and_what_was_said_to_last_longer_comes_back(memory: Memory) -> None:
    memory.write([place("Paris", "2020", "2022"), place("Rome", "2023", "2026"), place("Oslo", "2024", "2025")])
    told = {year: holding(memory, "Where is Alice?", year) for year in ("2021-05", "2022-05", "2024-05", "2025-05")}
    assert told == {"2021-05": ["Paris"], "2022-05": [], "2024-05": ["Oslo"], "2025-05": ["Rome"]}


def test_an_end_alone_ends_the_fact_that_goes_on(memory: Memory) -> None:
    first = memory.write([place("Paris", "2020")])
    again = memory.write([place("Paris", None, "2022")])
    assert again.edges.tolist() == first.edges.tolist()
    assert memory.store.edges(first.edges.tolist())[0].valid_to == at("2022")
    assert [version.valid_to for version in memory.store.history(1)] == [None, at("2022")]


def test_what_is_not_trusted_ends_nothing_and_sources_that_agree_add_up(memory: Memory) -> None:
    memory.write([place("Paris", "2024", source="a"), place("Rome", "2025", source="b", confidence=0.4)])
    assert holding(memory, "Where is Alice?") == ["Paris"]
    note = next(fact.reason for fact in memory.recall("Where is Alice?").facts if fact.object == "Rome")
    assert "less trusted" in note
    memory.write([place("Rome", "2025-02", source="c", confidence=0.4)])
    assert set(holding(memory, "Where is Alice?")) == {"Rome"}


def test_a_source_that_contradicts_itself_is_told_so(memory: Memory) -> None:
    memory.write([place("Paris", "2024"), place("Rome", "2024")])
    facts = memory.recall("Where is Alice?").facts
    assert len(facts) == 2
    assert all("contradicted: its source says something else" in fact.reason for fact in facts)


def test_undated_facts_of_a_usual_relation_are_all_kept(memory: Memory) -> None:
    memory.write([place("Paris", None), place("Rome", None), place("Oslo", "2030")])
    assert set(holding(memory, "Where is Alice?")) == {"Paris", "Rome"}


def test_a_declared_relation_takes_the_last_that_was_written(memory: Memory) -> None:
    for price in ("10 euros", "12 euros"):
        memory.write([FactRow("widget", "Costs much", price)])
    assert set(holding(memory, "costs of the widget")) == {"10 euros", "12 euros"}
    mode = memory.store.declare_relation("costs MUCH", True)
    assert (mode.name, mode.one, mode.why) == ("Costs much", True, "declared")
    assert holding(memory, "costs of the widget") == ["12 euros"]
    memory.store.declare_relation("Costs much", False)
    assert set(holding(memory, "costs of the widget")) == {"10 euros", "12 euros"}
    with pytest.raises(UsageError, match=r"no relation 'Cost much'\. Did you mean 'Costs much'"):
        memory.store.declare_relation("Cost much", True)


@pytest.mark.parametrize(
    ("relation", "several", "dated", "one"),
    [("Tariff", 0, True, True), ("Tariff", 10, True, False), ("Tariff", 0, False, True), ("IsA", 0, True, False)],
)
def test_relations_are_learned_from_their_facts(
    relation: str, several: int, dated: bool, one: bool, tmp_path: Path
) -> None:
    """Of 120 subjects, some have two values at once, and others came to another one, if ``dated``."""
    rows = [FactRow(f"thing {n}", relation, f"value {n}", valid_from=at("2020")) for n in range(120)]
    rows += [FactRow(f"thing {n}", relation, f"other {n}", valid_from=at("2020")) for n in range(several)]
    if dated:
        rows += [FactRow(f"thing {n}", relation, f"later {n}", valid_from=at("2021")) for n in range(20, 40)]
    with Memory.open(tmp_path / "kg.db") as memory:
        memory.write(rows)
        memory.refresh()
        (mode,) = memory.store.relation_modes()
        assert (mode.one, mode.why) == (one, "learned" if one else "")


def test_what_denies_another_fact_is_told_as_a_contradiction(memory: Memory) -> None:
    memory.write([FactRow("cat", "Desires", "milk"), FactRow("cat", "NotDesires", "milk")])
    facts = memory.recall("What do cats like?").facts
    assert facts[0].relation == "Desires"
    assert "contradicted: NotDesires is said too" in facts[0].reason
    assert memory.recall("What do cats not like?").facts[0].relation == "NotDesires"


def test_a_history_is_in_the_order_of_time_with_what_was_said_before(memory: Memory) -> None:
    memory.write([place("Berlin", "2022"), place("Paris", "2020"), place("Oslo", "9000")])
    edge = int(memory.write([place("Rome", "2021")]).edges[0])
    memory.store.delete_edges([edge])
    told = history_of(memory.store, Times(), 1, "atlocation")
    assert [(fact.object, fact.holds) for fact in told.facts] == [("Paris", False), ("Berlin", True), ("Oslo", False)]
    assert [fact.object for fact in told.before] == ["Rome"]
    assert (told.relation, told.one, told.why) == ("AtLocation", True, "usual")
    assert history_of(memory.store, Times(), 1, "nothing").facts == ()


def test_a_clock_that_was_ahead_hides_nothing(memory: Memory) -> None:
    memory.write([FactRow("widget", "Price", "10 euros")])
    with memory.store._database.writing() as connection:
        connection.execute(text("UPDATE writes SET time = time + 1e9 WHERE seq = 1"))
    assert holding(memory, "price of the widget") == ["10 euros"]
    memory.write([FactRow("widget", "Price", "12 euros")])
    memory.store.declare_relation("Price", True)
    assert holding(memory, "price of the widget") == ["12 euros"]


EDGES = st.builds(
    Held,
    id=st.integers(1, 10**6),
    subject=st.just(1),
    relation=st.just(1),
    object=st.integers(1, 4),
    source=st.integers(1, 3),
    confidence=st.floats(0, 1),
    begins=st.integers(0, 20).map(float),
    ends=st.just(float("inf")),
    dated=st.just(True),
)


@given(st.lists(EDGES, min_size=1, max_size=12, unique_by=lambda held: held.id), st.randoms())
def test_changes_rise_and_do_not_depend_on_the_order_of_arrival(edges: list[Held], shuffle: Any) -> None:
    changes = changes_of(edges, TimesConfig())
    assert [change.begins for change in changes] == sorted({change.begins for change in changes})
    assert all(one.value != other.value for one, other in pairwise(changes))
    assert all(held.object == change.value for change in changes for held in change.edges)
    shuffle.shuffle(edges)
    assert changes_of(edges, TimesConfig()) == changes


@pytest.mark.parametrize(
    ("question", "first", "last"),
    [
        ("Where was Alice in 2024?", "2024", "2024"),
        ("Where was Alice on 2024-05-06?", "2024-05-06", "2024-05-06"),
        ("Where was Alice in May 2024?", "2024-05", "2024-05"),
        ("Where was Alice on the 6th of May 2024?", "2024-05-06", "2024-05-06"),
        ("Where was Alice on Sept. 6, 2024?", "2024-09-06", "2024-09-06"),
        ("Where will Alice be last year?", "2025", "2025"),
        ("Where was Alice last month?", "2026-02", "2026-02"),
    ],
)
def test_a_question_says_of_what_time_it_speaks(question: str, first: str, last: str) -> None:
    assert asked_span(question, at("2026-03-10")) == (at(first), parse_span(last)[1])


def test_a_question_that_speaks_of_no_time_asks_about_now() -> None:
    now = at("2026-03-10")
    for question in ("Where is Alice?", "Who made 2001: A Space Odyssey?", "in 12345", "on 2024-02-31", ""):
        assert asked_span(question, now) == (now, now)
    before, same = asked_span("Where was Alice before 2025?", now)
    assert before == same == at("2025") - 1
    assert asked_span("Where was Alice two years ago?", now)[0] == pytest.approx(at("2024-03-10"), abs=86_400)
    assert asked_span("Where has Alice been since 2025?", now) == (at("2025"), now + 1)
