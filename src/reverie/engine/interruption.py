"""What a thread asks of an engine's worker can be broken off from another thread, wherever it is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from reverie.errors import ReverieError

__all__ = ["BrokenOffError", "Interruption"]


class BrokenOffError(ReverieError):
    """Nobody waits for this any more."""


class _Cancellable(Protocol):
    def cancel(self) -> None: ...


class Interruption:
    """``now`` ends what is under way within ``heeded``, before the engine's next id; whatever is asked of a worker
    there then raises BrokenOffError."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = list[_Cancellable]()
        self._broken = False

    def now(self) -> None:
        """From any thread, any number of times."""
        with self._lock:
            self._broken = True
            for handle in self._open:
                handle.cancel()
            self._open.clear()

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """What this thread does in the block."""
        before = _HEEDED.set(self)
        try:
            yield
        finally:
            _HEEDED.reset(before)
            self._open.clear()

    @staticmethod
    def check(*handles: _Cancellable) -> None:
        """Raises BrokenOffError where this thread was broken off; else ``handles`` will be cancelled once it is."""
        one = _HEEDED.get()
        if one is None:
            return
        with one._lock:
            if one._broken:
                for handle in handles:
                    handle.cancel()
                raise BrokenOffError("the answer was broken off: nobody waits for it")
            one._open = [*(handle for handle in one._open if not getattr(handle, "done", False)), *handles]


_HEEDED: ContextVar[Interruption | None] = ContextVar("reverie-interruption", default=None)
