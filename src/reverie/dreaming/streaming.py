"""From a callback to an iterator: the words of an answer as they are said."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

__all__ = ["streamed", "without_edges"]


class _Unheard(BaseException):
    """Nobody listens any more."""


def streamed(run: Callable[[Callable[[str], None]], object]) -> Iterator[str]:
    """The pieces that ``run`` says, in a thread of its own, as they come; what it raises is raised here.

    Closing the iterator ends ``run`` at its next piece, and waits for that.
    """
    pieces: queue.SimpleQueue[str | BaseException | None] = queue.SimpleQueue()  # None: there are no more
    left = threading.Event()

    def say(piece: str) -> None:
        if left.is_set():
            raise _Unheard
        pieces.put(piece)

    def work() -> None:
        try:
            run(say)
            pieces.put(None)
        except BaseException as error:  # noqa: BLE001 - raised where it is listened to
            pieces.put(error)

    thread = threading.Thread(target=work, name="reverie-answer", daemon=True)
    thread.start()
    try:
        while (piece := pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        left.set()
        thread.join()


def without_edges(say: Callable[[str], None]) -> Callable[[str], None]:
    """``say`` for an answer that is told piece by piece: it hears the answer without the space around it."""
    begun, held = False, ""

    def tell(piece: str) -> None:
        nonlocal begun, held
        text = held + piece if begun else piece.lstrip()
        kept = text.rstrip()
        held, begun = text[len(kept) :], begun or bool(kept)
        if kept:
            say(kept)

    return tell
