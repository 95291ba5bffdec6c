"""The time that a question asks about, from its own words: "in 2024", "before May 2023", "two years ago"."""

from __future__ import annotations

import re
import time
from calendar import month_name
from datetime import UTC, datetime, timedelta

from reverie.data.facts.dates import parse_span

__all__ = ["asked_span"]

_MONTHS = {name[:3].casefold(): number for number, name in enumerate(month_name) if name}
_MONTH = rf"(?P<month>{'|'.join(f'{name[:3]}(?:{name[3:]}|t)?' for name in month_name if name)})\.?"
_DAY = r"(?P<day>[0-3]?\d)(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>[12]\d{3})"
_FORMS = (
    r"(?P<iso>[12]\d{3}-\d\d(?:-\d\d)?)(?![\d-])",
    rf"(?:the )?{_DAY}(?: of)? {_MONTH},? {_YEAR}\b",
    rf"{_MONTH} {_DAY},? {_YEAR}\b",
    rf"{_MONTH},? (?:of )?{_YEAR}\b",
    rf"(?:the year )?{_YEAR}\b(?![-\d])",
)
_BEFORE_DATE = r"(?P<word>in|on|at|during|as of|by|until|till|before|after|since|around|for|back in|early in|late in)"
_SAID = tuple(re.compile(rf"\b{_BEFORE_DATE} {form}", re.I) for form in _FORMS)
_NUMBERS = {word: number for number, word in enumerate("zero one two three four five six seven eight nine ten".split())}
_UNITS = {"day": 1.0, "week": 7.0, "month": 30.44, "year": 365.2425}
_AGO = re.compile(rf"\b(?P<count>\d{{1,4}}|an?|{'|'.join(_NUMBERS)}) (?P<unit>{'|'.join(_UNITS)})s? ago\b", re.I)
_NEAR = re.compile(r"\b(?:(?P<which>last|this|next) (?P<unit>year|month)|(?P<day>yesterday|tomorrow))\b", re.I)


def asked_span(question: str, now: float | None = None) -> tuple[float, float]:
    """The span of time (seconds since 1970) that ``question`` speaks of; where it speaks of none, the moment ``now``.

    A date counts after a word that makes it one ("in 2024"): a number alone may be a name. "before" means the moment
    before it, "after" and "since" what came from then on.
    """
    now = time.time() if now is None else now
    for pattern in _SAID:
        if found := pattern.search(question):
            try:
                first, last = parse_span(_iso(found.groupdict()))
            except ValueError:  # the 31st of February
                continue
            word = found["word"].lower()
            if word == "before":
                return first - 1, first - 1
            if word in ("after", "since"):
                return (last if word == "after" else first), max(now, last) + 1
            return first, last
    return _relative(question, now) or (now, now)


def _iso(found: dict[str, str | None]) -> str:
    if found.get("iso"):
        return str(found["iso"])
    parts = [str(found["year"])]
    if month := found.get("month"):
        parts.append(f"{_MONTHS[month[:3].casefold()]:02d}")
    if day := found.get("day"):
        parts.append(f"{int(day):02d}")
    return "-".join(parts)


def _relative(question: str, now: float) -> tuple[float, float] | None:
    if ago := _AGO.search(question):
        said = ago["count"].lower()
        count = int(said) if said.isdigit() else _NUMBERS.get(said, 1)
        moment = now - 86_400 * count * _UNITS[ago["unit"].lower()]
        return moment, moment
    if not (near := _NEAR.search(question)):
        return None
    today = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=now)
    if near["day"]:
        moment = now + (86_400 if near["day"].lower() == "tomorrow" else -86_400)
        return moment, moment
    step = {"last": -1, "this": 0, "next": 1}[near["which"].lower()]
    if near["unit"].lower() == "year":
        return parse_span(f"{today.year + step:04d}")
    months = today.year * 12 + today.month - 1 + step
    return parse_span(f"{months // 12:04d}-{months % 12 + 1:02d}")
