"""Every way to add several weighted experts a row gives what one expert after the other gives, and so does PEFT."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reverie.experts.contract import Factors
from reverie.experts.routed import Order, concatenated, grouped, loop, routed, routed_plain, segments
from reverie.experts.stacked import StackedFactors

Way = Callable[[torch.Tensor, StackedFactors, torch.Tensor, torch.Tensor], torch.Tensor]


def by_loop(x: torch.Tensor, slots: StackedFactors, experts: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return loop(x, slots, Order.of(experts, weights, slots.num_experts))


WAYS: list[Way] = [routed, by_loop, concatenated, segments]


def widths(first: int, parts: int) -> list[int]:
    """Outputs of the linears of a group: those after the first are narrower, as keys are than queries."""
    return [first, *[4 if first % 4 == 0 else max(1, first // 2)] * (parts - 1)]


def make(seed: int, ranks: list[int], rows: int, k: int, sizes: tuple[int, int], parts: int) -> tuple:  # type: ignore[type-arg]
    """x, slots of ``parts`` linears, and experts and weights of which some are none, some twice in a row."""
    rng = torch.Generator().manual_seed(seed)
    width_in = sizes[0]

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=rng)

    def factors(rank: int, width_out: int) -> Factors | None:
        return Factors(normal(rank, width_in), normal(width_out, rank)) if rank else None

    linears = [
        StackedFactors.stack([factors(rank, width_out) for rank in ranks], width_in, width_out)
        for width_out in widths(sizes[1], parts)
    ]
    slots = linears[0] if parts == 1 else StackedFactors.fuse(linears)
    experts = torch.randint(-1, len(ranks), (rows, k), generator=rng)
    return normal(rows, width_in), slots, experts, normal(rows, k)


@given(
    seed=st.integers(0, 1000),
    ranks=st.lists(st.sampled_from([0, 1, 3, 4, 8, 17]), min_size=1, max_size=9),
    rows=st.integers(0, 23),
    k=st.integers(1, 4),
    sizes=st.sampled_from([(5, 7), (16, 300), (33, 16), (1, 1), (8, 12)]),
    parts=st.integers(1, 3),
)
def test_all_ways_agree(seed: int, ranks: list[int], rows: int, k: int, sizes: tuple[int, int], parts: int) -> None:
    given_ = make(seed, ranks, rows, k, sizes, parts)
    truth = routed_plain(*given_)
    assert truth.shape == (rows, sum(widths(sizes[1], parts)))
    aligned = len(given_[1].down) and not any(size % 4 for size in sizes)
    for way in WAYS + ([grouped] if aligned and rows else []):
        torch.testing.assert_close(way(*given_), truth, rtol=1e-4, atol=1e-4)


def test_the_plain_way_is_the_weighted_sum_of_adapters() -> None:
    rng = torch.Generator().manual_seed(0)
    adapters = [Factors(torch.randn(r, 6, generator=rng), torch.randn(5, r, generator=rng)) for r in (2, 7)]
    x = torch.randn(3, 6, generator=rng)
    given_ = (
        x,
        StackedFactors.stack(adapters, 6, 5),
        torch.tensor([[0, 1], [1, -1], [-1, -1]]),
        torch.tensor([[0.5, -2.0]] * 3),
    )
    merged = [one.up @ one.down for one in adapters]
    expected = torch.stack([x[0] @ (0.5 * merged[0] - 2 * merged[1]).t(), 0.5 * x[1] @ merged[1].t(), torch.zeros(5)])
    torch.testing.assert_close(routed_plain(*given_), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("way", [routed, concatenated, segments, grouped], ids=lambda way: way.__name__)
@pytest.mark.parametrize("ranks", [[3, 0, 4], [2] * 20], ids=len)
def test_gradients_flow_to_inputs_factors_and_weights(way: Way, ranks: list[int]) -> None:
    def gradients(by: Way) -> list[torch.Tensor]:
        x, slots, experts, weights = make(3, ranks, 9, 3, (8, 4), 2)
        leaves = [x, slots.down, slots.up, weights]
        for leaf in leaves:
            leaf.requires_grad_()
        by(x, slots, experts, weights).square().sum().backward()
        return [leaf.grad for leaf in leaves if leaf.grad is not None]

    ours, truth = gradients(way), gradients(routed_plain)
    assert len(ours) == len(truth) == 4
    for one, other in zip(ours, truth, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


def test_the_loop_adds_to_what_is_there() -> None:
    x, slots, experts, weights = make(1, [4, 8], 5, 2, (8, 12), 3)
    out = torch.ones(5, 20)
    assert loop(x, slots, Order.of(experts, weights, 2), out) is out
    torch.testing.assert_close(out, 1 + routed_plain(x, slots, experts, weights), rtol=1e-4, atol=1e-4)


def test_rows_that_are_alike_make_one_group() -> None:
    x, slots, _, _ = make(4, [4, 3, 8], 7, 1, (8, 12), 2)
    experts, weights = torch.tensor([2, -1, 0]), torch.tensor([0.5, 9.0, -2.0])
    truth = routed_plain(x, slots, experts.expand(7, 3), weights.expand(7, 3))
    torch.testing.assert_close(loop(x, slots, Order.alike(experts, weights, 7)), truth, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes_keep_theirs(dtype: torch.dtype) -> None:
    x, slots, experts, weights = make(2, [4, 8], 5, 2, (8, 12), 1)
    slots = StackedFactors(slots.down.to(dtype), slots.up.to(dtype), slots.starts, slots.widths)
    ours = routed(x.to(dtype), slots, experts, weights.to(dtype))
    assert ours.dtype == dtype
    close = 1e-6 if dtype == torch.float64 else 0.1
    torch.testing.assert_close(ours, routed_plain(x.to(dtype), slots, experts, weights.to(dtype)), rtol=close, atol=0.5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("count", [4, 40])
def test_a_gpu_gives_the_same(dtype: torch.dtype, count: int) -> None:
    x, slots, experts, weights = make(5, [8, 0, 3, 16] * (count // 4), 64, 3, (64, 32), 2)
    there = StackedFactors(slots.down.to("cuda", dtype), slots.up.to("cuda", dtype), slots.starts.cuda(), slots.widths)
    ours = routed(x.to("cuda", dtype), there, experts.cuda(), weights.to("cuda", dtype)).float().cpu()
    close = 1e-4 if dtype == torch.float32 else 0.05
    truth = routed_plain(x, slots, experts, weights)
    torch.testing.assert_close(ours, truth, rtol=close, atol=close * float(truth.abs().max()))
