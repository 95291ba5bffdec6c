"""Does a base read a passage: what it answers, in its words, and nothing else?

Short made-up passages with questions that they answer, and as many about the same things that they do not. The probe of
``dreaming.spans`` was fitted on part dev; figures are of part test, other passages by the same author.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings
from reverie_bench.figures import share
from reverie_bench.rows import chunks, packaged_rows, thin

__all__ = ["BENCHMARK"]

DATA = 'rows of its own, or a JSON-lines file of {"passage": "...", "asked": [["question", "answer, or null"], ...]}'


@dataclass(frozen=True)
class Row:
    passage: str
    question: str
    answer: str  # "" where the passage has none
    part: str


@dataclass(frozen=True)
class Told:
    row: Row
    text: str  # "" where nothing was said

    @property
    def right(self) -> bool:
        return bool(self.row.answer) and self.row.answer.lower() in self.text.lower()


def run(settings: BenchConfig) -> Findings:
    from reverie.bundles.loading import open_words
    from reverie.dreaming.reading import ReadingConfig, read
    from reverie.nouns import SAYS, Fact

    rows = _rows(settings)
    name = "smol" if settings.model == "nano" else settings.model
    speaker = open_words(name).speaker
    ways = {"probe": ReadingConfig(), "always": ReadingConfig(sure=0.0)}
    told: dict[str, list[Told]] = {way: [] for way in ways}
    for (row,) in chunks(rows, 1, "reading", settings.progress):
        passage = Fact("a passage", SAYS, row.passage, "a passage")
        for way, config in ways.items():
            said = read(speaker, row.question, [passage], config)
            told[way].append(Told(row, said.text if said else ""))
    test, always = ([one for one in told[way] if one.row.part != "dev"] or told[way] for way in ways)
    return Findings(
        n=len(rows),
        figures=_count(test),
        baselines={"always": _count(always)},
        by={"dev": _count([one for one in told["probe"] if one.row.part == "dev"])},
        settings={"model": name},
    )


def _rows(settings: BenchConfig) -> list[Row]:
    found = packaged_rows("passages.jsonl", _parse, settings.data, DATA)
    return thin([row for rows in found for row in rows], settings.limit)


def _parse(fields: dict[str, Any]) -> list[Row]:
    passage, part = fields["passage"], fields.get("part", "")
    rows = [Row(passage, question, answer or "", part) for question, answer in fields["asked"]]
    if not rows or not all(isinstance(text, str) for row in rows for text in vars(row).values()):
        raise ValueError("a passage is a text, asked a list of pairs: a question, and its answer or null")
    return rows


def _count(told: Sequence[Told]) -> Figures:
    answered = [one for one in told if one.row.answer]
    others = [one for one in told if not one.row.answer]
    return {
        "right_share": share(one.right for one in answered),
        "wrong_share": share(bool(one.text) and not one.right for one in answered),
        "invented_share": share(bool(one.text) for one in others),
    }


BENCHMARK = Benchmark(
    name="passages", about="what a passage answers, in its own words, and nothing else", run=run, data=DATA
)
