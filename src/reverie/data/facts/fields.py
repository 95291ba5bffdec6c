"""Rows from named fields, as the columns of a CSV file and the keys of a JSON line give them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from reverie.data.facts.contract import FactRow, NodeRow, Row
from reverie.data.facts.dates import parse_span
from reverie.errors import nearest, shorten

__all__ = ["FACT_FIELDS", "NODE_FIELDS", "SHORT", "parse_time", "row_of"]

FACT_FIELDS = tuple(field.name for field in dataclasses.fields(FactRow))
SHORT = {"from": "valid_from", "to": "valid_to"}  # how the ends of a period may be called
NODE_FIELDS = tuple(field.name for field in dataclasses.fields(NodeRow))


def row_of(fields: Mapping[str, Any], source: str = "") -> Row:
    """A NodeRow where ``name`` is given, else a FactRow; ``source`` is who says so where the fields do not.

    Raises ValueError on a field that is unknown, missing or cannot have its value.
    """
    fields = {SHORT.get(name, name): value for name, value in fields.items()}
    kind, known = (NodeRow, NODE_FIELDS) if "name" in fields else (FactRow, FACT_FIELDS)
    for name in fields:
        if name not in known:
            near = nearest(name, known)
            raise ValueError(f"unknown field '{shorten(name, 40)}'" + (f"; did you mean '{near}'?" if near else ""))
    for name in known[:1] if kind is NodeRow else known[:3]:
        if name not in fields:
            raise ValueError(f"the field '{name}' is missing")
    return kind(**{"source": source, **{name: _value(name, value) for name, value in fields.items()}})


def parse_time(said: object) -> float:
    """Seconds since 1970 from a number or an ISO 8601 date (UTC where it names no zone), or ValueError."""
    if isinstance(said, str):
        try:
            return float(said)
        except ValueError:
            pass
        try:
            moment = datetime.fromisoformat(said.strip())
        except ValueError as error:
            raise ValueError(f"time is in seconds since 1970 or like 2026-01-31, got '{shorten(said, 40)}'") from error
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return _number("time", said)


def _value(name: str, value: Any) -> Any:
    if name == "time":
        return None if value is None else parse_time(value)
    if name in ("valid_from", "valid_to"):
        return None if value is None else parse_span(value)[name == "valid_to"]
    if name == "confidence":
        return _number(name, value)
    if name == "position":
        number = _number(name, value)
        if number != int(number) or not 0 <= number < 2**31:
            raise ValueError(f"position counts from 0, got {shorten(repr(value), 40)}")
        return int(number)
    if name == "aliases":
        if not isinstance(value, list) or not all(isinstance(alias, str) for alias in value):
            raise ValueError(f"aliases is a list of names, got {shorten(repr(value), 40)}")
        return tuple(value)
    if not isinstance(value, str):
        raise ValueError(f"{name} is words, got {shorten(repr(value), 40)}")
    return value


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{name} is a number, got {shorten(repr(value), 40)}")
    try:
        return float(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name} is a number, got '{shorten(str(value), 40)}'") from error
