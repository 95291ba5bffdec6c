"""The compiled loop of routed experts: a few rows of one expert at a time, its factors in the nearest cache."""

from __future__ import annotations

import numpy as np
from numba import float32

from reverie.compiled import compiled

__all__ = ["add_routed"]

STEP = 4  # rows, and ranks, of one tile: 16 sums, as many as stay in registers beside what they read
_TILE = 512  # columns of the outputs that wait in the first cache while an expert's ranks are added


@compiled(fastmath=True)
def add_routed(
    x: np.ndarray,
    down: np.ndarray,
    up: np.ndarray,
    starts: np.ndarray,
    widths: np.ndarray,
    rows: np.ndarray,
    bounds: np.ndarray,
    experts: np.ndarray,
    scales: np.ndarray,
    out: np.ndarray,
) -> None:
    """out (N, Σ widths) += the sum over a row's experts s of scale · x (N, in) @ down_s.T (in, R_s) @ up_s (R_s, W)

    Groups of rows have the same experts: rows int64 (M,), of which those of group g are bounds[g] to bounds[g + 1];
    experts int64 (G, K) of a group, -1 from where it has no more; scales float32 (M, K). float32: down (ΣR, in), up
    (ΣR, W), ``starts`` int64 (P·S + 1,) and ``widths`` int64 (P,) as in ``StackedFactors``, each rank a multiple of
    STEP.
    """
    num_experts = (len(starts) - 1) // len(widths)
    inner = np.empty((STEP, len(down)), dtype=np.float32)
    buffer = np.zeros((STEP + 1) * _TILE, dtype=np.float32)
    border = (-buffer.ctypes.data % 64) // 4  # of cache lines, where torch's tensors begin, too: twice as fast
    tile = buffer[border : border + STEP * _TILE].reshape(STEP, _TILE)
    block, scale = np.empty(STEP, dtype=np.int64), np.empty((experts.shape[1], STEP), dtype=np.float32)
    for group in range(len(experts)):
        count = 0
        while count < experts.shape[1] and experts[group, count] >= 0:
            count += 1
        first, last = bounds[group], bounds[group + 1]
        while first < last:
            height = 1  # a row that comes twice begins a block of its own: it must see what was added
            while height < STEP and first + height < last and rows[first + height] != rows[first + height - 1]:
                height += 1
            for i in range(STEP):
                block[i] = rows[first + min(i, height - 1)]
                for place in range(count):
                    scale[place, i] = scales[first + min(i, height - 1), place]
            offset = 0
            for part in range(len(widths)):
                width = widths[part]
                for place in range(count):
                    at = part * num_experts + experts[group, place]
                    for rank in range(starts[at], starts[at + 1], STEP):
                        _narrow(x, block, scale[place], down, rank, inner)
                for column in range(0, width, _TILE):
                    begin, wide = offset + column, min(_TILE, width - column)
                    for i in range(height):
                        _copy(out[block[i]][begin : begin + wide], tile[i])
                    for place in range(count):
                        at = part * num_experts + experts[group, place]
                        for rank in range(starts[at], starts[at + 1], STEP):
                            _widen(inner, up, rank, column, wide, tile)
                    for i in range(height):
                        _copy(tile[i][:wide], out[block[i]][begin:])
                offset += width
            first += height


@compiled(fastmath=True, inline="always")
def _narrow(
    x: np.ndarray, block: np.ndarray, scale: np.ndarray, down: np.ndarray, rank: int, inner: np.ndarray
) -> None:
    """inner[:4, rank : rank + 4] = scale (4, 1) * x[block] @ down[rank : rank + 4].T"""
    xa, xb, xc, xd = x[block[0]], x[block[1]], x[block[2]], x[block[3]]
    p, q, r, s = down[rank], down[rank + 1], down[rank + 2], down[rank + 3]
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = c0 = c1 = c2 = c3 = d0 = d1 = d2 = d3 = float32(0.0)
    for i in range(x.shape[1]):
        a0, a1, a2, a3 = a0 + xa[i] * p[i], a1 + xa[i] * q[i], a2 + xa[i] * r[i], a3 + xa[i] * s[i]
        b0, b1, b2, b3 = b0 + xb[i] * p[i], b1 + xb[i] * q[i], b2 + xb[i] * r[i], b3 + xb[i] * s[i]
        c0, c1, c2, c3 = c0 + xc[i] * p[i], c1 + xc[i] * q[i], c2 + xc[i] * r[i], c3 + xc[i] * s[i]
        d0, d1, d2, d3 = d0 + xd[i] * p[i], d1 + xd[i] * q[i], d2 + xd[i] * r[i], d3 + xd[i] * s[i]
    a, b, c, d = scale[0], scale[1], scale[2], scale[3]
    inner[0, rank], inner[0, rank + 1], inner[0, rank + 2], inner[0, rank + 3] = a * a0, a * a1, a * a2, a * a3
    inner[1, rank], inner[1, rank + 1], inner[1, rank + 2], inner[1, rank + 3] = b * b0, b * b1, b * b2, b * b3
    inner[2, rank], inner[2, rank + 1], inner[2, rank + 2], inner[2, rank + 3] = c * c0, c * c1, c * c2, c * c3
    inner[3, rank], inner[3, rank + 1], inner[3, rank + 2], inner[3, rank + 3] = d * d0, d * d1, d * d2, d * d3


@compiled(fastmath=True, inline="always")
def _widen(inner: np.ndarray, up: np.ndarray, rank: int, column: int, wide: int, tile: np.ndarray) -> None:
    """tile[:4, :wide] += inner[:4, rank : rank + 4] @ up[rank : rank + 4, column : column + wide]"""
    end = column + wide
    p, q, r, s = up[rank][column:end], up[rank + 1][column:end], up[rank + 2][column:end], up[rank + 3][column:end]
    a, b, c, d = tile[0], tile[1], tile[2], tile[3]
    a0, a1, a2, a3 = inner[0, rank], inner[0, rank + 1], inner[0, rank + 2], inner[0, rank + 3]
    b0, b1, b2, b3 = inner[1, rank], inner[1, rank + 1], inner[1, rank + 2], inner[1, rank + 3]
    c0, c1, c2, c3 = inner[2, rank], inner[2, rank + 1], inner[2, rank + 2], inner[2, rank + 3]
    d0, d1, d2, d3 = inner[3, rank], inner[3, rank + 1], inner[3, rank + 2], inner[3, rank + 3]
    for k in range(wide):
        a[k] += a0 * p[k] + a1 * q[k] + a2 * r[k] + a3 * s[k]
        b[k] += b0 * p[k] + b1 * q[k] + b2 * r[k] + b3 * s[k]
        c[k] += c0 * p[k] + c1 * q[k] + c2 * r[k] + c3 * s[k]
        d[k] += d0 * p[k] + d1 * q[k] + d2 * r[k] + d3 * s[k]


@compiled(fastmath=True, inline="always")
def _copy(values: np.ndarray, into: np.ndarray) -> None:
    for k in range(len(values)):
        into[k] = values[k]
