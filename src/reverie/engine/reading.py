"""Reading many texts at once: what each attends to, and the keys and values that it leaves.

Axes: L layers, H heads of queries, G of keys and values, s = H / G of them for one, Dh head size, P ids of the past, T
new ids of a text, n texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Kept", "Reading", "holders_of"]

_PARTS = 4  # of a past: where it has more they become one, so that a growing one is not put together at every step
_LONG = 64  # ids: longer texts are worth a call of their own
_MOST = 2**24  # scores at once, of texts side by side


@dataclass(frozen=True, eq=False)
class Kept:
    """Keys and values of a prefix, one part after the other; prefixes that begin alike share parts."""

    parts: tuple[Tensor, ...] = ()  # each (L, 2, G, ids, Dh)

    def __len__(self) -> int:
        return sum(part.shape[3] for part in self.parts)

    @property
    def key(self) -> tuple[tuple[int, int], ...]:
        """Alike where it is the same memory."""
        return tuple((part.data_ptr(), part.shape[3]) for part in self.parts)

    def after(self, part: Tensor) -> Kept:
        """The prefix with what was read after it."""
        parts = (*self.parts, part)
        return Kept(parts if len(parts) <= _PARTS else (torch.cat(parts, 3),))

    def between(self, first: int, last: int) -> list[Tensor]:
        """The parts of the ids from ``first`` to ``last``."""
        found, start = [], 0
        for part in self.parts:
            ids = slice(max(first - start, 0), max(last - start, 0))
            if len(range(part.shape[3])[ids]):
                found.append(part[:, :, :, ids])
            start += part.shape[3]
        return found

    def layer(self, place: int) -> Tensor:  # (2, G, P, Dh)
        return self.parts[0][place] if len(self.parts) == 1 else torch.cat([part[place] for part in self.parts], 2)


def holders_of(texts: Sequence[np.ndarray]) -> list[int]:
    """For each text the place of one that begins with it: its own, where no other does."""
    order = sorted(range(len(texts)), key=lambda place: texts[place].tolist())
    holders = list(range(len(texts)))
    for place, following in reversed(list(pairwise(order))):  # whatever begins with a text follows it at once
        if np.array_equal(texts[following][: len(texts[place])], texts[place]):
            holders[place] = holders[following]
    return holders


class Reading:
    """Texts of ``counts`` ids each, one after another, that follow ``pasts``."""

    def __init__(self, counts: Sequence[int], pasts: Sequence[Kept]):
        self._counts, self._pasts = counts, pasts
        ends = torch.tensor(counts).cumsum(0)
        self._firsts = (ends - torch.tensor(counts)).tolist()
        alike: dict[object, list[int]] = {}
        for text, (count, past) in enumerate(zip(counts, pasts, strict=True)):
            # texts of one past and about one length run side by side
            alike.setdefault((past.key, count.bit_length()) if count < _LONG else text, []).append(text)
        self._groups = [group for texts in alike.values() for group in self._split(texts)]

    def _split(self, texts: list[int]) -> list[list[int]]:
        longest = max(self._counts[text] for text in texts)
        most = max(1, _MOST // (16 * longest * (longest + len(self._pasts[texts[0]]))))
        return [texts[start : start + most] for start in range(0, len(texts), most)]

    def attend(self, place: int, q: Tensor, kv: Tensor, out: Tensor) -> None:
        """q (H, ΣT, Dh), turned and scaled, and kv (2, G, ΣT, Dh) of layer ``place`` → out (ΣT, H, Dh)."""
        for texts in self._groups:
            past = self._pasts[texts[0]]
            before = past.layer(place) if past.parts else kv[:, :, :0]
            if len(texts) > 1:
                self._beside(texts, q, kv, before, out)
            else:
                first = self._firsts[texts[0]]
                own = slice(first, first + self._counts[texts[0]])
                _alone(q[:, own], torch.cat((before, kv[:, :, own]), 2) if past.parts else kv[:, :, own], out[own])

    def _beside(self, texts: list[int], q: Tensor, kv: Tensor, before: Tensor, out: Tensor) -> None:
        """Texts side by side, short ones filled up at their ends, where nothing before looks."""
        n, P, groups, size = len(texts), before.shape[2], kv.shape[1], q.shape[2]
        T = max(self._counts[text] for text in texts)
        steps = torch.arange(T)
        firsts, counts = (
            torch.tensor([each[text] for text in texts])[:, None] for each in (self._firsts, self._counts)
        )
        ids = firsts + torch.minimum(steps, counts - 1)  # (n, T)
        queries = q[:, ids].view(groups, -1, n, T, size).transpose(1, 2).reshape(groups, -1, size)  # (G, n s T, Dh)
        keys, values = kv[:, :, ids].flatten(1, 2)  # (G n, T, Dh) each
        own = torch.bmm(queries.view(groups * n, -1, size), keys.transpose(1, 2))  # (G n, s T, T)
        own = own.unflatten(1, (-1, T)).masked_fill_(steps > steps[:, None], float("-inf")).view(groups, -1, T)
        shares = torch.cat((torch.bmm(queries, before[0].transpose(1, 2)), own), 2).softmax(-1)
        found = torch.bmm(shares[:, :, P:].reshape(groups * n, -1, T), values).view(queries.shape)
        if P:
            found = found.baddbmm_(shares[:, :, :P], before[1])
        there = steps < counts
        out[ids[there]] = found.view(groups, n, -1, T, size).permute(1, 3, 0, 2, 4).flatten(2, 3)[there]


def _alone(q: Tensor, kv: Tensor, out: Tensor) -> None:
    """q (H, T, Dh), kv (2, G, P + T, Dh) → out (T, H, Dh)"""
    T, whole = q.shape[1], kv.shape[2]
    seen = torch.ones(T, whole, dtype=torch.bool).tril_(whole - T) if whole > T > 1 else None
    found = F.scaled_dot_product_attention(
        q[None],
        kv[None, 0],
        kv[None, 1],
        attn_mask=seen,
        is_causal=whole == T,
        scale=1.0,
        enable_gqa=q.shape[0] > kv.shape[1],
    )
    out.copy_(found[0].transpose(0, 1))
