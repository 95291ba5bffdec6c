"""Compiled loops over the rows of a topology. They hold no lock of Python's, so readers run beside one another.
``plain.py`` has the same without numba.

A row has the edges of one node, those that leave it and those that come to it, heaviest first (of equal ones the lower
id first). Both directions share a row because recall reads them together: its k heaviest edges are one stretch of
memory. ``codes`` say 2 * place of the edge in the columns, + 1 where the row's node is the object. An edge from a node
to itself is one entry.
"""

from __future__ import annotations

import heapq
import math
from typing import Any

import numpy as np

from reverie.compiled import compiled
from reverie.memory.rows import BOTH, Columns, Rows

__all__ = [
    "compact",
    "expand",
    "fill",
    "neighbours",
    "pagerank",
    "sample",
    "walk",
]

# reading rows ---------------------------------------------------------------------------------------------------


@compiled
def _row(rows: Rows, node: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """others, weights and codes of a node; empty where it has none or is not known."""
    if 0 <= node < len(rows.slots) and rows.slots[node] >= 0:
        start, stop = rows.starts[rows.slots[node]], rows.stops[rows.slots[node]]
        return rows.new_others[start:stop], rows.new_weights[start:stop], rows.new_codes[start:stop]
    start = stop = 0
    if 0 <= node < len(rows.offsets) - 1:
        start, stop = rows.offsets[node], rows.offsets[node + 1]
    return rows.others[start:stop], rows.weights[start:stop], rows.codes[start:stop]


@compiled
def _id(columns: Columns, place: int) -> int:
    known = len(columns.ids)
    found: int = columns.ids[place] if place < known else columns.new_ids[place - known]
    return found


@compiled
def _said(columns: Columns, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ids and relations of edges."""
    ids, relations, new_ids, new_relations = columns
    known, count = len(ids), len(codes)
    edges, kinds = np.empty(count, np.int64), np.empty(count, np.int32)
    for i in range(count):
        place = codes[i] >> 1
        if place < known:
            edges[i], kinds[i] = ids[place], relations[place]
        else:
            edges[i], kinds[i] = new_ids[place - known], new_relations[place - known]
    return edges, kinds


# making rows ----------------------------------------------------------------------------------------------------


@compiled
def fill(
    order: np.ndarray, subjects: np.ndarray, objects: np.ndarray, weights: np.ndarray, num_rows: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """offsets, others, weights, codes and totals of edges that are laid down in ``order`` (E,)."""
    offsets = np.zeros(num_rows + 1, np.int64)
    for i in range(len(order)):
        offsets[subjects[i] + 1] += 1
        if objects[i] != subjects[i]:
            offsets[objects[i] + 1] += 1
    for row in range(num_rows):
        offsets[row + 1] += offsets[row]
    at, count = offsets[:-1].copy(), offsets[num_rows]
    others, codes, heavy = np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.float32)
    totals = np.zeros(num_rows, np.float64)
    for place in order:
        tail, head, weight = subjects[place], objects[place], weights[place]
        spot = at[tail]
        others[spot], heavy[spot], codes[spot] = head, weight, 2 * place
        at[tail] += 1
        totals[tail] += weight
        if head != tail:
            spot = at[head]
            others[spot], heavy[spot], codes[spot] = tail, weight, 2 * place + 1
            at[head] += 1
            totals[head] += weight
    return offsets, others, heavy, codes, totals.astype(np.float32)


@compiled
def compact(rows: Rows, places: np.ndarray, num_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The same rows as one stretch: offsets, others, weights, codes. ``places``: old place -> new place."""
    offsets = np.zeros(num_rows + 1, np.int64)
    for node in range(num_rows):
        offsets[node + 1] = offsets[node] + len(_row(rows, node)[0])
    count = offsets[num_rows]
    others, weights, codes = np.empty(count, np.int32), np.empty(count, np.float32), np.empty(count, np.int32)
    for node in range(num_rows):
        start = offsets[node]
        from_others, from_weights, from_codes = _row(rows, node)
        for i in range(len(from_others)):
            others[start + i], weights[start + i] = from_others[i], from_weights[i]
            codes[start + i] = 2 * places[from_codes[i] >> 1] + (from_codes[i] & 1)
    return offsets, others, weights, codes


# neighbours and subgraphs ---------------------------------------------------------------------------------------


@compiled
def neighbours(
    rows: Rows, columns: Columns, node: int, k: int, direction: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """nodes, edge ids and weights of the ``k`` heaviest edges of a node in a direction."""
    others, weights, codes = _row(rows, node)
    room = min(k, len(others))
    nodes, chosen, heavy = np.empty(room, np.int64), np.empty(room, np.int32), np.empty(room, np.float32)
    count = 0
    for i in range(len(others)):
        if count == room:
            break
        if direction == BOTH or codes[i] & 1 == direction or others[i] == node:
            nodes[count], chosen[count], heavy[count] = others[i], codes[i], weights[i]
            count += 1
    return nodes[:count], _said(columns, chosen[:count])[0], heavy[:count]


@compiled
def _find(table: np.ndarray, keys: np.ndarray, key: int) -> int:
    """Where in the hash ``table`` of places (+ 1; 0 = free) in ``keys`` the key stands, or would stand."""
    mask = len(table) - 1
    spot = (key * 0x9E3779B1 >> 15) & mask  # Knuth's multiplicative hash
    while table[spot] != 0 and keys[table[spot] - 1] != key:
        spot = (spot + 1) & mask
    return spot


@compiled
def _hashed(keys: np.ndarray, count: int, room: int) -> np.ndarray:
    """A table of the first ``count`` keys, roomy enough for ``room`` of them."""
    size = 64
    while size < 2 * room:
        size *= 2
    table = np.zeros(size, np.int32)
    for i in range(count):
        table[_find(table, keys, keys[i])] = i + 1
    return table


@compiled
def _grown(array: np.ndarray, count: int, room: int) -> np.ndarray:
    larger = np.empty(room, array.dtype)
    larger[:count] = array[:count]
    return larger


@compiled
def _unique(start_nodes: np.ndarray) -> np.ndarray:
    """Start nodes without their repetitions, in the order given."""
    nodes, count = np.empty(len(start_nodes), np.int64), 0
    table = _hashed(nodes, 0, len(start_nodes))
    for node in start_nodes:
        at = _find(table, nodes, node)
        if table[at] == 0:
            nodes[count] = node
            count += 1
            table[at] = count
    return nodes[:count]


@compiled
def _is_among(rows: Rows, columns: Columns, node: int, k: int, weight: float, code: int) -> bool:
    """Whether an edge of ``node`` is one of its ``k`` heaviest."""
    _, weights, codes = _row(rows, node)
    if k >= len(weights) or weight > weights[k - 1]:
        return True
    among: bool = weight == weights[k - 1] and _id(columns, code >> 1) <= _id(columns, codes[k - 1] >> 1)
    return among


@compiled
def expand(
    rows: Rows, columns: Columns, start_nodes: np.ndarray, hops: int, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The fields of a Subgraph: breadth first from the start nodes over the ``k`` heaviest edges of each node."""
    nodes = _unique(start_nodes)
    count, depths = len(nodes), np.zeros(len(nodes), np.int8)
    codes_of, weights_of = np.empty(0, np.int32), np.empty(0, np.float32)
    subjects, objects = np.empty(0, np.int32), np.empty(0, np.int32)
    num_edges = rim = 0
    for hop in range(hops):
        end, room = count, 0
        for i in range(rim, end):
            room += min(k, len(_row(rows, nodes[i])[0]))
        if room == 0:
            break
        nodes, depths = _grown(nodes, count, count + room), _grown(depths, count, count + room)
        codes_of = _grown(codes_of, num_edges, num_edges + room)
        weights_of = _grown(weights_of, num_edges, num_edges + room)
        subjects, objects = _grown(subjects, num_edges, num_edges + room), _grown(objects, num_edges, num_edges + room)
        table = _hashed(nodes, count, count + room)
        for i in range(rim, end):
            others, weights, codes = _row(rows, nodes[i])
            for j in range(min(k, len(others))):
                at = _find(table, nodes, others[j])
                other = table[at] - 1
                if other < 0:
                    other = count
                    nodes[count], depths[count] = others[j], hop + 1
                    count += 1
                    table[at] = count
                elif other < i and _is_among(rows, columns, nodes[other], k, weights[j], codes[j]):
                    continue  # laid down already, from its other end
                codes_of[num_edges], weights_of[num_edges] = codes[j], weights[j]
                subjects[num_edges], objects[num_edges] = (other, i) if codes[j] & 1 else (i, other)
                num_edges += 1
        rim = end
    edges, relations = _said(columns, codes_of[:num_edges])
    return (
        nodes[:count], depths[:count], edges, subjects[:num_edges], objects[:num_edges], relations,
        weights_of[:num_edges],
    )  # fmt: skip


# pagerank -------------------------------------------------------------------------------------------------------


@compiled
def pagerank(
    rows: Rows, start_nodes: np.ndarray, shares: np.ndarray, damping: float, tolerance: float, hub: float,
    volume: float, top: int, residual: np.ndarray, score: np.ndarray, lists: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The ``top`` nodes and scores, best first, by forward push from the start nodes.

    A push settles a share of what waits at a node and hands the rest to its neighbours, until less than ``tolerance`` *
    total waits at each. A walk that goes on from there ends where it is, or forgets where it was and ends in proportion
    to totals, as endless walks do (``volume`` is the sum of all totals). Counting what waits like that makes few pushes
    enough: of the true top 100 it finds 99, where the settled shares alone find 73 (a million edges, tolerance 5e-6).

    ``residual`` and ``score`` float32 (nodes,) hold zeros, and do so again at the end; ``lists`` int32 (3, nodes + 1)
    holds anything.
    """
    touched, now, later = lists[0], lists[1], lists[2]
    totals, enough, went_on = rows.totals, np.float32(tolerance), np.float32(1e-30)
    waiting = num_touched = len(start_nodes)
    for i in range(len(start_nodes)):
        residual[start_nodes[i]] = shares[i]
        touched[i] = now[i] = start_nodes[i]
    while waiting > 0:
        count = 0
        for j in range(waiting):
            node = now[j]
            mass, total = residual[node], totals[node]
            residual[node] = went_on  # all but nothing, so that nothing at all means: never touched
            if total == 0:  # nowhere to go
                score[node] += mass
                continue
            passed = np.float32(damping * min(1.0, hub / total)) * mass
            score[node] += mass - passed
            others, weights, _ = _row(rows, node)
            share = passed / total
            for i in range(len(others)):
                other = others[i]
                old, limit = residual[other], enough * totals[other]
                new = old + share * weights[i]
                residual[other] = new
                # no branches: they could not be foreseen
                touched[num_touched] = later[count] = other
                num_touched += int((old == 0) & (new > 0))
                count += int((old <= limit) & (limit < new))
        now, later, waiting = later, now, count
    left = 0.0
    for i in range(num_touched):
        left += residual[touched[i]]
    best: list[Any] = [(0.0, 0)]
    best.clear()
    for i in range(num_touched):
        node = int(touched[i])
        mixed = damping * left * totals[node] / volume if volume > 0 else 0.0
        entry = (score[node] + (1 - damping) * residual[node] + mixed, -node)
        score[node] = residual[node] = 0
        if len(best) < top:
            heapq.heappush(best, entry)
        elif entry > best[0]:
            heapq.heapreplace(best, entry)
    best.sort()
    nodes, scores = np.empty(len(best), np.int64), np.empty(len(best), np.float32)
    for i in range(len(best)):
        scores[i], nodes[i] = best[-1 - i][0], -best[-1 - i][1]
    return nodes, scores


# chance ---------------------------------------------------------------------------------------------------------


@compiled
def _uniform(state: np.ndarray) -> float:
    """The next number in (0, 1) of SplitMix64 (Steele, Lea & Flood 2014), whose state uint64 (1,) moves on."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    bits = state[0]
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    return (np.float64(bits >> np.uint64(11)) + 0.5) / 9007199254740992.0


@compiled
def walk(
    rows: Rows, columns: Columns, starts: np.ndarray, length: int, bias: np.ndarray, state: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A walk of ``length`` nodes from each start; an edge is taken in proportion to its weight * bias of its far end.

    Returns nodes (W, length) and edge ids (W, length - 1), -1 where a walk found no way on and stayed.
    """
    nodes, edges = np.empty((len(starts), length), np.int64), np.full((len(starts), length - 1), -1, np.int64)
    for w in range(len(starts)):
        node = starts[w]
        nodes[w, 0] = node
        for step in range(1, length):
            others, weights, codes = _row(rows, node)
            total = 0.0
            for i in range(len(others)):
                total += weights[i] * bias[others[i]]
            left, chosen = _uniform(state) * total, -1
            for i in range(len(others)):
                likely = weights[i] * bias[others[i]]
                if likely > 0:
                    chosen, left = i, left - likely
                    if left < 0:
                        break
            if chosen >= 0:
                node, edges[w, step - 1] = int(others[chosen]), _id(columns, codes[chosen] >> 1)
            nodes[w, step] = node
    return nodes, edges


@compiled
def sample(
    rows: Rows, columns: Columns, start_nodes: np.ndarray, size: int, state: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The fields of a Subgraph that grows from the start nodes to ``size`` nodes, with every edge between them.

    The next edge is always drawn from all those that lead out, in proportion to weight: each waits an exponential time
    of its weight's rate, and the earliest is taken (Efraimidis & Spirakis 2006, over the rows as they are reached).
    """
    start_nodes = _unique(start_nodes)
    count, room = len(start_nodes), max(size, len(start_nodes))
    nodes, depths = np.empty(room, np.int64), np.zeros(room, np.int8)
    nodes[:count] = start_nodes
    table = _hashed(nodes, count, room)
    waiting: list[Any] = [(0.0, 0, 0)]
    waiting.clear()
    done, now = 0, 0.0
    while True:
        while done < count and count < size:
            others, weights, _ = _row(rows, nodes[done])
            for i in range(len(others)):
                if weights[i] > 0 and table[_find(table, nodes, others[i])] == 0:
                    moment = now - math.log(_uniform(state)) / weights[i]
                    heapq.heappush(waiting, (moment, np.int64(others[i]), np.int64(min(depths[done] + 1, 127))))
            done += 1
        if count >= size or len(waiting) == 0:
            break
        now, node, depth = heapq.heappop(waiting)
        at = _find(table, nodes, node)
        if table[at] == 0:
            nodes[count], depths[count] = node, depth
            count += 1
            table[at] = count
    room = 0
    for i in range(count):
        room += len(_row(rows, nodes[i])[0])
    codes_of, weights_of = np.empty(room, np.int32), np.empty(room, np.float32)
    subjects, objects, num_edges = np.empty(room, np.int32), np.empty(room, np.int32), 0
    for i in range(count):
        others, weights, codes = _row(rows, nodes[i])
        for j in range(len(others)):
            if codes[j] & 1:
                continue
            other = table[_find(table, nodes, others[j])] - 1
            if other >= 0:
                subjects[num_edges], objects[num_edges] = i, other
                codes_of[num_edges], weights_of[num_edges] = codes[j], weights[j]
                num_edges += 1
    edges, relations = _said(columns, codes_of[:num_edges])
    return (
        nodes[:count], depths[:count], edges, subjects[:num_edges].copy(), objects[:num_edges].copy(), relations,
        weights_of[:num_edges].copy(),
    )  # fmt: skip


# paths ----------------------------------------------------------------------------------------------------------
