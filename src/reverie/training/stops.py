"""Being asked to stop: Ctrl-C and SIGTERM are noted, and end what may be given up halfway."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["GivenUp", "Stops", "noted_stops"]


class GivenUp(BaseException):
    """What was under way is given up, because the run was asked to stop. Nobody's ``except Exception`` holds it up."""


class Stops:
    """Which signal asked, 0 for none."""

    def __init__(self) -> None:
        self.number = 0
        self._may_give_up = False

    def asked(self, number: int) -> None:
        """It is asked now. Raises GivenUp where that may be."""
        self.number = self.number or number
        if self._may_give_up:
            self._may_give_up = False
            raise GivenUp

    @contextmanager
    def giving_up(self) -> Iterator[None]:
        """Inside the block a stop raises GivenUp at once; one that was asked before does so at the start."""
        self._may_give_up = True
        try:
            if self.number:
                self.asked(self.number)
            yield
        finally:
            self._may_give_up = False


@contextmanager
def noted_stops() -> Iterator[Stops]:
    """Inside the block Ctrl-C and SIGTERM are noted; a second one does what it did before."""
    stops = Stops()
    before: dict[int, Any] = {}

    def note(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, before[number])
        stops.asked(number)

    if threading.current_thread() is threading.main_thread():  # only there can Python set handlers
        before = {number: signal.signal(number, note) or signal.SIG_DFL for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stops
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
