"""What experts (LoRA) add inside the packed decoder: their factors, folded as its matrices are, beside what these give.

A ``LoraMix`` adds to the rows of a product, each of which may have a choice of its own; ``Weighing`` measures besides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from reverie.engine.products import Matrix
from reverie.errors import ExpertError, shorten
from reverie.experts.cache import ByteCache
from reverie.experts.contract import Choice, ExpertSource, Factors, ResolvedExperts, members_of, resolve
from reverie.experts.routed import Order, loop, placed, routed
from reverie.experts.stacked import StackedFactors
from reverie.model.llama_layout import LlamaLayout

__all__ = ["GROUPS", "FoldedExperts", "LoraMix", "LoraSum", "Weighing"]

GROUPS = {  # the linears of a layer that read the same, in one product
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
DENSE_IDS = 256  # from how many ids alike on plain products are faster than the loop, on two cores
Site = tuple[int, str]  # which layer, which group of its linears


class Fused(Protocol):
    """A decoder whose linears are fused: where a linear of the base went, and what its factors are there."""

    config: LlamaLayout

    def find(self, linear: str) -> tuple[int, str] | None:
        """The layer and the last parts of a linear's name in the base; None where it has no such linear."""

    def size(self, linear: str) -> tuple[int, int]:
        """How many inputs and outputs it has."""

    def fold(self, place: int, linear: str, factors: Factors) -> Factors:
        """The factors for what the fused matrices read and give."""


class LoraSum(Protocol):
    """What experts add to the products of a layer's groups."""

    def add(self, site: Site, x: Tensor, out: Tensor, residual: Tensor | None) -> None:
        """x (N, in), which the group read; out (N, out), which is changed in place, holds what it gave, ``residual``
        (N, out) added to it where there is one."""


@dataclass(frozen=True, eq=False)
class Folded:
    """An adapter as the decoder needs it: (layer, linear) → factors."""

    factors: dict[tuple[int, str], Factors]

    @property
    def nbytes(self) -> int:
        return sum(one.nbytes for one in self.factors.values())


@dataclass(frozen=True, eq=False)
class Stack:
    """Some experts side by side."""

    members: tuple[tuple[str, str], ...]  # name and key of each, in their order
    slots: dict[Site, StackedFactors]

    @property
    def nbytes(self) -> int:
        return sum(one.nbytes for one in self.slots.values())


@dataclass(frozen=True, eq=False)
class DenseSite:
    """Some experts of a site for many ids: one packed product into all their ranks, one out of each linear's."""

    down: Matrix  # in → ranks, the linears' one after another
    ups: tuple[tuple[slice, slice, Tensor], ...]  # ranks, outputs, and what leads from the ones to the others
    expert: Tensor  # int64 (ranks,): whose each rank is, as its place among the chosen
    nbytes: int

    @classmethod
    def of(cls, slots: StackedFactors, chosen: Sequence[int]) -> DenseSite | None:
        """None where none of them has ranks."""
        spans = [[slots.of(one, part) for one in chosen] for part in range(slots.parts)]
        places = [place for part in spans for place, ranks in enumerate(part) for _ in range(ranks.stop - ranks.start)]
        if not places:
            return None
        down, ups, rank, first = torch.cat([slots.down[ranks] for part in spans for ranks in part]), [], 0, 0
        for part, width in zip(spans, slots.widths, strict=True):
            up = torch.cat([slots.up[ranks, :width] for ranks in part])
            if len(up):
                ups.append((slice(rank, rank + len(up)), slice(first, first + width), up))
            rank, first = rank + len(up), first + width
        size = 2 * down.nbytes + sum(up.nbytes for _, _, up in ups)
        return cls(Matrix(down), tuple(ups), torch.tensor(places), size)

    def add(self, x: Tensor, weights: Tensor, out: Tensor) -> None:
        inner = self.down(x).mul_(weights[self.expert])
        for ranks, outputs, up in self.ups:
            out[:, outputs].addmm_(inner[:, ranks], up)


@dataclass(frozen=True, eq=False)
class Dense:
    """The same of all sites."""

    sites: dict[Site, DenseSite]

    @property
    def nbytes(self) -> int:
        return sum(one.nbytes for one in self.sites.values())

    @classmethod
    def of(cls, stack: Stack, chosen: Sequence[int]) -> Dense:
        made = {site: DenseSite.of(slots, chosen) for site, slots in stack.slots.items()}
        return cls({site: one for site, one in made.items() if one is not None})


class LoraMix:
    """Adds what the experts of each row give, row n of a batch having ``experts`` (N, k) with ``weights`` (N, k).

    ``dense`` gives what it takes to do so for many ids that have the same ones, by their places in ``stack``.
    """

    def __init__(
        self,
        stack: Stack,
        experts: Tensor,
        weights: Tensor,
        dense: Callable[[tuple[int, ...]], Dense],
        order: Order | None = None,
    ):
        self._stack, self._experts, self._weights, self._dense = stack, experts, weights, dense
        self._order = order or Order.of(experts, weights, len(stack.members))

    def add(self, site: Site, x: Tensor, out: Tensor, residual: Tensor | None) -> None:
        """x (N, in), which the linears of ``site`` read → added to out (N, out), which they gave."""
        if site in self._stack.slots:
            loop(x, self._stack.slots[site], self._order, out)

    def spread(self, counts: Sequence[int]) -> LoraSum:
        """For so many ids of each row, one row after another: dense sums, as all ids of a row have the same experts."""
        parts, first = [], 0
        for experts, weights, count in zip(self._experts, self._weights, counts, strict=True):
            chosen = experts >= 0
            if bool(chosen.any()):
                one: LoraSum
                if count >= DENSE_IDS:
                    one = DenseMix(self._dense(tuple(experts[chosen].tolist())), weights[chosen])
                else:
                    alike = Order.alike(experts, weights, count)
                    one = LoraMix(self._stack, experts, weights, self._dense, alike)
                parts.append((slice(first, first + count), one))
            first += count
        return _Parts(parts)


