"""Work that takes longer than a request should: begun, asked after, stopped. The last ones are remembered."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from reverie.errors import ReverieError
from reverie.progress import Progress
from reverie.server.http.errors import RequestError, unexpected

__all__ = ["Jobs"]

State = Literal["running", "done", "failed", "stopped"]


class _Stopped(Exception):
    """Raised in the middle of a job that is no longer wanted."""


@dataclass
class _Job:
    id: int
    what: str
    state: State = "running"
    step: str = ""
    done: int = 0
    total: int = 0
    result: Any = None
    error: str = ""
    unwanted: bool = False
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    def told(self) -> dict[str, Any]:
        hidden = ("unwanted", "task")
        return {name: value for name, value in vars(self).items() if name not in hidden}

    def progress(self, step: str, done: int, total: int) -> None:
        """What the work is told to call, from any thread. Ends it where nobody wants it."""
        self.step, self.done, self.total = step, done, total
        if self.unwanted:
            raise _Stopped


class Jobs:
    """``most``: how many are remembered, and may run at once."""

    def __init__(self, most: int = 32):
        self._jobs: dict[int, _Job] = {}
        self._numbers, self._most = itertools.count(1), most

    def begin(self, what: str, work: Callable[[Progress], Awaitable[Any]]) -> dict[str, Any]:
        """Begin ``work``, which reports to the progress that it is given. Raises RequestError where too many run."""
        for number in [one.id for one in self._jobs.values() if one.state != "running"][: -self._most // 2]:
            del self._jobs[number]
        if sum(one.state == "running" for one in self._jobs.values()) >= self._most:
            raise RequestError(429, f"{self._most} jobs are under way; try again later", code="busy")
        job = self._jobs[number] = _Job(number := next(self._numbers), what)
        job.task = asyncio.ensure_future(_run(job, work))
        return job.told()

    def all(self) -> list[dict[str, Any]]:
        return [job.told() for job in self._jobs.values()]

    def one(self, number: int) -> dict[str, Any]:
        return self._job(number).told()

    def stop(self, number: int) -> dict[str, Any]:
        """End it at its next step; what it has written stays."""
        job = self._job(number)
        job.unwanted = job.state == "running"
        return job.told()

    def _job(self, number: int) -> _Job:
        if number not in self._jobs:
            raise RequestError(404, f"there is no job {number}", code="not_found")
        return self._jobs[number]


async def _run(job: _Job, work: Callable[[Progress], Awaitable[Any]]) -> None:
    try:
        job.result = await work(job.progress)
        job.state = "done"
    except _Stopped:
        job.state = "stopped"
    except ReverieError as error:
        job.state, job.error = "failed", str(error)
    except BaseException:
        job.state, job.error = "failed", str(unexpected())
        raise
