"""Rows of numbers rounded to 8 bits, each row by its own largest, as compiled loops."""

from __future__ import annotations

import numpy as np
from numba import float32

from reverie.compiled import compiled

__all__ = ["round_twice", "round_weights"]


@compiled(fastmath=True)
def round_weights(weight: np.ndarray, rounded: np.ndarray, scales: np.ndarray) -> None:
    """weight float32 (out, in) ≈ scales float32 (out,) · rounded int8 (out, in)."""
    for n in range(weight.shape[0]):
        row, into, scale = weight[n], rounded[n], _largest(weight[n]) / float32(127)
        scales[n] = scale
        by = float32(1) / scale
        for i in range(len(row)):
            into[i] = np.int8(np.int32(row[i] * by + float32(128.5)) - 128)


@compiled(fastmath=True)
def round_twice(x: np.ndarray, half: int, rounded: np.ndarray, scales: np.ndarray) -> None:
    """x float32 (N, in) ≈ scales float32 (N, 1) · (rounded[:N] - half - 1 + (rounded[N:] - half - 1) / (2 half)).

    rounded uint8 (2N, in): what 8 bits say of each number, and what they say of the rest; ``half`` at most 127.
    """
    num_rows = x.shape[0]
    middle, finer = float32(half + 1.5), float32(2 * half)
    for n in range(num_rows):
        row, coarse, fine = x[n], rounded[n], rounded[num_rows + n]
        largest = _largest(row)
        scales[n, 0] = largest / float32(half)
        by = float32(half) / largest
        for i in range(len(row)):
            value = row[i] * by + middle
            whole = np.int32(value)
            coarse[i] = np.uint8(whole)
            fine[i] = np.uint8(np.int32((value - float32(whole) - float32(0.5)) * finer + middle))


@compiled(fastmath=True, inline="always")
def _largest(row: np.ndarray) -> float:
    largest = float32(1e-30)
    for i in range(len(row)):
        largest = max(largest, abs(row[i]))
    return largest
