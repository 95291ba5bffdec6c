"""Doubles and splits: all near pairs are found, the larger picture stays, near ones never straddle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverie.data.pictures.splitting import choose_kept, choose_splits, group_near, near_pairs

BASE = 0x0123456789ABCDEF


def flipped(*bits: int, base: int = BASE) -> str:
    """The hash ``base`` with these bits turned over."""
    for bit in bits:
        base ^= 1 << bit
    return f"{base:016x}"


def away(first: str, second: str) -> int:
    return (int(first, 16) ^ int(second, 16)).bit_count()


hashes = st.lists(
    st.tuples(st.sampled_from([BASE, 0, 2**64 - 1]), st.lists(st.integers(0, 63), max_size=6)).map(
        lambda drawn: flipped(*drawn[1], base=drawn[0])
    ),
    max_size=24,
)


@given(hashes, st.integers(0, 12))
def test_near_pairs_are_those_of_the_naive_way(drawn: list[str], distance: int) -> None:
    found = set(near_pairs(drawn, distance))
    firsts = {one: drawn.index(one) for one in drawn}
    naive = {
        (i, j)
        for j, second in enumerate(drawn)
        for i, first in enumerate(drawn[:j])
        if (i == firsts[second] if first == second else away(first, second) <= distance)
        if i == firsts[first] and (first == second or j == firsts[second])
    }
    assert found == naive


def test_near_pairs_are_found_across_blocks() -> None:
    rng = np.random.default_rng(0)
    many = [f"{int(value):016x}" for value in rng.integers(0, 2**63, 2_500)]
    many[2_400] = f"{int(many[3], 16) ^ 5:016x}"
    assert list(near_pairs(many, 3)) == [(3, 2_400)]


@given(hashes, st.integers(0, 12), st.data())
def test_what_goes_has_its_double_and_what_stays_has_none(drawn: list[str], distance: int, data: st.DataObject) -> None:
    sizes = [data.draw(st.integers(1, 4)) for _ in drawn]
    gone = choose_kept(drawn, sizes, distance)
    kept = [i for i in range(len(drawn)) if i not in gone]
    assert all(away(drawn[i], drawn[j]) > distance for i in kept for j in kept if i < j)
    for i, keeper in gone.items():
        assert keeper in kept
        if away(drawn[i], drawn[keeper]) <= distance:  # else a copy of one that went itself
            assert sizes[keeper] >= sizes[i] or drawn[i] != drawn[keeper]


def test_the_larger_of_two_stays_and_of_equal_ones_the_first() -> None:
    assert choose_kept([BASE_HASH, flipped(1)], [10, 20], 4) == {0: 1}
    assert choose_kept([BASE_HASH, flipped(1)], [20, 20], 4) == {1: 0}
    assert choose_kept([BASE_HASH, BASE_HASH, BASE_HASH], [1, 3, 2], 0) == {0: 1, 2: 1}
    assert choose_kept([BASE_HASH, flipped(1)], [10, 20], 0) == {}


def test_a_thousand_copies_leave_one() -> None:
    assert len(choose_kept([BASE_HASH] * 1_000, [1] * 1_000, 4)) == 999


def test_nearness_passes_from_one_to_the_next() -> None:
    drawn = [BASE_HASH, flipped(*range(4)), flipped(*range(8)), flipped(*range(40))]
    assert group_near(drawn, 4) == [0, 0, 0, 3]
    assert group_near(drawn, 3) == [0, 1, 2, 3]


@given(hashes, st.integers(0, 8), st.floats(0, 0.9), st.integers(0, 99))
def test_near_ones_never_straddle(drawn: list[str], distance: int, share: float, seed: int) -> None:
    names, groups = [f"{i}.png" for i in range(len(drawn))], group_near(drawn, distance)
    splits = choose_splits(names, groups, [""] * len(drawn), share, seed)
    for group in set(groups):
        assert len({split for split, other in zip(splits, groups) if other == group}) == 1


@pytest.mark.parametrize(("count", "num_val"), [(1, 0), (2, 1), (5, 1), (14, 1), (16, 2), (100, 10), (990, 99)])
def test_a_tenth_is_held_back_and_never_all(count: int, num_val: int) -> None:
    names = [str(i) for i in range(count)]
    assert choose_splits(names, range(count), [""] * count, 0.1, 0).count("val") == num_val


def test_a_seed_chooses_the_split() -> None:
    names = [str(i) for i in range(50)]
    first, second = (choose_splits(names, range(50), [""] * 50, 0.2, seed) for seed in (0, 1))
    assert first != second
    assert first == choose_splits(names, range(50), [""] * 50, 0.2, 0)


def test_few_pictures_change_sides_when_some_are_added() -> None:
    names = [str(i) for i in range(110)]
    before = choose_splits(names[:100], range(100), [""] * 100, 0.1, 0)
    after = choose_splits(names, range(110), [""] * 110, 0.1, 0)
    assert sum(a != b for a, b in zip(before, after)) <= 3


def test_no_share_means_no_validation() -> None:
    assert choose_splits(["a", "b"], [0, 1], ["", ""], 0.0, 0) == ["train", "train"]


def test_a_given_split_is_kept_and_its_group_goes_along() -> None:
    names, groups = list("abcdef"), [0, 0, 2, 2, 4, 5]
    given_splits = ["test", "", "val", "train", "", ""]
    splits = choose_splits(names, groups, given_splits, 0.5, 0)
    assert splits[:4] == ["test", "test", "val", "train"]
    assert sorted(splits[4:]) == ["train", "val"]


BASE_HASH = flipped()
