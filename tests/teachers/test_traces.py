"""Traces: what is written is read again, whatever happened in between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reverie.errors import DataError
from reverie.speakers import Message, SaidId
from reverie.teachers import Trace, Traces, read_traces

IDS = (SaidId(b"caf\xc3", -0.5, ((b"caf\xc3", -0.5), (b"tea", -2.0))), SaidId(b"\xa9", -0.1), SaidId(b"", -0.2))
TALK = (Message("system", "Be short."), Message("user", "What is drunk?"))
TRACES = [
    Trace("What is drunk? ", "café", IDS, "toy", True, 3, 0.7, 3, 4, 0.25),
    Trace(TALK, "tea\u2028and", teacher="toy", finished=False),
    Trace("more", "tea tea tea", flaw="it repeats itself"),
]


def written(path: Path) -> Path:
    with Traces(path) as traces:
        for trace in TRACES:
            traces.append(trace)
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "made" / "traces.jsonl")
    assert list(read_traces(path, flawed=True)) == TRACES
    assert list(read_traces(path)) == TRACES[:2]
    assert path.read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("left", [b'{"prompt": "a', b"x" * 200_000])
def test_half_a_line_of_a_killed_writer_is_cut(tmp_path: Path, left: bytes) -> None:
    path = written(tmp_path / "traces.jsonl")
    path.write_bytes(path.read_bytes() + left)
    with Traces(path) as traces:
        traces.append(TRACES[0])  # it is there
        traces.append(other := replace(TRACES[0], seed=4))
        assert traces.find("toy", TALK, 0, 0.0) == TRACES[1]
    assert list(read_traces(path, flawed=True)) == [*TRACES, other]
    path.write_bytes(left)
    written(path)
    assert list(read_traces(path, flawed=True)) == TRACES


def test_two_writers_are_refused(tmp_path: Path) -> None:
    with Traces(tmp_path / "traces.jsonl"), pytest.raises(DataError, match="another program"):
        Traces(tmp_path / "traces.jsonl")


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "[]",
        '{"prompt": "a"}',
        '{"prompt": 3, "text": "b"}',
        '{"prompt": "a", "text": "b", "ids": [{"bytes": 3}]}',
        '{"prompt": "a", "text": "b", "ids": [{"bytes": "b", "log_prob": NaN}]}',
    ],
)
def test_what_is_no_trace_is_told_with_its_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "traces.jsonl").write_text('{"prompt": "a", "text": "b"}\n' + line)
    with pytest.raises(DataError, match="line 2"):
        list(read_traces(tmp_path / "traces.jsonl"))
