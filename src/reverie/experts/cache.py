"""A cache with a budget of bytes: what was used longest ago goes first, what is in use stays."""

from __future__ import annotations

import sys
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from reverie.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ByteCache", "free_memory", "own_pages"]

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

_GROUP = Path("/sys/fs/cgroup")


class ByteCache(Generic[K, T]):
    """Values by key, at most ``budget`` bytes of them.

    Only what is held or pinned can exceed the budget: a value that does not fit beside them is handed out and not
    kept. Several threads may use one cache; a value that many ask for at once is loaded once, and loading one value
    keeps nobody from another.

    Args:
        budget: bytes
        size_of: bytes of a value; asked once, when it has been loaded
        room: bytes that the machine can still spare, below 0 where it lacks some; asked after each load. What it
            lacks is taken from this cache, even within the budget.
    """

    def __init__(self, budget: int, size_of: Callable[[T], int], room: Callable[[], int] | None = None):
        if budget < 0:
            raise ConfigError(f"a cache's budget is a number of bytes, 0 or more, got {budget}")
        self.budget = budget
        self.hits, self.misses, self.evictions = 0, 0, 0
        self._size_of, self._room = size_of, room
        self._lock = threading.Lock()
        self._values: OrderedDict[K, tuple[T, int]] = OrderedDict()  # the one used last is last
        self._loading: dict[K, threading.Event] = {}
        self._held: Counter[K] = Counter()
        self._pinned: set[K] = set()
        self._nbytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes of all values kept."""
        return self._nbytes

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def get(self, key: K, load: Callable[[], T]) -> T:
        """The value of ``key``; ``load`` makes it where it is not here, and what ``load`` raises rises."""
        while True:
            with self._lock:
                if key in self._values:
                    self.hits += 1
                    self._values.move_to_end(key)
                    return self._values[key][0]
                other = self._loading.get(key)
                if other is None:
                    self.misses += 1
                    mine = self._loading[key] = threading.Event()
                    break
            other.wait()  # then look again: that load may have failed, or its value may not have been kept
        try:
            value = load()
            size = self._size_of(value)
            with self._lock:
                if self._loading.get(key) is mine:  # else it was dropped meanwhile
                    self._values[key] = value, size
                    self._nbytes += size
                    self._trim()
            return value
        finally:
            with self._lock:
                if self._loading.get(key) is mine:
                    del self._loading[key]
            mine.set()

    @contextmanager
    def hold(self, keys: Iterable[K]) -> Iterator[None]:
        """While the block runs, the values of ``keys`` are not thrown out, whether they are here now or come later."""
        keys = list(keys)
        with self._lock:
            self._held.update(keys)
        try:
            yield
        finally:
            with self._lock:
                self._held.subtract(keys)
                self._held += Counter()  # forgets what nobody holds any more
                self._trim()

    def pin(self, key: K, on: bool = True) -> None:
        """Hold ``key`` until it is unpinned or dropped."""
        with self._lock:
            if on:
                self._pinned.add(key)
            else:
                self._pinned.discard(key)
                self._trim()

    def drop(self, key: K) -> None:
        """Forget ``key``, even where it is held or pinned: it is out of date. Who has its value keeps that."""
        with self._lock:
            self._loading.pop(key, None)
            self._pinned.discard(key)
            self._forget(key)

    def trim(self, coming: int = 0) -> None:
        """Throw out what the budget or the machine has no room for, beside ``coming`` bytes that will be loaded."""
        with self._lock:
            self._trim(coming)

    def _trim(self, coming: int = 0) -> None:
        excess = self._nbytes + coming - self.budget
        if self._room is not None and self._values:  # asked once: freed memory is not seen as free at once
            excess = max(excess, coming - self._room())
        for key in list(self._values) if excess > 0 else ():
            if excess <= 0:
                break
            if key not in self._held and key not in self._pinned:
                excess -= self._forget(key)
                self.evictions += 1

    def _forget(self, key: K) -> int:
        """Bytes that became free."""
        _, size = self._values.pop(key, (None, 0))
        self._nbytes -= size
        return size


def free_memory() -> int:
    """Bytes that this process can still take without swapping: of the machine, or of its container where less."""
    import psutil

    return min([int(psutil.virtual_memory().available), *_left_of_container()])


def _left_of_container() -> list[int]:
    """Bytes below the limit of a container (Linux, cgroup v2), files that it only caches not counted; [] without."""
    try:
        limit, used = (int((_GROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        kinds = dict(line.split() for line in (_GROUP / "memory.stat").read_text().splitlines())
        return [limit - used + int(kinds["inactive_file"])]
    except (OSError, ValueError, KeyError):  # no group, or "max": no limit
        return []


def own_pages(numel: int) -> Tensor:
    """Zeros float32 (numel,) in pages of their own, which go back to the machine with the last tensor in them.

    malloc keeps much of what is freed: where adapters of many sizes come and go, a process grows by more than half as
    much again as it holds.
    """
    import mmap

    import torch

    private = {} if sys.platform == "win32" else {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS}
    return torch.frombuffer(mmap.mmap(-1, 4 * numel, **private), dtype=torch.float32)
