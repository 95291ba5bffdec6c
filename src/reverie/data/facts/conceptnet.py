"""ConceptNet: ``relation, head, tail[, weight]`` between tabs (CN-100K, CN-82K), or the assertions of ConceptNet 5.

Formats: Li et al. 2016, "Commonsense Knowledge Base Completion"; github.com/commonsense/conceptnet5, wiki "Downloads".
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path

from reverie.data.facts.contract import FactRow, OnBad, Row
from reverie.data.facts.lines import clean, only, rows_of_lines
from reverie.errors import shorten

__all__ = ["read_conceptnet"]


def read_conceptnet(path: Path, on_bad: OnBad, *, languages: Collection[str] = ("en",)) -> Iterator[Row]:
    """One fact a line. A weight of 1, one source that ConceptNet trusts, or more is full confidence.

    ``languages``: of assertions only those between terms of these are read ("all": of any); links to other web sites
    (ExternalURL) are left out.
    """

    def parse(line: str) -> list[Row]:
        cells = line.split("\t")
        if cells[0].startswith("/a/"):
            return _assertion(cells, languages)
        if len(cells) not in (3, 4):
            raise ValueError(f"needs relation, head, tail and perhaps a weight between tabs, got {len(cells)} columns")
        relation, head, tail = map(clean, cells[:3])
        return [FactRow(head, relation, tail, source="conceptnet", confidence=_confidence(*cells[3:]))]

    return rows_of_lines(path, on_bad, parse)


def _assertion(cells: list[str], languages: Collection[str]) -> list[Row]:
    if len(cells) != 5:
        raise ValueError(f"an assertion has 5 columns between tabs, got {len(cells)}")
    _, relation, head, tail, about = cells
    if not relation.startswith("/r/"):
        raise ValueError(f"a relation starts with /r/, got '{shorten(relation, 40)}'")
    if relation == "/r/ExternalURL":
        return []
    (language, subject), (other, object_) = _term(head), _term(tail)
    if "all" not in languages and not {language, other} <= set(languages):
        return []
    try:
        known = only(json.loads(about), dict, "an object in braces")
    except json.JSONDecodeError as error:
        raise ValueError(f"its metadata is no JSON: {error.msg}") from error
    origin = clean(known.get("dataset", ""))
    confidence = _confidence(known.get("weight", 1.0))
    return [FactRow(subject, relation[3:], object_, source="conceptnet", confidence=confidence, origin=origin)]


def _term(uri: str) -> tuple[str, str]:
    """/c/en/hot_dog/n → ("en", "hot dog")."""
    parts = uri.split("/")
    if len(parts) < 4 or parts[:2] != ["", "c"]:
        raise ValueError(f"a term is like /c/en/word, got '{shorten(uri, 40)}'")
    return parts[2], clean(parts[3].replace("_", " "))


def _confidence(weight: object = 1.0) -> float:
    try:
        number = float(weight)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise ValueError(f"a weight is a number, got {shorten(repr(weight), 40)}") from error
    if not number >= 0:
        raise ValueError(f"a weight is at least 0, got {number}")
    return min(number, 1.0)
