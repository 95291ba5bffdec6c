"""Remembers what the decoder has read, so that a prefix which only grew is read from where it grew."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
from torch import Tensor

from reverie.engine.decoder import Decoder

__all__ = ["PrefixCache", "common_length"]


class PrefixCache:
    """Keys and values of the prefixes used last, up to ``max_ids`` ids in all; shared beginnings are reused."""

    def __init__(self, decoder: Decoder, max_ids: int):
        self._decoder = decoder
        self._max_ids = max_ids
        self._num_ids = 0
        self._entries: OrderedDict[tuple[int, ...], tuple[np.ndarray, Tensor, Tensor]] = OrderedDict()

    def read(self, prefix: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """The hidden state (D,) after ``prefix``, before the last norm, and its keys and values (L, 2, H, P, Dh)."""
        entry = self._entries.pop(prefix, None)
        if entry is None:
            ids = np.asarray(prefix, dtype=np.int64)
            shared, past = self._longest_shared(ids)
            hidden, cache = self._decoder.read(torch.from_numpy(ids[shared:]), past)
            entry = ids, hidden[-1], cache
            self._num_ids += len(prefix)
        self._entries[prefix] = entry  # now the one used last
        while self._num_ids > self._max_ids and len(self._entries) > 1:
            old, _ = self._entries.popitem(last=False)
            self._num_ids -= len(old)
        return entry[1:]

    def _longest_shared(self, ids: np.ndarray) -> tuple[int, Tensor | None]:
        """How many ids some entry shares with ``ids`` (at least one stays to be read), and their keys and values."""
        best, past = 0, None
        for known, _, cache in self._entries.values():
            shared = common_length(known, ids[:-1])
            if shared > best:
                best, past = shared, cache[:, :, :, :shared]
        return best, past


def common_length(a: np.ndarray, b: np.ndarray) -> int:
    """How many ids both begin with."""
    length = min(len(a), len(b))
    differs = np.flatnonzero(a[:length] != b[:length])
    return int(differs[0]) if len(differs) else length
