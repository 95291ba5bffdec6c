"""Who may run, who waits, and how long somebody who finds no place should stay away. Lives in the event loop."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque

from reverie.server.http.errors import RequestError, closing

__all__ = ["Room"]

_FIRST_GUESS_S = 2.0  # of a request, before any was seen to its end
_WEIGHT = 0.2  # of the newest request in the mean


class Room:
    """Places for ``most`` answers at once; ``waiting`` more may wait, in the order in which they came."""

    def __init__(self, most: int, waiting: int):
        self.most, self.most_waiting = most, waiting
        self.running = 0
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._mean_s: float | None = None
        self._open = True

    @property
    def waiting(self) -> int:
        """Answers that wait."""
        return sum(count for count, _ in self._queue)

    @property
    def retry_after(self) -> int:
        """Seconds until a place is likely to be free for one more, by how long requests took."""
        mean = _FIRST_GUESS_S if self._mean_s is None else self._mean_s
        return max(1, math.ceil(mean * (self.waiting + 1) / self.most))

    async def enter(self, count: int = 1, seconds: float = math.inf) -> None:
        """Take ``count`` places, now or when it is their turn. Raises RequestError: 503 where too many wait already,
        where the turn does not come within ``seconds``, and where nobody is let in any more; 400 for more than there
        are."""
        if count > self.most:
            raise RequestError(400, f"at most {self.most} answers at once, got {count}", code="too_many_answers")
        self._check_open()
        if not self._queue and self.running + count <= self.most:
            self.running += count
            return
        if self.waiting + count > self.most_waiting:
            raise self._full(f"{self.running} answers are under way and {self.waiting} wait")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((count, turn))
        try:
            async with asyncio.timeout(None if math.isinf(seconds) else seconds):
                await turn
        except TimeoutError as error:
            self._forget(count, turn)
            raise self._full(f"no place became free within {seconds:g} seconds") from error
        except BaseException:
            self._forget(count, turn)
            raise

    def leave(self, count: int = 1, since: float | None = None) -> None:
        """Give places back. ``since``: when they were taken (``time.monotonic``), for what is told of the waiting."""
        if since is not None:
            took = time.monotonic() - since
            self._mean_s = took if self._mean_s is None else (1 - _WEIGHT) * self._mean_s + _WEIGHT * took
        self.running -= count
        self._let_in()

    def close(self) -> None:
        """Nobody is let in any more; who waits is told so."""
        self._open = False
        for _, turn in self._queue:
            if not turn.done():
                turn.set_exception(closing())
        self._queue.clear()

    def _let_in(self) -> None:
        while self._queue and self.running + self._queue[0][0] <= self.most:
            count, turn = self._queue.popleft()
            if not turn.done():
                self.running += count
                turn.set_result(None)

    def _forget(self, count: int, turn: asyncio.Future[None]) -> None:
        """Somebody who does not wait any more; the place may have been given just then."""
        if (count, turn) in self._queue:
            self._queue.remove((count, turn))
        elif turn.done() and not turn.cancelled() and turn.exception() is None:
            self.running -= count
        self._let_in()

    def _check_open(self) -> None:
        if not self._open:
            raise closing()

    def _full(self, why: str) -> RequestError:
        after = self.retry_after
        return RequestError(503, f"{why}; try again in about {after} s", code="busy", retry_after=after)
