"""WordNet as triples between tabs: ``head, _relation, tail``, by synset (``bank.n.01``), offset or word, as in WN18RR.

Format: Dettmers et al. 2018, "Convolutional 2D Knowledge Graph Embeddings" (arXiv:1707.01476).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from reverie.data.facts.contract import FactRow, NodeRow, OnBad, Row
from reverie.data.facts.lines import clean, rows_of_lines

__all__ = ["read_wordnet"]

_SYNSET = re.compile(r"(.+)\.[nvasr]\.\d\d?$")


def read_wordnet(path: Path, on_bad: OnBad) -> Iterator[Row]:
    """One fact a line; a synset keeps its name, so that senses stay apart, and its word becomes its alias."""
    seen: set[str] = set()

    def parse(line: str) -> list[Row]:
        cells = [clean(cell) for cell in line.split("\t")]
        if len(cells) != 3:
            raise ValueError(f"needs head, relation and tail between tabs, got {len(cells)} columns")
        head, relation, tail = cells
        rows: list[Row] = []
        names = []
        for name in (head, tail):
            synset = _SYNSET.match(name)
            names.append(name if synset else clean(name.replace("_", " ")))
            if synset and name not in seen:
                rows.append(NodeRow(name, aliases=(clean(synset[1].replace("_", " ")),), source="wordnet"))
        fact = FactRow(names[0], clean(relation.replace("_", " ")), names[1], source="wordnet")
        seen.update(names)
        return [*rows, fact]

    return rows_of_lines(path, on_bad, parse)
