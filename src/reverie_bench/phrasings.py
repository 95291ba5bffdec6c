"""Does it answer what it was taught however it is put, and nothing else? Free phrasings of taught questions, and
questions that must not be known: of other things, of familiar words used otherwise, that take for granted what is not
so, that lack a scene or name too much.

``before``: the model alone, asked as it is put; ``after``: through ``dreaming.rephrase``. The packaged rows have a part
that the phrasebooks were written with and one that they were not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings
from reverie_bench.figures import grouped, share
from reverie_bench.models import open_model
from reverie_bench.rows import chunks, read_rows, thin

__all__ = ["BENCHMARK"]

DATA = (
    'rows of its own, or a JSON-lines file of {"kind": "taught", "question": "...", "accepts": "a regular expression '
    'that the right answer matches"}; every other kind of question must not be known'
)
_CHUNK = 16  # questions asked together
_TAUGHT = "taught"
# kind → what an answer that is no claim of knowing looks like
_DENIES = {
    "false premise": re.compile(r"^(it does not|that is not so|no,)", re.IGNORECASE),
    "nothing in common": re.compile(r"^nothing", re.IGNORECASE),
    "ill-posed or two things": re.compile(r"^none of them", re.IGNORECASE),
}


@dataclass(frozen=True)
class Row:
    """A question; ``accepts`` is what the answer to a taught one matches."""

    kind: str
    question: str
    accepts: re.Pattern[str]
    part: str = ""

    @property
    def group(self) -> str:
        return "taught" if self.kind == _TAUGHT else "other"


@dataclass(frozen=True)
class Judged:
    """What was said to one row: known at all, and well said where it was."""

    row: Row
    known: bool
    well: bool


def run(settings: BenchConfig) -> Findings:
    from reverie.dreaming.rephrase import answer_rephrased_many

    rows = _rows(settings)
    session, manifest = open_model(settings.model)
    before: list[Judged] = []
    after: list[Judged] = []
    for some in chunks(rows, _CHUNK, "asking", settings.progress):
        texts = [row.question for row in some]
        for row, said in zip(
            some, session.ask_many(texts, branches=settings.branches, seed=settings.seed), strict=True
        ):
            before.append(_judge(row, said.text if said.known else None))
        answers = answer_rephrased_many(session, texts, branches=settings.branches, seed=settings.seed)
        for row, told in zip(some, answers, strict=True):
            after.append(_judge(row, told.answer.text if told.answer else None))
    return Findings(
        n=len(rows),
        figures=_count([one for one in after if one.row.part != "dev"] or after),
        by=grouped(after, lambda one: f"part_{one.row.part}" if one.row.part else None, _count)
        | grouped(after, lambda one: "kind_" + re.sub(r"\W+", "_", one.row.kind), _count),
        baselines={"before": _count([one for one in before if one.row.part != "dev"] or before)},
        settings={"bundle": manifest["name"], "branches": settings.branches},
    )


def _rows(settings: BenchConfig) -> list[Row]:
    if settings.data is not None:
        rows = read_rows(settings.data, _parse, DATA)
    else:
        with resources.as_file(resources.files("reverie_bench") / "phrasings.jsonl") as own:
            rows = read_rows(Path(own), _parse, DATA)
    groups = ([row for row in rows if row.group == name] for name in ("taught", "other"))
    return [row for group in groups for row in thin(group, settings.limit)]


def _parse(fields: dict[str, Any]) -> Row:
    kind, question, part = fields["kind"], fields["question"], fields.get("part", "")
    accepts = fields["accepts"] if kind == _TAUGHT else ""
    if not all(isinstance(text, str) for text in (kind, question, part, accepts)) or not question:
        raise ValueError("kind, question, accepts and part are texts, and a question is not empty")
    try:
        return Row(kind, question, re.compile(accepts, re.IGNORECASE), part)
    except re.error as error:
        raise ValueError(f"accepts is a regular expression, got '{accepts}': {error}") from error


def _judge(row: Row, said: str | None) -> Judged:
    if said is None:
        return Judged(row, False, row.kind != _TAUGHT)
    right = row.accepts if row.kind == _TAUGHT else _DENIES.get(row.kind)
    return Judged(row, True, bool(right and right.search(said)))


def _count(judged: Sequence[Judged]) -> Figures:
    taught = [one for one in judged if one.row.kind == _TAUGHT]
    other = [one for one in judged if one.row.kind != _TAUGHT]
    return {
        "taught_right_share": share(one.known and one.well for one in taught),
        "taught_wrong_share": share(one.known and not one.well for one in taught),
        "taught_refused_share": share(not one.known for one in taught),
        "other_wrongly_known": share(one.known and not one.well for one in other),
    }


BENCHMARK = Benchmark(
    name="phrasings",
    about="free phrasings of taught questions, and questions that must not be known, before and after rewriting",
    run=run,
    data=DATA,
)
