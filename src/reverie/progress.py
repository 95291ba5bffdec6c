"""How long work tells how far it is: a bar where somebody watches, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from reverie.ranks import leads

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Progress", "no_progress", "shown_progress"]

_FIRST_S, _EVERY_S = 2.0, 5.0  # when the first plain line comes, and the next ones where something changed
_SILENT_S = 30.0  # after which a line comes even where nothing did


class Progress(Protocol):
    """What long work calls: what is being done, how much of it is done, and of how much (0: nobody knows).

    What stands after two spaces in ``what`` is said beside it and may change: ``training  loss 0.31``.
    """

    def __call__(self, what: str, done: int, of: int, /) -> None: ...


def no_progress(what: str, done: int, of: int, /) -> None:
    """Tells nobody."""


@contextmanager
def shown_progress(stream: TextIO | None = None) -> Iterator[Progress]:
    """Yields a ``Progress`` that is shown on ``stream`` (stderr): bars on a terminal, lines elsewhere.

    Work of less than two seconds leaves no line; longer work is never silent, not even within a step.
    """
    stream = stream or sys.stderr
    if not leads():  # of several processes one tells
        yield no_progress
        return
    if not stream.isatty():
        with _lines(stream) as report:
            yield report
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[str, Any] = {}
    with Bars(*columns, console=_console(stream), transient=True) as bars:

        def show(what: str, done: int, of: int, /) -> None:
            name = what.split("  ")[0]
            if name not in tasks:
                tasks[name] = bars.add_task(what, total=of or None)
            bars.update(tasks[name], description=what, completed=done, total=of or None)

        yield show


def _console(stream: TextIO) -> Console:
    """That of the log, where both write to stderr: then lines and bars do not write over each other."""
    from rich.console import Console

    from reverie.logs import console

    return console() if stream is sys.stderr else Console(file=stream)


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
