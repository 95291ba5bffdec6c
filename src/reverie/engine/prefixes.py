"""Remembers what the decoder has read, so that a prefix which only grew is read from where it grew."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
from torch import Tensor

from reverie.engine.changes import Cast, Mixture
from reverie.engine.decoder import Decoder

__all__ = ["PrefixCache", "common_length"]


class PrefixCache:
    """Keys and values of the prefixes used last, up to ``max_ids`` ids in all; shared beginnings are reused.

    They depend on the experts that read them: what one cast read is of no use to another.
    """

    def __init__(self, decoder: Decoder, max_ids: int):
        self._decoder = decoder
        self._max_ids = max_ids
        self._num_ids = 0
        self._entries: OrderedDict[tuple[Cast, tuple[int, ...]], tuple[np.ndarray, Tensor, Tensor]] = OrderedDict()

    def read(
        self, prefix: tuple[int, ...], cast: Cast = (), mixture: Mixture | None = None, row: int = 0
    ) -> tuple[Tensor, Tensor]:
        """The hidden state (D,) after ``prefix``, before the last norm, and its keys and values (L, 2, H, P, Dh).

        ``mixture``: what the experts of a batch add, of which ``cast`` is at ``row``.
        """
        entry = self._entries.pop((cast, prefix), None)
        if entry is None:
            ids = np.asarray(prefix, dtype=np.int64)
            shared, past = self._longest_shared(ids, cast)
            changes = mixture.alike(row, len(ids) - shared) if mixture is not None and cast else None
            hidden, cache = self._decoder.read(torch.from_numpy(ids[shared:]), past, changes)
            entry = ids, hidden[-1], cache
            self._num_ids += len(prefix)
        self._entries[cast, prefix] = entry  # now the one used last
        while self._num_ids > self._max_ids and len(self._entries) > 1:
            (_, old), _ = self._entries.popitem(last=False)
            self._num_ids -= len(old)
        return entry[1:]

    def _longest_shared(self, ids: np.ndarray, cast: Cast) -> tuple[int, Tensor | None]:
        """How many ids some entry shares with ``ids`` (at least one stays to be read), and their keys and values."""
        best, past = 0, None
        for (reader, _), (known, _, cache) in self._entries.items():
            shared = common_length(known, ids[:-1]) if reader == cast else 0
            if shared > best:
                best, past = shared, cache[:, :, :, :shared]
        return best, past


def common_length(a: np.ndarray, b: np.ndarray) -> int:
    """How many ids both begin with."""
    length = min(len(a), len(b))
    differs = np.flatnonzero(a[:length] != b[:length])
    return int(differs[0]) if len(differs) else length
