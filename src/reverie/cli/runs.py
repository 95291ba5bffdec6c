"""What commands that train share: how SIGTERM ends them, and what they say at the end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from reverie.cli.output import Output
from reverie.errors import UsageError
from reverie.ranks import count

if TYPE_CHECKING:
    from reverie.training import TrainResult

__all__ = ["one_process", "report_run", "sigterm_ends"]


def one_process(what: str) -> None:
    """Raises UsageError where a launcher started several processes: each would do it all."""
    if count() > 1:
        raise UsageError(f"{what} runs in one process, and a launcher started {count()}: start it without one")


@contextmanager
def sigterm_ends() -> Iterator[None]:
    """SIGTERM before the first step and after the last one ends the command as elsewhere: with what is saved."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():  # Python sets handlers only there
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except SystemExit as stopped:
        raise typer.Exit(int(stopped.code or 0)) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def report_run(out: Output, result: TrainResult, run_dir: str, **more: Any) -> None:
    """Say how a run ended; ``more`` goes into the JSON. Raises typer.Exit where a signal ended it."""
    payload = {"step": result.step, "stopped": result.stopped, "run_dir": run_dir, "figures": result.metrics, **more}
    if not result.leads:  # the first process says it
        raise typer.Exit(result.exit_code)
    message = result.message + "".join(f"\n{name}: {value}" for name, value in more.items())
    out.result(payload, lambda console: console.print(message))
    if result.exit_code:
        raise typer.Exit(result.exit_code)
