"""JSON Lines: each line has the fields of a fact (subject, relation, object …) or of a node (name, kind, text …)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from reverie.data.facts.contract import OnBad, Row
from reverie.data.facts.fields import row_of
from reverie.data.facts.lines import only, rows_of_lines

__all__ = ["read_jsonl"]


def read_jsonl(path: Path, on_bad: OnBad) -> Iterator[Row]:
    """A line with the key ``name`` is a node, any other a fact; where no ``source`` is given the file's name is it."""

    def parse(line: str) -> list[Row]:
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"no JSON: {error.msg} at character {error.colno}") from error
        return [row_of(only(record, dict, "an object in braces"), path.name)]

    return rows_of_lines(path, on_bad, parse)
