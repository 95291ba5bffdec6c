"""Dates of facts: read at any precision, told again, and the order that a beginning and an end must have.

A date is the span of time that it names, from its first moment up to the first one after it: "2024" is that whole year.
Moments are seconds since 1970 (UTC).
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

from reverie.errors import shorten

__all__ = ["YEAR_ONE", "check_period", "parse_span", "told_moment", "told_period"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
YEAR_ONE = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()
_LAST = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH).total_seconds()
_DAY = 86_400.0
_DATE = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?")
_SHORT = re.compile(r"-?\d{1,4}|-\d{1,6}")  # rather a mistyped year than seconds
_BEFORE = re.compile(r"-\d|.*\bB\.?C\.?E?\b", re.I)


def parse_span(said: object) -> tuple[float, float]:
    """The first moment of a date and the first one after it; the same one twice where it is a moment, not a day.

    ``said``: ISO 8601 of any precision (2024, 2024-05, 2024-05-01, 2024-05-01T12:00+02:00), UTC where it names no zone,
    or a number of seconds since 1970, which has more than four digits. Raises ValueError.
    """
    words = str(said).strip()
    try:
        if found := _DATE.fullmatch(words):
            year, month, day = (int(part) if part else 0 for part in found.groups())
            first = datetime(year, month or 1, day or 1, tzinfo=UTC)
            return _seconds(first), _after(first, bool(month), bool(day))
        if isinstance(said, bool) or said is None or (isinstance(said, str) and _SHORT.fullmatch(words)):
            raise ValueError
        if (number := _number(words)) is not None:
            check_period(number, None)
            return number, number
        moment = datetime.fromisoformat(words)
    except ValueError as error:
        if _BEFORE.match(words) or words.startswith("0000"):
            raise ValueError(f"a date lies between the years 1 and 9999, got '{shorten(words, 40)}'") from error
        raise ValueError(f"a date is like 2024, 2024-05 or 2024-05-01, got '{shorten(words, 40)}'") from error
    exact = _seconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    return exact, exact


def check_period(valid_from: float | None, valid_to: float | None) -> None:
    """Raise ValueError on moments that no calendar has, and on an end that does not come after its beginning."""
    for moment in (valid_from, valid_to):
        if moment is not None and not (math.isfinite(moment) and YEAR_ONE <= moment <= _LAST + _DAY):
            raise ValueError(f"a date lies between the years 1 and 9999, got {moment:g} seconds since 1970")
    if valid_from is not None and valid_to is not None and valid_to <= valid_from:
        raise ValueError(f"it would end before it begins, {told_period(valid_from, valid_to)}; swap them")


def told_moment(moment: float) -> str:
    """As ISO 8601: a day where it is the first moment of one, else to the second."""
    when = _EPOCH + timedelta(seconds=moment)
    if (when.hour, when.minute, when.second) == (0, 0, 0):
        return when.date().isoformat()
    return f"{when.replace(tzinfo=None, microsecond=0).isoformat()}Z"


def told_period(valid_from: float | None, valid_to: float | None) -> str:
    """ "from 2024-01-01 to 2024-12-31", "from 2031-01-01 on", "to 2024-12-31", or nothing. An end is told by the last
    day that it leaves whole."""
    begins = "" if valid_from is None else f"from {told_moment(valid_from)}"
    if valid_to is None:
        return begins and f"{begins} on"
    last = valid_to - _DAY if valid_to % _DAY == 0 else valid_to
    return f"{begins} to {told_moment(max(last, YEAR_ONE))}".strip()


def _after(first: datetime, month: bool, day: bool) -> float:
    if day:
        return _seconds(first) + _DAY
    year, number = (first.year, first.month + 1) if month else (first.year + 1, 1)
    year, number = (year + 1, 1) if number > 12 else (year, number)
    return _seconds(first.replace(year=year, month=number)) if year <= 9999 else _LAST + _DAY


def _number(words: str) -> float | None:
    try:
        return float(words)
    except ValueError:
        return None


def _seconds(moment: datetime) -> float:
    return (moment - _EPOCH).total_seconds()
