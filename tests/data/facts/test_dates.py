"""Dates at any precision: the span that they name, how they are told, and which make no period."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverie.data import FactRow
from reverie.data.facts.dates import parse_span, told_moment, told_period
from reverie.data.facts.fields import row_of


@pytest.mark.parametrize(
    ("said", "first", "last"),
    [
        ("2024", "2024-01-01", "2025-01-01"),
        ("2024-02", "2024-02-01", "2024-03-01"),
        ("2024-12", "2024-12-01", "2025-01-01"),
        ("2024-02-29", "2024-02-29", "2024-03-01"),
        (" 0001 ", "0001-01-01", "0002-01-01"),
        ("2024-05-01T12:00", "2024-05-01T12:00:00Z", "2024-05-01T12:00:00Z"),
        ("2024-05-01T12:00:00+02:00", "2024-05-01T10:00:00Z", "2024-05-01T10:00:00Z"),
        (86_400, "1970-01-02", "1970-01-02"),
        ("86400.0", "1970-01-02", "1970-01-02"),
        (2024, "2024-01-01", "2025-01-01"),
    ],
)
def test_a_date_is_the_span_that_it_names(said: object, first: str, last: str) -> None:
    assert tuple(map(told_moment, parse_span(said))) == (first, last)
    assert parse_span("9999")[1] > parse_span("9999-12-30")[1]


@pytest.mark.parametrize(
    "said",
    [
        "",
        "soon",
        "2024-13",
        "2024-02-30",
        "44 BC",
        "-0044-01-01",
        "0000",
        "nan",
        "inf",
        "1e300",
        "-1e12",
        True,
        None,
        [],
    ],
)
def test_what_is_no_date_is_refused_in_one_line(said: object) -> None:
    with pytest.raises(ValueError, match=r"^a date ") as error:
        parse_span(said)
    assert "\n" not in str(error.value)


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)))
def test_a_day_is_told_as_it_is_read(when: datetime) -> None:
    day = when.date().isoformat()
    assert told_moment(parse_span(day)[0]) == day
    exact = when.replace(microsecond=0, tzinfo=UTC)
    assert parse_span(told_moment(exact.timestamp()))[0] == exact.timestamp()


def test_periods_are_told_by_their_last_day() -> None:
    first, last = parse_span("2024")[0], parse_span("2024-05")[1]
    assert told_period(first, last) == "from 2024-01-01 to 2024-05-31"
    assert told_period(first, None) == "from 2024-01-01 on"
    assert told_period(None, last) == "to 2024-05-31"
    assert told_period(None, None) == ""


def test_fields_may_be_called_from_and_to_and_must_be_in_order() -> None:
    row = row_of({"subject": "a", "relation": "is", "object": "b", "from": "2024", "to": "2024"})
    assert isinstance(row, FactRow)
    assert (row.valid_from, row.valid_to) == parse_span("2024")
    with pytest.raises(ValueError, match="it would end before it begins, from 2024-01-01 to 2022-12-31"):
        row_of({"subject": "a", "relation": "is", "object": "b", "valid_from": "2024", "valid_to": "2022"})
    with pytest.raises(ValueError, match="a date lies between"):
        FactRow("a", "is", "b", valid_from=float("nan"))