class DenseMix:
    """The same for many ids that all have the same experts with the same weights (k,): as plain products, which use
    all cores."""

    def __init__(self, dense: Dense, weights: Tensor):
        self._dense, self._weights = dense, weights

    def add(self, site: Site, x: Tensor, out: Tensor, residual: Tensor | None) -> None:
        if site in self._dense.sites:
            self._dense.sites[site].add(x, self._weights, out)


class _Parts:
    """Sums over stretches of ids, each with experts of its own."""

    def __init__(self, parts: Sequence[tuple[slice, LoraSum]]):
        self._parts = parts

    def add(self, site: Site, x: Tensor, out: Tensor, residual: Tensor | None) -> None:
        for ids, mix in self._parts:
            mix.add(site, x[ids], out[ids], None)


class Weighing:
    """Adds to ids that have the same experts, and measures what each expert adds, and what it adds it to."""

    def __init__(self, stack: Stack, weights: Sequence[float], config: LlamaLayout):
        self._stack, self._weights, self._config = stack, weights, config
        self._given, self._base = torch.zeros(1, len(weights)), torch.zeros(1)

    @property
    def shares(self) -> Tensor:
        """float (T, experts): the root of the summed squares of what each gave, over that of the base's own."""
        return (self._given / self._base[:, None]).sqrt()

    def add(self, site: Site, x: Tensor, out: Tensor, residual: Tensor | None) -> None:
        scaled = self._config.q_size if site[1] == "qkv" and not self._config.head_norms else 0

        def squares(values: Tensor) -> Tensor:  # (T, out) → (T,)
            found = values.square()
            found[:, :scaled] *= self._config.head_size  # the decoder's q is scaled by Dh^-0.5
            return found.sum(1)

        self._base = self._base + squares(out if residual is None else out - residual)
        given = []
        for expert, weight in enumerate(self._weights):
            added = torch.zeros_like(out)
            if site in self._stack.slots:
                chosen = torch.full((len(x), 1), expert)
                added = routed(x, self._stack.slots[site], chosen, torch.full((len(x), 1), weight))
            given.append(squares(added))
            out += added
        self._given = self._given + torch.stack(given, 1)


class FoldedExperts:
    """The experts of a decoder, as it needs them; what was used last stays in memory, up to ``budget`` bytes.

    ``source`` None: there are none, and only nobody can be asked for.
    """

    def __init__(self, decoder: Fused, source: ExpertSource | None, budget: int):
        self._decoder, self._source = decoder, source
        self._cache: ByteCache[Any, Any] = ByteCache(budget, lambda value: value.nbytes)
        self._ready = Stack((), {})  # what was prepared last: reads and rows take from it what they need

    def resolve(self, choice: Choice) -> ResolvedExperts:
        return resolve(choice, self._source)

    def prepare(self, experts: Sequence[ResolvedExperts]) -> None:
        if members := members_of(experts):
            self._ready = self._cache.get(("stack", *members), partial(self._stack, members))

    def mix(self, experts: Sequence[ResolvedExperts]) -> LoraMix | None:
        """For rows with these experts; None where nobody has any."""
        if not any(experts):
            return None
        if not {*self._ready.members}.issuperset(members_of(experts)):
            self.prepare(experts)
        return LoraMix(self._ready, *placed(experts, self._ready.members), partial(self._dense, self._ready))

    def weighing(self, experts: ResolvedExperts) -> Weighing:
        weights = [weight for _, weight, _ in experts]
        return Weighing(self._stack(members_of([experts])), weights, self._decoder.config)

    def _dense(self, stack: Stack, chosen: tuple[int, ...]) -> Dense:
        names = tuple(stack.members[place] for place in chosen)
        return self._cache.get(("dense", *names), partial(Dense.of, stack, chosen))

    def _stack(self, members: Sequence[tuple[str, str]]) -> Stack:
        folded = [self._cache.get((name, key), partial(self._fold, name)).factors for name, key in members]
        slots = {}
        for place in range(self._decoder.config.num_layers):
            for group, linears in GROUPS.items():
                stacked = [
                    StackedFactors.stack([one.get((place, linear)) for one in folded], *self._decoder.size(linear))
                    for linear in linears
                ]
                if any(len(one.down) for one in stacked):
                    slots[place, group] = StackedFactors.fuse(stacked)
        return Stack(tuple(members), slots)

    def _fold(self, name: str) -> Folded:
        """Raises ExpertError where the adapter does not fit."""
        assert self._source is not None  # else nobody has a name
        factors = {}
        for linear, given in self._source.adapter(name).factors.items():
            site = self._decoder.find(linear)
            if site is None:
                raise ExpertError(f"the expert {name} changes {shorten(linear)}, which is no linear of this backbone")
            width_in, width_out = self._decoder.size(site[1])
            if given.down.shape[1] != width_in or given.up.shape[0] != width_out:
                raise ExpertError(
                    f"the expert {name} changes {linear} from {given.down.shape[1]} to {given.up.shape[0]} values, "
                    f"but in this backbone it takes {width_in} to {width_out}: it is for another base"
                )
            factors[site] = self._decoder.fold(*site, given)
        return Folded(factors)
