"""One thread that owns an engine, so that many can use it at once: their branches share steps as they come and go."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

import numpy as np

from reverie.engine.engine import Engine
from reverie.engine.interruption import Interruption
from reverie.engine.requests import Branch, Completion, Likeliest, Request
from reverie.errors import UsageError
from reverie.experts.contract import Choice

__all__ = ["AnyEngine", "Drawn", "Handle", "Worker"]

T = TypeVar("T")


class Drawn(NamedTuple):
    """An id with its log-probability in nats, and the likeliest there as ``Request.top`` asked for."""

    id: int
    log_prob: float
    likeliest: Likeliest


class Handle:
    """A request under way. Iterating gives its ids as they are drawn, unless ``hear`` is told them instead.

    ``hear``: called in the worker's thread, soon over and never raising, with each id, and with None at the end.
    """

    def __init__(self, hear: Callable[[Drawn | None], None] | None = None) -> None:
        self._ids: queue.SimpleQueue[int | None] = queue.SimpleQueue()  # None: there are no more
        self._hear = hear
        self._done: Future[Completion] = Future()
        self._cancelled = threading.Event()

    def __iter__(self) -> Iterator[int]:
        """Each id once, whoever asks. Raises what kept the branch from going on."""
        while (token_id := self._ids.get()) is not None:
            yield token_id
        self._ids.put(None)  # who asks again gets nothing, at once
        if not self._cancelled.is_set():
            self.result()

    def result(self, timeout: float | None = None) -> Completion:
        """Wait for its end, at most ``timeout`` seconds (TimeoutError). A cancelled branch gives what it had."""
        return self._done.result(timeout)

    def cancel(self) -> None:
        """Let it end before its next id."""
        self._cancelled.set()

    @property
    def done(self) -> bool:
        return self._done.done()

    def _tell(self, drawn: Drawn | None) -> None:
        if self._hear is not None:
            self._hear(drawn)
        else:
            self._ids.put(None if drawn is None else drawn.id)


class Worker:
    """Runs an engine in a thread of its own until it is closed; every method may be called from any thread.

    It has the methods of ``Engine``, and can stand in its place; the engine itself is left alone meanwhile.

    ``engine``: one, or what makes one. Where it is made in the thread, and no other thread computes with torch, steps
    of small networks take half the time: OpenMP keeps helpers for every thread that ever computed, and with more of
    them than cores lets all sleep between two products. What making it raises is raised here.
    """

    def __init__(self, engine: Engine | Callable[[], Engine]):
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._open: dict[int, tuple[Branch, Handle]] = {}  # by id of the branch
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="reverie-engine", daemon=True)
        self._thread.start()
        try:
            self._engine = engine if isinstance(engine, Engine) else self._call(engine)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the thread; what is under way ends with what it has."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._calls.put(None)
        self._thread.join()

    def submit(self, request: Request, hear: Callable[[Drawn | None], None] | None = None) -> Handle:
        """Begin a request; what is wrong with it is raised by its handle. ``hear``: see ``Handle``."""
        handle = Handle(hear)

        def begin() -> None:
            try:
                (branch,) = self._engine.add([request])
            except Exception as error:  # noqa: BLE001  whoever asked gets it, and the thread lives on
                handle._done.set_exception(error)
                handle._tell(None)
                return
            self._open[id(branch)] = branch, handle

        self._put(begin)
        return handle

    def generate(
        self, requests: Sequence[Request], on_token: Callable[[int, int], None] | None = None
    ) -> list[Completion]:
        """As ``Engine.generate``, beside whatever else is under way."""
        handles = [self.submit(request) for request in requests]
        try:
            Interruption.check(*handles)
            if on_token is not None:
                for row, handle in enumerate(handles):
                    for token_id in handle:
                        on_token(row, token_id)
            found = [handle.result() for handle in handles]
            Interruption.check()
            return found
        finally:
            for handle in handles:
                handle.cancel()

    def stream(self, request: Request) -> Iterator[int]:
        """As ``Engine.stream``."""
        handle = self.submit(request)
        try:
            Interruption.check(handle)
            yield from handle
            Interruption.check()
        finally:
            handle.cancel()

    def score(self, prefix: Sequence[int], continuation: Sequence[int], experts: Choice = ()) -> np.ndarray:
        """As ``Engine.score``."""
        return self._call(lambda: self._engine.score(prefix, continuation, experts))

    def score_many(self, wanted: Sequence[tuple[Sequence[int], Sequence[int], Choice]]) -> list[np.ndarray]:
        """As ``Engine.score_many``."""
        return self._call(lambda: self._engine.score_many(wanted))

    def embed(self, ids: Sequence[int], contextual: bool = True) -> np.ndarray:
        """As ``Engine.embed``."""
        return self._call(lambda: self._engine.embed(ids, contextual))

    def embed_many(self, texts: Sequence[Sequence[int]], contextual: bool = True, layers: int = 0) -> np.ndarray:
        """As ``Engine.embed_many``."""
        return self._call(lambda: self._engine.embed_many(texts, contextual, layers))

    def contributions(self, prefix: Sequence[int], ids: Sequence[int], experts: Choice) -> np.ndarray:
        """As ``Engine.contributions``."""
        return self._call(lambda: self._engine.contributions(prefix, ids, experts))

    def prefix_embedding_ids(self, vectors: np.ndarray) -> tuple[int, ...]:
        """As ``Engine.prefix_embedding_ids``."""
        return self._call(lambda: self._engine.prefix_embedding_ids(vectors))

    @property
    def decoder(self) -> Any:
        return self._engine.decoder

    def _call(self, work: Callable[[], T]) -> T:
        Interruption.check()
        return self.run(work).result()

    def run(self, work: Callable[[], T]) -> Future[T]:
        """What ``work`` will give, done by the thread between two steps. It may use the engine itself."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except Exception as error:  # noqa: BLE001  whoever asked gets it
                future.set_exception(error)

        self._put(run)
        return future

    def _put(self, call: Callable[[], None]) -> None:
        with self._lock:  # so that nothing comes after the end
            if self._closed:
                raise UsageError("this engine's worker is closed: open another")
            self._calls.put(call)

    def _run(self) -> None:
        while True:
            wait = not self._open
            try:
                while True:
                    call = self._calls.get(block=wait)
                    if call is None:
                        self._finish([branch for branch, _ in self._open.values()])
                        return
                    call()
                    wait = False
            except queue.Empty:
                pass
            self._step()

    def _step(self) -> None:
        for branch, handle in self._open.values():
            branch.cancelled |= handle._cancelled.is_set()
        try:
            drawn = self._engine.step()
        except Exception:  # noqa: BLE001  every branch has it as its error, and so its handle
            drawn = []
        for branch in drawn:
            if id(branch) in self._open and branch.error is None:
                self._open[id(branch)][1]._tell(Drawn(branch.ids[-1], branch.log_probs[-1], branch.likeliest[-1]))
        self._finish([branch for branch, _ in self._open.values() if not branch.alive])

    def _finish(self, branches: Sequence[Branch]) -> None:
        for branch in branches:
            _, handle = self._open.pop(id(branch))
            try:
                handle._done.set_result(branch.completion())
            except BaseException as error:  # noqa: BLE001
                handle._done.set_exception(error)
            handle._tell(None)


AnyEngine = Engine | Worker
"""What a model can be asked through: an engine of its own, or one that many threads share."""
