"""Remembers what the decoder has read, so that a prefix which only grew is read from where it grew."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from reverie.engine.contract import Decoder, Read, State
from reverie.experts.contract import ResolvedExperts

__all__ = ["PrefixCache", "common_length"]

Key = tuple[ResolvedExperts, tuple[int, ...]]  # who read a prefix, and its ids

_WORTH_WAITING = (
    8  # ids that are not read again, for which a prefix waits until the one that it shares them with is read
)
_AT_ONCE = 256  # ids whose logits are all wanted: with a large vocabulary more of them fill the memory
_LOGIT_BYTES = 64 * 2**20  # of the states' logits: with a large vocabulary they outweigh what a short prefix keeps


class PrefixCache:
    """States of the prefixes used last, up to ``max_ids`` ids in all; shared beginnings are reused.

    They depend on the experts that read them: what one choice read is of no use to another.
    """

    def __init__(self, decoder: Decoder, max_ids: int):
        self._decoder = decoder
        self._max_ids = max_ids
        self._max_states = max(64, _LOGIT_BYTES // (4 * decoder.vocab_size))
        self._entries: OrderedDict[Key, State] = OrderedDict()
        self._num_ids = 0

    def read(self, wanted: Sequence[tuple[tuple[int, ...], ResolvedExperts]]) -> list[State]:
        """The state after each prefix, read by its experts; what is not here is read together."""
        missing = sorted({(experts, prefix) for prefix, experts in wanted} - self._entries.keys())
        while missing:
            missing = self._read_wave(missing)
        states = [self._entries[experts, prefix] for prefix, experts in wanted]
        for prefix, experts in wanted:
            self._entries.move_to_end((experts, prefix))  # now among those used last
        self._trim()
        return states

    def unread(self, experts: ResolvedExperts, prefix: tuple[int, ...]) -> int:
        """How many ids of a prefix are still to be read."""
        if (experts, prefix) in self._entries:
            return 0
        ids = np.asarray(prefix, dtype=np.int64)
        known = (self._shared(state.ids, ids) for (reader, _), state in self._entries.items() if reader == experts)
        return len(ids) - max(known, default=0)

    def read_whole(self, prefix: tuple[int, ...], experts: ResolvedExperts) -> Iterator[tuple[int, Tensor]]:
        """The logits after every id of a prefix, in parts: the place of the first, float32 (T, V). Its state stays."""
        size = _AT_ONCE if self._decoder.traits.resumes else len(prefix)
        ids, state = np.asarray(prefix, dtype=np.int64), None
        for start in range(0, len(prefix), size):
            part = ids[start : start + size]
            ((logits, state),) = self._decoder.read([Read(part, state, experts, len(part))])
            yield start, logits.clone()  # the state has the last of them
        if state is not None and (experts, prefix) not in self._entries:
            self._entries[experts, prefix] = state
            self._num_ids += len(state.ids)
            self._trim()

    def _trim(self) -> None:
        while len(self._entries) > 1 and (self._num_ids > self._max_ids or len(self._entries) > self._max_states):
            self._num_ids -= len(self._entries.popitem(last=False)[1].ids)

    def clear(self) -> None:
        self._entries.clear()
        self._num_ids = 0

    def _read_wave(self, missing: list[Key]) -> list[Key]:
        """Read sorted prefixes together, but for those that share much with one of them: those, returned, wait."""
        now, later, reads = list[Key](), list[Key](), list[Read]()
        for key in missing:
            experts, ids = key[0], np.asarray(key[1], dtype=np.int64)
            past = self._longest_shared(ids, experts)
            start = 0 if past is None else len(past.ids)
            if now and now[-1][0] == experts and self._shared(np.asarray(now[-1][1]), ids) > start + _WORTH_WAITING:
                later.append(key)
            else:
                now.append(key)
                reads.append(Read(ids[start:], past, experts))
        for key, (_, state) in zip(now, self._decoder.read(reads), strict=True):
            self._entries[key] = state
            self._num_ids += len(state.ids)
        return later

    def _shared(self, read: np.ndarray, ids: np.ndarray) -> int:
        """How many ids of a prefix that was read need not be read again for ``ids``, of which one stays to be read."""
        traits = self._decoder.traits
        shared = common_length(read, ids[:-1]) if traits.resumes else 0
        return shared if traits.joins or shared == len(read) else 0

    def _longest_shared(self, ids: np.ndarray, experts: ResolvedExperts) -> State | None:
        """What some entry shares with ``ids``."""
        best, found = 0, None
        for (reader, _), state in self._entries.items():
            if reader == experts and (shared := self._shared(state.ids, ids)) > best:
                best, found = shared, state
        return self._decoder.cut(found, best) if found and best < len(found.ids) else found


def common_length(a: np.ndarray, b: np.ndarray) -> int:
    """How many ids both begin with."""
    length = min(len(a), len(b))
    differs = np.flatnonzero(a[:length] != b[:length])
    return int(differs[0]) if len(differs) else length
