"""Factors of several experts side by side: nothing is lost, nothing is mixed, and what does not fit is refused."""

from __future__ import annotations

import pytest
import torch

from reverie.errors import ExpertError
from reverie.experts.contract import Factors
from reverie.experts.stacked import RANK_STEP, StackedFactors


def make(seed: int, ranks: list[int], width_in: int = 6, width_out: int = 5) -> list[Factors | None]:
    rng = torch.Generator().manual_seed(seed)
    return [
        Factors(torch.randn(rank, width_in, generator=rng), torch.randn(width_out, rank, generator=rng))
        if rank
        else None
        for rank in ranks
    ]


def change(slots: StackedFactors, expert: int, part: int = 0) -> torch.Tensor:
    """(out, in): what an expert adds to a linear's weight."""
    ranks = slots.of(expert, part)
    return slots.up[ranks].t() @ slots.down[ranks]


def test_each_expert_keeps_its_change_whatever_its_rank() -> None:
    factors = make(0, [1, 0, 4, 7])
    slots = StackedFactors.stack(factors, 6, 5)
    assert slots.num_experts == 4
    assert slots.out_features == 5
    assert slots.starts.tolist() == [0, RANK_STEP, RANK_STEP, 2 * RANK_STEP, 4 * RANK_STEP]
    for expert, one in enumerate(factors):
        expected = torch.zeros(5, 6) if one is None else one.up @ one.down
        torch.testing.assert_close(change(slots, expert), expected)


def test_fused_linears_keep_theirs() -> None:
    linears = [make(1, [2, 0, 3]), make(2, [0, 0, 8]), make(3, [1, 5, 0])]
    slots = StackedFactors.fuse([StackedFactors.stack(each, 6, 5) for each in linears])
    assert slots.num_experts == 3
    assert slots.out_features == 15
    for part, each in enumerate(linears):
        for expert, one in enumerate(each):
            expected = torch.zeros(5, 6) if one is None else one.up @ one.down
            torch.testing.assert_close(change(slots, expert, part), expected)


@pytest.mark.parametrize("count", [0, 2])
def test_nobody_changes_nothing(count: int) -> None:
    slots = StackedFactors.stack([None] * count, 6, 5)
    assert slots.num_experts == count
    assert slots.down.shape == (0, 6)
    assert slots.up.shape == (0, 5)


def test_bytes_are_those_of_the_tensors() -> None:
    slots = StackedFactors.stack(make(0, [4, 8]), 6, 5)
    assert slots.nbytes == 4 * 12 * (6 + 5) + 8 * 3


@pytest.mark.parametrize("shapes", [((2, 7), (5, 2)), ((2, 6), (4, 2)), ((2, 6), (5, 3))])
def test_factors_of_another_base_are_refused(shapes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    down, up = (torch.zeros(shape) for shape in shapes)
    with pytest.raises(ExpertError, match="do not fit a linear of 6 inputs and 5 outputs: the adapter is for another"):
        StackedFactors.stack([Factors(down, up)], 6, 5)
