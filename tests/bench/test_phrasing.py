"""The benchmark of free phrasings: its rows, and how an answer is judged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reverie.dreaming import dreamer
from reverie.errors import UsageError
from reverie_bench import BenchConfig, run_benchmark
from reverie_bench.phrasing import _judge, _parse, _rows
from toys import toy_bundle


def test_the_packaged_rows_are_many_and_in_two_parts_that_share_none() -> None:
    rows = _rows(BenchConfig())
    dev, test = ({row.question for row in rows if row.part == part} for part in ("dev", "test"))
    assert not dev & test
    assert len(rows) == len(dev) + len(test)
    assert sum(row.kind == "taught" for row in rows) >= 200
    assert sum(row.kind != "taught" for row in rows) >= 150
    assert {row.kind for row in rows} >= {"outside", "false premise", "nothing in common", "no scene"}


@pytest.mark.parametrize(
    ("kind", "said", "known", "well"),
    [
        ("taught", "The egg breaks.", True, True),
        ("taught", "The egg melts.", True, False),
        ("taught", None, False, False),
        ("outside", "The egg breaks.", True, False),
        ("outside", None, False, True),
        ("false premise", "It does not break: the ball bounces.", True, True),
        ("false premise", "The ball is not fragile.", True, False),
        ("nothing in common", "Nothing that I know of.", True, True),
    ],
)
def test_an_answer_is_judged_by_the_kind_of_its_question(kind: str, said: str | None, known: bool, well: bool) -> None:
    judged = _judge(_parse({"kind": kind, "question": "What?", "accepts": "break"}), said)
    assert (judged.known, judged.well) == (known, well)


def test_it_is_run_by_its_reading_and_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dreamer.LONGEST, "end", 64)  # the toy would dream on
    given = tmp_path / "rows.jsonl"
    rows = (
        {"kind": "taught", "question": "an egg is dropped?", "accepts": "a"},
        {"kind": "outside", "question": "Who?"},
    )
    given.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    report = run_benchmark("phrasing", BenchConfig(str(toy_bundle(tmp_path / "toy")), given, branches=1))
    assert report.n == 2
    assert set(report.figures) == set(report.baselines["as_it_is"])
    assert set(report.by) == {"kind_taught", "kind_outside"}


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"kind": "taught", "question": "What?"}, "accepts"),
        ({"kind": "taught", "question": "What?", "accepts": "(a"}, "regular expression"),
        ({"kind": "outside", "question": ""}, "not empty"),
    ],
)
def test_a_malformed_row_is_named_by_its_line(tmp_path: Path, row: dict[str, str], fault: str) -> None:
    given = tmp_path / "rows.jsonl"
    given.write_text(json.dumps(row))
    with pytest.raises(UsageError, match=f"line 1: .*{fault}"):
        _rows(BenchConfig(data=given))
