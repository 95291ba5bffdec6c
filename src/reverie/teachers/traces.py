"""Traces: what a teacher answered, a line of JSON each, from which a distillation is repeated without the teacher.

A line is ``{"prompt": "…" or [{"role", "content"}, …], "text", "ids": [{"bytes", "log_prob", "top": [["bytes", nats],
…]}, …], "teacher", "finished", "seed", "temperature", "num_ids", "prompt_ids", "cost", "flaw"}``. ``bytes`` are
Latin-1: each letter is one byte, so that parts of letters survive and English stays readable.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from reverie.errors import DataError, shorten
from reverie.jsonio import LineWriter, json_lines
from reverie.speakers.contract import Message, SaidId

__all__ = ["Prompt", "Trace", "Traces", "read_traces", "trace_from_json", "trace_to_json"]

Prompt = str | tuple[Message, ...]  # a text to go on with, or a talk to answer


@dataclass(frozen=True)
class Trace:
    """One reply of a teacher.

    ``ids``: one by one with the likeliest at each place, where the teacher tells; ``num_ids``, ``prompt_ids``: of the
    reply and of its prompt, 0 where nobody knows; ``cost``: of both, in the currency of the teacher's prices;
    ``flaw``: why it is no lesson, such as "it repeats itself"; "" for a good one.
    """

    prompt: Prompt
    text: str
    ids: tuple[SaidId, ...] = ()
    teacher: str = ""
    finished: bool = True
    seed: int = 0
    temperature: float = 0.0
    num_ids: int = 0
    prompt_ids: int = 0
    cost: float = 0.0
    flaw: str = ""


def read_traces(path: str | Path, flawed: bool = False) -> Iterator[Trace]:
    """The traces of a file, in order; those with a flaw only where ``flawed``. Raises DataError with the line."""
    for number, row in json_lines(path, DataError, "the traces"):
        try:
            trace = trace_from_json(row)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise DataError(f"the traces {path}, line {number}: no trace ({shorten(str(error), 100)})") from error
        if flawed or not trace.flaw:
            yield trace


class Traces:
    """Writes traces to a file, each in one write; what a killed writer left of a line is cut when it is opened.

    Any thread may append. Raises DataError where another program writes to the file, or it cannot be read or written.
    """

    def __init__(self, path: str | Path):
        self.path, self._lines = Path(path), LineWriter(path, DataError)
        try:
            self._known = {_key(trace): trace for trace in read_traces(self.path, flawed=True)}
        except DataError:
            self.close()
            raise

    def __enter__(self) -> Traces:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def find(self, teacher: str, prompt: Prompt, seed: int, temperature: float) -> Trace | None:
        """What that teacher answered before, where the file has it."""
        return self._known.get(_key(Trace(prompt, "", teacher=teacher, seed=seed, temperature=temperature)))

    def append(self, trace: Trace) -> None:
        """Write it, unless the same teacher's reply to the same prompt, by the same seed, stands there."""
        if (key := _key(trace)) in self._known:
            return
        self._lines.append(trace_to_json(trace))
        self._known[key] = trace

    def close(self) -> None:
        """Sync it to disk and let others write. It may be called twice."""
        self._lines.close()


def _key(trace: Trace) -> str:
    said = trace.prompt if isinstance(trace.prompt, str) else [vars(turn) for turn in trace.prompt]
    return json.dumps([trace.teacher, said, trace.seed, trace.temperature])


def trace_to_json(trace: Trace) -> dict[str, Any]:
    """Its line, in JSON's own types."""
    prompt = trace.prompt if isinstance(trace.prompt, str) else [vars(turn) for turn in trace.prompt]
    return vars(trace) | {"prompt": prompt, "ids": [_id_to_json(one) for one in trace.ids]}


def trace_from_json(row: Mapping[str, Any]) -> Trace:
    """Raises ValueError, TypeError, LookupError or AttributeError for what is none."""
    said = row["prompt"]
    prompt = said if isinstance(said, str) else tuple(Message(turn["role"], str(turn["content"])) for turn in said)
    if not prompt or not isinstance(row["text"], str):
        raise ValueError("a prompt and a text are words")
    return Trace(
        prompt,
        row["text"],
        tuple(_id_from_json(one) for one in row.get("ids", ())),
        str(row.get("teacher", "")),
        bool(row.get("finished", True)),
        int(row.get("seed", 0)),
        float(row.get("temperature", 0.0)),
        int(row.get("num_ids", 0)),
        int(row.get("prompt_ids", 0)),
        float(row.get("cost", 0.0)),
        str(row.get("flaw", "")),
    )


def _id_to_json(one: SaidId) -> dict[str, Any]:
    top = [[data.decode("latin-1"), log_prob] for data, log_prob in one.top]
    return {"bytes": one.bytes.decode("latin-1"), "log_prob": one.log_prob, "top": top}


def _id_from_json(row: Mapping[str, Any]) -> SaidId:
    top = tuple((data.encode("latin-1"), _nats(nats)) for data, nats in row.get("top", ()))
    return SaidId(row["bytes"].encode("latin-1"), _nats(row["log_prob"]), top)


def _nats(value: Any) -> float:
    if not math.isfinite(nats := float(value)):
        raise ValueError(f"a log-probability is a number, got {value}")
    return nats
