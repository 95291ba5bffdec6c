"""ATOMIC 2020: ``event, relation, effect`` between tabs; or ``event @@ relation``, then effects with bars between them.

Format: Hwang et al. 2021, "COMET-ATOMIC 2020" (arXiv:2010.05953).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from reverie.data.facts.contract import FactRow, OnBad, Row
from reverie.data.facts.lines import clean, rows_of_lines

__all__ = ["read_atomic"]

_OUTCOMES = {"xEffect", "oEffect", "xReact", "oReact", "Causes"}
_ACTIONS = {"xNeed", "xIntent", "xWant", "oWant", "isAfter", "isBefore", "HasSubEvent"}
_EVENTS = _OUTCOMES | _ACTIONS | {"xAttr", "xReason", "isFilledBy", "HinderedBy"}  # the others are about things


def read_atomic(path: Path, on_bad: OnBad) -> Iterator[Row]:
    """One fact for each effect that is not ``none``; an event is an action, what follows from it an outcome."""

    def parse(line: str) -> list[Row]:
        cells = [clean(cell) for cell in line.split("\t")]
        if len(cells) == 2 and " @@ " in cells[0]:
            head, _, relation = cells[0].rpartition(" @@ ")
            tails = [clean(tail) for tail in cells[1].split("|")]
        elif len(cells) == 3:
            head, relation, tails = cells[0], cells[1], cells[2:]
        else:
            raise ValueError(f"needs event, relation and effect between tabs, got {len(cells)} columns")
        kind = "outcome" if relation in _OUTCOMES else "action" if relation in _ACTIONS else "entity"
        begins = "action" if relation in _EVENTS else "entity"
        tails = [tail for tail in dict.fromkeys(tails) if tail not in ("", "none")]
        return [FactRow(head, relation, tail, begins, kind, source="atomic2020") for tail in tails]

    return rows_of_lines(path, on_bad, parse)
