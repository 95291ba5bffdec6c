"""A teacher that was asked before: a file of traces, or of prompts with answers, replayed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from reverie.errors import DataError, UsageError, shorten
from reverie.jsonio import json_lines
from reverie.progress import Progress, no_progress
from reverie.speakers.contract import Message
from reverie.teachers.cleaning import clean, flaw_of
from reverie.teachers.contract import Counts, Planned, TeacherConfig
from reverie.teachers.traces import Prompt, Trace, Traces, trace_from_json

__all__ = ["FileTeacher"]


class FileTeacher:
    """``file:FILE.jsonl``. It costs nothing, and answers only what the file holds (``prompts``).

    Rows are traces, or have a ``prompt`` (a text, or a talk) and an ``answer``. Raises DataError with the line.
    """

    def __init__(self, spec: str | Path, config: TeacherConfig | None = None):
        self.path = Path(str(spec).removeprefix("file:")).expanduser()
        self.name, self.config, self.counts = f"file:{self.path.name}", config or TeacherConfig(), Counts()
        self._traces: dict[Prompt, list[Trace]] = defaultdict(list)
        for number, row in json_lines(self.path, DataError, "the traces"):
            try:
                trace = trace_from_json({"text": row.get("answer"), **row})
            except (ValueError, TypeError, LookupError, AttributeError) as error:
                what = "needs a prompt and an answer, or a trace"
                raise DataError(f"{self.path}, line {number}: {what} ({shorten(str(error), 80)})") from error
            trace = self._read(trace, "answer" in row)
            self._traces[trace.prompt].append(trace)
        if not self._traces:
            raise DataError(f"{self.path} holds no reply")
        self.prompts: tuple[Prompt, ...] = tuple(one.prompt for some in self._traces.values() for one in some)
        told = (len(one.top) for some in self._traces.values() for each in some for one in each.ids)
        self.tops = min(max(told, default=0), self.config.top)

    def teach(
        self, prompts: Sequence[Prompt], traces: Traces | None = None, progress: Progress = no_progress
    ) -> Iterator[Trace]:
        """As ``Teacher.teach``. A prompt that stands several times has another reply each time, where there is one."""
        told: dict[Prompt, int] = defaultdict(int)
        for place, prompt in enumerate(map(self._as_asked, prompts)):
            progress(f"reading {self.name}", place, len(prompts))
            some = self._traces.get(prompt, ())
            if not some:
                self.counts.failed += 1
                self.counts.problem = f"{self.path} has no reply to '{shorten(str(prompt))}'"
                continue
            trace = some[told[prompt] % len(some)]
            told[prompt] += 1
            if traces is not None:
                traces.append(trace)
            self.counts.cached += 1
            self.counts.flawed += bool(trace.flaw)
            self.counts.replies += not trace.flaw
            if not trace.flaw:
                yield trace

    def plan(self, prompts: Sequence[Prompt]) -> Planned:
        there = sum(self._as_asked(one) in self._traces for one in prompts)
        return Planned(len(prompts), there, 0, 0, 0.0)

    def close(self) -> None:
        """It is read, and closed."""

    def _read(self, trace: Trace, plain: bool) -> Trace:
        """What somebody else may have written, held to what every teacher is."""
        text, most = clean(trace.text), self.config.most_chars
        whole = text == trace.text and len(text) <= most
        prompt = self._as_asked(trace.prompt) if plain else trace.prompt
        return replace(
            trace,
            prompt=prompt,
            text=text[:most],
            ids=trace.ids if whole else (),
            teacher=trace.teacher or self.name,
            flaw=trace.flaw or flaw_of(text, most),
        )

    def _as_asked(self, prompt: Prompt) -> Prompt:
        if not prompt:
            raise UsageError("a prompt is empty: a teacher is asked with words")
        if isinstance(prompt, str) and self.config.talk and prompt not in self._traces:
            return (Message("user", prompt),)
        return prompt
