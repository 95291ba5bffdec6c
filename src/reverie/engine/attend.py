"""Attention of N branches, one id each, as one compiled loop: what a decode step does between its matrix products.

With a few dozen keys of 32 numbers a call of a batched product costs more than its sums, and a step would need twenty
such calls a layer. Here a step reads every key and value once, in the order in which they lie.
"""

from __future__ import annotations

import numpy as np
from numba import float32

from reverie.compiled import compiled

__all__ = ["attend"]


@compiled(fastmath=True, inline="always")
def _exp(x: float) -> float:
    """e^x for x <= 0 in float32, without a branch, so that a loop of it is vectorised; relative error below 2e-7.

    2^n is put together from its bits; the rest, within half a power of two, is a polynomial (Cephes expf, Moshier).
    """
    x = max(x, float32(-87.0))
    n = np.floor(x * float32(1.44269504) + float32(0.5))
    r = x - n * float32(0.693359375) + n * float32(2.12194440e-4)
    p = float32(1.9875691500e-4)
    p = p * r + float32(1.3981999507e-3)
    p = p * r + float32(8.3334519073e-3)
    p = p * r + float32(4.1665795894e-2)
    p = p * r + float32(1.6666665459e-1)
    p = p * r + float32(5.0000001201e-1)
    p = p * r * r + r + float32(1.0)
    return p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@compiled(fastmath=True, inline="always")
def _score(query: np.ndarray, keys: np.ndarray, count: int, scores: np.ndarray) -> None:
    """scores[:count] = keys[:count] (·, Dh) · query (Dh,)"""
    whole = count - count % 4
    for i in range(0, whole, 4):  # four sums at once hide each other's latency
        a = b = c = e = float32(0.0)
        for d in range(len(query)):
            a += query[d] * keys[i, d]
            b += query[d] * keys[i + 1, d]
            c += query[d] * keys[i + 2, d]
            e += query[d] * keys[i + 3, d]
        scores[i], scores[i + 1], scores[i + 2], scores[i + 3] = a, b, c, e
    for i in range(whole, count):
        a = float32(0.0)
        for d in range(len(query)):
            a += query[d] * keys[i, d]
        scores[i] = a


@compiled(fastmath=True, inline="always")
def _mix(scores: np.ndarray, values: np.ndarray, count: int, out: np.ndarray) -> None:
    """out (Dh,) += scores[:count] · values[:count] (·, Dh)"""
    whole = count - count % 4
    for i in range(0, whole, 4):
        a, b, c, e = scores[i], scores[i + 1], scores[i + 2], scores[i + 3]
        for d in range(len(out)):
            out[d] += (a * values[i, d] + b * values[i + 1, d]) + (c * values[i + 2, d] + e * values[i + 3, d])
    for i in range(whole, count):
        for d in range(len(out)):
            out[d] += scores[i] * values[i, d]


@compiled(fastmath=True)
def attend(
    qkv: np.ndarray,
    turns: np.ndarray,
    pool: np.ndarray,
    spans: np.ndarray,
    own: np.ndarray,
    slots: np.ndarray,
    drawn: np.ndarray,
    out: np.ndarray,
) -> None:
    """One layer's attention; puts the new keys and values in their place first.

    float32 unless said: qkv (N, H + 2G, Dh), heads of queries, keys and values, q and k with each head's rotary pairs
    side by side, each key head for H / G of the queries; turns (positions, Dh), cos and sin in turn; keys and values of
    prefixes: pool (2, G, P, Dh), of which row n sees two spans, spans int64 (N, 4): where each begins and how long it
    is; what rows drew: own (2, G, S, C, Dh), row n in slot slots[n], int64 (N,), of which drawn[n], int64 (N,), are
    there; out (N, H, Dh).
    """
    num_rows, heads, head_size = out.shape
    groups = pool.shape[1]
    shares = heads // groups
    longest = 0
    for n in range(num_rows):
        longest = max(longest, spans[n, 1] + spans[n, 3] + drawn[n] + 1)
    scores = np.empty(longest, dtype=np.float32)
    query = np.empty(head_size, dtype=np.float32)
    mixed = np.empty(head_size, dtype=np.float32)
    for g in range(groups):
        keys, values = pool[0, g], pool[1, g]
        for n in range(num_rows):
            first, shared, second, rest = spans[n]
            before, slot, count = shared + rest, slots[n], drawn[n] + 1
            key, value = own[0, g, slot, drawn[n]], own[1, g, slot, drawn[n]]
            turn, new = turns[before + drawn[n]], qkv[n]
            for d in range(0, head_size, 2):
                a, b = new[heads + g, d], new[heads + g, d + 1]
                key[d], key[d + 1] = a * turn[d] - b * turn[d + 1], a * turn[d + 1] + b * turn[d]
            for d in range(head_size):
                value[d] = new[heads + groups + g, d]
            for h in range(g * shares, (g + 1) * shares):
                for d in range(0, head_size, 2):
                    a, b = new[h, d], new[h, d + 1]
                    query[d], query[d + 1] = a * turn[d] - b * turn[d + 1], a * turn[d + 1] + b * turn[d]
                for d in range(head_size):
                    mixed[d] = float32(0.0)
                total = before + count
                _score(query, keys[first:], shared, scores)
                _score(query, keys[second:], rest, scores[shared:])
                _score(query, own[0, g, slot], count, scores[before:])
                top = scores[0]
                for i in range(total):
                    top = max(top, scores[i])
                mass = float32(0.0)
                for i in range(total):
                    scores[i] = _exp(scores[i] - top)
                    mass += scores[i]
                _mix(scores, values[first:], shared, mixed)
                _mix(scores[shared:], values[second:], rest, mixed)
                _mix(scores[before:], own[1, g, slot], count, mixed)
                for d in range(head_size):
                    out[n, h, d] = mixed[d] / mass
