"""Near-duplicates by their hashes, and splits that they never straddle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from reverie.splits import share_of

__all__ = ["choose_kept", "choose_splits", "group_near", "near_pairs"]

_ROWS = 1_024  # hashes that are compared with all others at a time


def near_pairs(hashes: Sequence[str], distance: int) -> Iterator[tuple[int, int]]:
    """(i, j), i < j, of hashes (16 hex digits) that differ in at most ``distance`` of their 64 bits.

    Compares all with all: a second for 20,000 pictures, a minute for 200,000. Of equal hashes each is paired with the
    first one only, since a thousand copies make half a million pairs.
    """
    if distance < 0 or not hashes:
        return
    values = np.array([int(one, 16) for one in hashes], np.uint64)
    first = np.unique(values, return_index=True)[1]
    by_value = {int(values[i]): int(i) for i in first}
    for i, value in enumerate(values.tolist()):
        if by_value[value] != i:
            yield by_value[value], i
    first.sort()
    different = values[first]
    for start in range(0, len(first), _ROWS):
        rows = different[start : start + _ROWS, None]
        near = np.bitwise_count(rows ^ different[None, start:]) <= distance  # (rows, rest)
        for row, column in np.argwhere(np.triu(near, 1)).tolist():
            yield int(first[start + row]), int(first[start + column])


def choose_kept(hashes: Sequence[str], sizes: Sequence[int], distance: int) -> dict[int, int]:
    """Duplicates: the index of each that goes → the index of the one that is kept in its place.

    Largest first (``sizes`` in pixels; of equal ones the earlier), a picture is kept unless one within ``distance`` is
    kept already; so none goes whose double is not there.
    """
    by_hash: dict[str, list[int]] = {}
    for i, one in enumerate(hashes):
        by_hash.setdefault(one, []).append(i)
    best = [min(copies, key=lambda i: (-sizes[i], i)) for copies in by_hash.values()]  # one of each hash
    near: dict[int, list[int]] = {}
    for a, b in near_pairs([hashes[i] for i in best], distance):
        near.setdefault(best[a], []).append(best[b])
        near.setdefault(best[b], []).append(best[a])
    gone, kept = dict[int, int](), set[int]()
    for i in sorted(best, key=lambda i: (-sizes[i], i)):
        keepers = [j for j in near.get(i, ()) if j in kept]
        if keepers:
            gone[i] = min(keepers, key=lambda j: (-sizes[j], j))
        else:
            kept.add(i)
    for i, copies in zip(best, by_hash.values(), strict=True):
        gone |= {copy: gone.get(i, i) for copy in copies if copy != i}
    return gone


def group_near(hashes: Sequence[str], distance: int) -> list[int]:
    """The group of each picture, named by its first member: near ones, and what is near to those, are together."""
    parent = list(range(len(hashes)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in near_pairs(hashes, distance):
        first, second = sorted((root(i), root(j)))
        parent[second] = first
    return [root(i) for i in range(len(hashes))]


def choose_splits(
    names: Sequence[str], groups: Sequence[int], given: Sequence[str], val_share: float, seed: int
) -> list[str]:
    """The split of each picture: the given one; that of its group where one is given; else by ``seed``.

    Of the pictures without one, ``val_share`` go to "val", in whole groups: those whose names hash lowest with the
    seed, so that few change sides when pictures are added. At least one group goes there where there are two and no
    "val" is given.
    """
    splits = list(given)
    members: dict[int, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(group, []).append(i)
    free = list[list[int]]()
    for together in members.values():
        said = [given[i] for i in together if given[i]]
        if not said:
            free.append(together)
        for i in together:
            splits[i] = given[i] or (min(said, key=_RANK.index) if said else "")
    wanted = round(val_share * sum(map(len, free)))
    if val_share > 0 and "val" not in given and len(free) > 1:
        wanted = max(1, wanted)
    free.sort(key=lambda group: share_of(f"{seed}\0{names[group[0]]}"))
    for chosen in _fitting(free, wanted):
        for i in chosen:
            splits[i] = "val"
    return [split or "train" for split in splits]


_RANK = ("train", "val", "test")  # a picture near to one of "train" must not be held back


def _fitting(groups: list[list[int]], wanted: int) -> list[list[int]]:
    """Groups in their order, as many as hold ``wanted`` pictures together; the smallest where none fits."""
    chosen, left = list[list[int]](), wanted
    for group in groups:
        if len(group) <= left:
            chosen.append(group)
            left -= len(group)
    if not chosen and wanted and len(groups) > 1:
        return [min(groups, key=len)]
    return chosen
