"""Looking at many pictures at once, in processes: what a decoder does to one of them stays there."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection
from pathlib import Path

from reverie.data.pictures.journal import Journal
from reverie.data.pictures.screening import Examined, Rules, examine
from reverie.errors import DataError
from reverie.progress import Progress

__all__ = ["examine_all"]

_WORTH = 16  # pictures that make up for starting a process


def examine_all(
    todo: Sequence[tuple[Path, str]],
    journal: Journal,
    rules: Rules,
    workers: int,
    num_all: int,
    report: Progress,
) -> None:
    """Examine every (picture, key) into the journal; ``workers`` processes, 0 for one per core.

    Raises OSError where a square cannot be written, DataError where a worker dies. What is done by then is kept.
    """
    workers = min(workers or os.cpu_count() or 1, len(todo) // _WORTH)
    done = itertools.count(num_all - len(todo) + 1)
    report("look at", num_all - len(todo), num_all)
    if workers < 2:
        for path, key in todo:
            journal.add_examined(key, examine(path, journal.square(key), rules))
            report("look at", next(done), num_all)
        return
    # fresh processes, because a fork of one with threads (torch has some) may hang
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker)
    left, running = iter(todo), dict[Future[Examined], str]()
    try:
        while True:
            for path, key in itertools.islice(left, 4 * workers - len(running)):
                with _no_interrupts():
                    running[pool.submit(examine, path, journal.square(key), rules)] = key
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                journal.add_examined(running.pop(future), future.result())
                report("look at", next(done), num_all)
    except BrokenProcessPool as error:
        raise DataError(
            "a worker process died, perhaps for lack of memory. Run again, it goes on; with --workers 1 if it stays so."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Ctrl-C waits: a process that starts in here never hears of it, not even while it imports."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it: a killed parent tells nobody.

    What decoders print on stderr (libtiff does, from C) would tear the parent's progress bar; it is dropped.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
