"""How long work tells how far it is: a bar where somebody watches, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

__all__ = ["Progress", "no_progress", "shown_progress"]

_FIRST_S, _EVERY_S = 2.0, 5.0  # when the first plain line comes, and the next ones where something changed
_SILENT_S = 30.0  # after which a line comes even where nothing did


class Progress(Protocol):
    """What long work calls: what is being done, how much of it is done, and of how much (0: nobody knows)."""

    def __call__(self, what: str, done: int, of: int, /) -> None: ...


def no_progress(what: str, done: int, of: int, /) -> None:
    """Tells nobody."""


@contextmanager
def shown_progress(stream: TextIO | None = None) -> Iterator[Progress]:
    """Yields a ``Progress`` that is shown on ``stream`` (stderr): bars on a terminal, lines elsewhere.

    Work of less than two seconds leaves no line; longer work is never silent, not even within a step.
    """
    stream = stream or sys.stderr
    if not stream.isatty():
        with _lines(stream) as report:
            yield report
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[str, Any] = {}
    with Bars(*columns, console=Console(file=stream), transient=True) as bars:

        def show(what: str, done: int, of: int, /) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=of or None)
            bars.update(tasks[what], completed=done, total=of or None)

        yield show


@contextmanager
def _lines(stream: TextIO) -> Iterator[Progress]:
    started, over = time.monotonic(), threading.Event()
    now: list[tuple[str, int, int]] = []  # the last report alone

    def report(what: str, done: int, of: int, /) -> None:
        now[:] = [(what, done, of)]

    def watch(wait: Callable[[float], bool]) -> None:
        told, told_at, pause = None, started, _FIRST_S
        while not wait(pause):
            pause, at = _EVERY_S, time.monotonic()
            if now and (now[0] != told or at - told_at >= _SILENT_S):
                told, told_at = now[0], at
                what, done, of = told
                stream.write(f"{what}: {done}{f' of {of}' if of else ''}, {at - started:.0f} s\n")
                stream.flush()

    teller = threading.Thread(target=watch, args=(over.wait,), name="reverie-progress", daemon=True)
    teller.start()
    try:
        yield report
    finally:
        over.set()
        teller.join()
