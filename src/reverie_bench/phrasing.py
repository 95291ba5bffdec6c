"""Does it answer what it was taught however it is put, and nothing else? Free phrasings of taught questions, and
questions that must not be known: of other things, of familiar words used otherwise, that take for granted what is not
so, that lack a scene or name too much.

The model alone is measured, by its phrasebooks; ``as_it_is`` is the same model asked in the words as they are put, and
``joined`` the model with a base (``base=smol``), where what a base is sure of counts too. The packaged rows have a part
that the phrasebooks were written with and one that they were not: figures are of the second.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reverie.settings import load_settings
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings
from reverie_bench.figures import grouped, share
from reverie_bench.models import open_model
from reverie_bench.rows import chunks, packaged_rows, thin

if TYPE_CHECKING:
    from reverie.dreaming import Session
    from reverie.nouns import Answer

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
class Options:
    """What `bench phrasing` lets one set."""

    base: str = ""  # a base that is joined to the model, such as smol; "" for none


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
    import reverie

    options = load_settings(Options, None, settings.options)
    rows = _rows(settings)
    session, manifest = open_model(settings.model)
    judged = _asked(rows, session, settings, "asking")
    baselines = {"as_it_is": _test(_asked(rows, _AsItIs(session), settings, "as they are"))}
    if options.base:
        joined = reverie.load(f"{settings.model}+{options.base}", enable_gpt51_codex_preview=False)
        baselines["joined"] = _test(_asked(rows, joined, settings, f"with {options.base}"))
    return Findings(
        n=len(rows),
        figures=_test(judged),
        by=grouped(judged, lambda one: f"part_{one.row.part}" if one.row.part else None, _count)
        | grouped(judged, lambda one: "kind_" + re.sub(r"\W+", "_", one.row.kind), _count),
        baselines=baselines,
        settings={"bundle": manifest["name"], "branches": settings.branches, "base": options.base},
    )


class _AsItIs:
    """A model that is asked in the words as they are put."""

    def __init__(self, session: Session):
        self._session = session

    def ask_many(self, questions: Sequence[str], *, branches: int, seed: int) -> list[Answer]:
        from reverie.dreaming.answering import answer
        from reverie.dreaming.question import DreamSettings, Question

        asked = [Question(text) for text in questions]
        return answer(self._session.model, self._session.grounding, asked, DreamSettings(branches, seed=seed))


def _asked(rows: Sequence[Row], session: Session | _AsItIs, settings: BenchConfig, doing: str) -> list[Judged]:
    judged = list[Judged]()
    for some in chunks(rows, _CHUNK, doing, settings.progress):
        told = session.ask_many([row.question for row in some], branches=settings.branches, seed=settings.seed)
        judged += [_judge(row, one.text if one.known else None) for row, one in zip(some, told, strict=True)]
    return judged


def _test(judged: Sequence[Judged]) -> Figures:
    """The figures of what the phrasebooks were not written with."""
    return _count([one for one in judged if one.row.part != "dev"] or judged)


def _rows(settings: BenchConfig) -> list[Row]:
    rows = packaged_rows("phrasing.jsonl", _parse, settings.data, DATA)
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
    name="phrasing",
    about="free phrasings of taught questions, and questions that must not be known",
    run=run,
    data=DATA,
    options=Options,
)
