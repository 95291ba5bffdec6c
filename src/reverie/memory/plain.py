"""Loops over the rows of a topology without numba, whose import costs a process more than a few questions do.

``kernels.py`` has ``expand``, ``fill`` and ``pagerank`` compiled, and says what rows are.
"""

from __future__ import annotations

import numpy as np

from reverie.memory.rows import Columns, Rows

__all__ = ["entries", "expand", "fill", "pagerank", "patch"]


def fill(
    order: np.ndarray, subjects: np.ndarray, objects: np.ndarray, weights: np.ndarray, num_rows: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """offsets, others, weights, codes and totals of edges that are laid down in ``order`` (E,)."""
    tails = np.stack((subjects[order], objects[order]), 1).ravel()
    heads = np.stack((objects[order], subjects[order]), 1).ravel()
    codes = np.stack((2 * order, 2 * order + 1), 1).ravel().astype(np.int32)
    once = np.ones(len(tails), bool)
    once[1::2] = tails[1::2] != heads[1::2]  # a loop is one entry
    tails, heads, codes = tails[once], heads[once], codes[once]
    heavy = weights[codes >> 1]
    totals = np.bincount(tails, heavy, num_rows).astype(np.float32)
    offsets = np.concatenate(([0], np.cumsum(np.bincount(tails, minlength=num_rows)))).astype(np.int64)
    by_row = np.argsort(tails, kind="stable")
    return offsets, heads[by_row].astype(np.int32), heavy[by_row], codes[by_row], totals


def entries(rows: Rows, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The entries of the rows of ``nodes`` (D,), one row after the other: which row int64 (n,), others, weights, codes.

    Nodes that are not known have none.
    """
    starts, stops = np.zeros(len(nodes), np.int64), np.zeros(len(nodes), np.int64)
    known = (nodes >= 0) & (nodes < len(rows.offsets) - 1)
    starts[known], stops[known] = rows.offsets[nodes[known]], rows.offsets[nodes[known] + 1]
    slots = np.full(len(nodes), -1, np.int64)
    slotted = (nodes >= 0) & (nodes < len(rows.slots))
    slots[slotted] = rows.slots[nodes[slotted]]
    changed = slots >= 0
    starts[changed], stops[changed] = rows.starts[slots[changed]], rows.stops[slots[changed]]
    counts = stops - starts
    which = np.repeat(np.arange(len(nodes)), counts)
    at = np.arange(len(which)) + np.repeat(starts - np.cumsum(counts) + counts, counts)
    new = changed[which]
    columns = []
    for old, fresh in ((rows.others, rows.new_others), (rows.weights, rows.new_weights), (rows.codes, rows.new_codes)):
        column = np.empty(len(which), old.dtype)
        column[new], column[~new] = fresh[at[new]], old[at[~new]]
        columns.append(column)
    return which, columns[0], columns[1], columns[2]


def patch(
    rows: Rows, columns: Columns, nodes: np.ndarray, removed: np.ndarray,
    tails: np.ndarray, heads: np.ndarray, weights: np.ndarray, codes: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """The rows of ``nodes`` (D,), ascending, anew: how many entries each has, others, weights, codes, and totals (D,).

    ``removed`` holds places of edges; the new entries (``tails`` to ``codes``) may lie in any order.
    """
    which, others, heavy, old = entries(rows, nodes)
    kept = ~np.isin(old >> 1, removed)
    which = np.concatenate((which[kept], np.searchsorted(nodes, tails)))
    others, heavy = np.concatenate((others[kept], heads)), np.concatenate((heavy[kept], weights))
    codes = np.concatenate((old[kept], codes))
    order = np.lexsort((_ids(columns, codes >> 1), -heavy, which))
    which, others, heavy, codes = which[order], others[order], heavy[order], codes[order]
    totals = np.bincount(which, heavy, len(nodes)).astype(np.float32)
    return np.bincount(which, minlength=len(nodes)), others, heavy, codes, totals


def expand(
    rows: Rows, columns: Columns, start_nodes: np.ndarray, hops: int, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The fields of a Subgraph: breadth first from the start nodes over the ``k`` heaviest edges of each node."""
    nodes = list(dict.fromkeys(start_nodes.tolist()))
    places, depths = {node: place for place, node in enumerate(nodes)}, [0] * len(nodes)
    last: dict[int, tuple[float, int] | None] = {}  # weight and edge of the k-th entry of a row that is longer
    kept: list[tuple[int, float, int, int]] = []
    done = 0
    for hop in range(hops):
        rim, done = np.array(nodes[done:], np.int64), len(nodes)
        which, others, heavy, codes = entries(rows, rim)
        first = np.searchsorted(which, np.arange(len(rim) + 1))
        for at, node in enumerate(rim.tolist()):
            last[node] = None
            if first[at + 1] - first[at] > k > 0:
                place = first[at] + k - 1
                last[node] = float(heavy[place]), int(_ids(columns, codes[place : place + 1] >> 1)[0])
        near = np.arange(len(which)) - first[which] < k
        ids = _ids(columns, codes[near] >> 1)
        found = zip(
            which[near].tolist(), others[near].tolist(), heavy[near].tolist(), codes[near].tolist(), ids.tolist()
        )
        base = done - len(rim)
        for row, other, weight, code, edge in found:
            i = base + row
            place = places.setdefault(other, len(nodes))
            if place == len(nodes):
                nodes.append(other)
                depths.append(hop + 1)
            elif place < i:
                limit = last[other]
                if limit is None or weight > limit[0] or (weight == limit[0] and edge <= limit[1]):
                    continue  # laid down already, from its other end
            kept.append((code, weight, *((place, i) if code & 1 else (i, place))))
    said = np.array([one[0] for one in kept], np.int64) >> 1
    ends = np.array([one[2:] for one in kept], np.int32).reshape(-1, 2)
    heavy = np.array([one[1] for one in kept], np.float32)
    relations = _said(columns.relations, columns.new_relations, said)
    return (
        np.array(nodes, np.int64), np.array(depths, np.int8), _ids(columns, said), ends[:, 0], ends[:, 1], relations,
        heavy,
    )  # fmt: skip


def pagerank(
    rows: Rows, start_nodes: np.ndarray, shares: np.ndarray, damping: float, tolerance: float, hub: float,
    volume: float, top: int,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The ``top`` nodes and scores of the compiled loop, within its tolerance: here all nodes push at once."""
    totals = rows.totals
    waiting, settled = np.zeros(len(totals)), np.zeros(len(totals))
    now, touched = start_nodes, [start_nodes]
    waiting[now] = shares
    while len(now):
        mass, total = waiting[now], totals[now].astype(float)
        joined = total > 0
        passed = np.where(joined, damping * np.minimum(1.0, hub / np.where(joined, total, 1.0)) * mass, 0.0)
        settled[now] += mass - passed
        waiting[now] = 0.0
        which, others, heavy, _ = entries(rows, now)
        which, others, heavy = which[heavy > 0], others[heavy > 0], heavy[heavy > 0]
        if not len(which):
            break
        reached, inverse = np.unique(others, return_inverse=True)
        waiting[reached] += np.bincount(inverse, (passed / np.where(joined, total, 1.0))[which] * heavy)
        touched.append(reached)
        now = reached[waiting[reached] > tolerance * totals[reached]].astype(np.int64)
    nodes = np.unique(np.concatenate(touched)).astype(np.int64)
    scores = settled[nodes] + (1 - damping) * waiting[nodes]
    if volume > 0:
        scores += damping * waiting[nodes].sum() * totals[nodes] / volume
    best = np.lexsort((nodes, -scores))[:top]
    return nodes[best], scores[best].astype(np.float32)


def _ids(columns: Columns, places: np.ndarray) -> np.ndarray:
    return _said(columns.ids, columns.new_ids, places)


def _said(old: np.ndarray, new: np.ndarray, places: np.ndarray) -> np.ndarray:
    """What stands at ``places`` of the columns ``old`` and, behind them, ``new``."""
    found = np.empty(len(places), old.dtype)
    late = places >= len(old)
    found[~late], found[late] = old[places[~late]], new[places[late] - len(old)]
    return found
