"""One thread that does the heavy work, job after job, so that the event loop stays free and torch is never shared."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from starlette.requests import Request

from reverie.server.http.errors import RequestError, closing
from reverie.server.http.streams import unless_gone

__all__ = ["Job", "Worker", "finish"]

T = TypeVar("T")
Item = TypeVar("Item")


class Job(Generic[T]):
    """Work that waits, runs or is done. ``num_done`` of ``num_all`` pictures are there so far."""

    def __init__(self, num_all: int = 1):
        self.num_done, self.num_all = 0, num_all
        self.future: Future[T]
        self._unwanted = threading.Event()

    def drop(self) -> None:
        """Nobody waits for it any more: it does not start, or stops after the portion at hand."""
        self._unwanted.set()
        self.future.cancel()

    def portions(self, items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
        """``items`` in portions, each counted once it was worked on. Raises RequestError when the job was dropped."""
        for start in range(0, len(items), size):
            if self._unwanted.is_set():
                raise closing()
            yield items[start : start + size]
            self.num_done = min(start + size, len(items))


class Worker:
    """Runs jobs one after the other in a thread of its own; at most ``max_waiting`` wait, beyond the one that runs."""

    def __init__(self, max_waiting: int):
        self.max_waiting = max_waiting
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reverie-worker")
        self._lock = threading.Lock()
        self._jobs = set[Job[Any]]()
        self._closed = False

    @property
    def is_open(self) -> bool:
        return not self._closed

    def ready(self) -> bool:
        return self.is_open

    def start(self, work: Callable[[Job[T]], T], num_all: int = 1) -> Job[T]:
        """Queue ``work``. Raises RequestError where too many wait already, or the server is closing."""
        job = Job[T](num_all)
        with self._lock:
            if self._closed:
                raise closing()
            if len(self._jobs) > self.max_waiting:
                raise RequestError(429, "too many requests are waiting; try again in a moment", code="busy")
            job.future = self._pool.submit(work, job)
            self._jobs.add(job)
        job.future.add_done_callback(lambda _: self._forget(job))
        return job

    def stop(self) -> None:
        """Take no more work and drop what waits; what runs ends after the portion at hand."""
        with self._lock:
            self._closed = True
            jobs = list(self._jobs)
        for job in jobs:
            job.drop()

    def close(self) -> None:
        """``stop``, and wait for the thread to end."""
        self.stop()
        self._pool.shutdown(wait=True)

    def _forget(self, job: Job[T]) -> None:
        with self._lock:
            self._jobs.discard(job)


async def finish(job: Job[T], request: Request | None = None) -> T:
    """What ``job`` returns, or raises; it is dropped when the client of ``request`` goes away or the waiting ends.

    Raises RequestError where the server closed meanwhile.
    """

    async def done() -> T:
        answer = asyncio.wrap_future(job.future)
        try:
            await asyncio.wait({answer})
            if answer.cancelled():
                raise closing()
            return answer.result()
        finally:
            if not answer.done():
                job.drop()

    return await unless_gone(request, done())
