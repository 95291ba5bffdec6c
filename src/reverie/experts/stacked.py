"""The factors of several experts side by side, as the products of a batch want them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.errors import ExpertError
from reverie.experts.contract import Factors

__all__ = ["StackedFactors"]

RANK_STEP = 4  # each expert's ranks are filled up with zeros to a multiple of this: the compiled loops take so many


@dataclass(frozen=True, eq=False)
class StackedFactors:
    """The factors of S experts for one linear, or for P linears of one input (a fused group).

    Ranks are concatenated: first those of all experts for the first linear, then for the second. An expert that
    leaves a linear alone has no ranks there.
    """

    down: Tensor  # float (ΣR, in)
    up: Tensor  # float (ΣR, W), W the widest of the linears' outputs; what a narrower one has beyond is 0
    starts: Tensor  # int64 (P·S + 1,): linear p's ranks of expert s are starts[p·S + s] to starts[p·S + s + 1]
    widths: tuple[int, ...]  # (P,): outputs of each linear

    @property
    def parts(self) -> int:
        return len(self.widths)

    @property
    def num_experts(self) -> int:
        return (len(self.starts) - 1) // self.parts

    @property
    def out_features(self) -> int:
        return sum(self.widths)

    @property
    def nbytes(self) -> int:
        return self.down.nbytes + self.up.nbytes + self.starts.nbytes

    @cached_property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """``down``, ``up``, ``starts`` and ``widths`` as the compiled loop reads them, on a CPU; not for learning."""
        down, up, starts = (each.detach().numpy() for each in (self.down, self.up, self.starts))
        return down, up, starts, np.array(self.widths)

    def of(self, expert: int, part: int = 0) -> slice:
        """Where its ranks for that linear lie."""
        place = part * self.num_experts + expert
        return slice(int(self.starts[place]), int(self.starts[place + 1]))

    @classmethod
    def stack(cls, factors: Sequence[Factors | None], in_features: int, out_features: int) -> StackedFactors:
        """One linear; None: that expert leaves it alone. Gradients reach the factors.

        Raises ExpertError for factors of another shape.
        """
        downs, ups, ranks = [torch.zeros(0, in_features)], [torch.zeros(0, out_features)], [0]
        for one in factors:
            if one is None:
                ranks.append(0)
                continue
            given = tuple(one.down.shape), tuple(one.up.shape)
            if given != ((one.rank, in_features), (out_features, one.rank)):
                raise ExpertError(
                    f"factors {given[0]} and {given[1]} do not fit a linear of {in_features} inputs and "
                    f"{out_features} outputs: the adapter is for another base"
                )
            lacking = -one.rank % RANK_STEP
            downs += one.down, one.down.new_zeros(lacking, in_features)
            ups += one.up.t(), one.up.new_zeros(lacking, out_features)
            ranks.append(one.rank + lacking)
        device = downs[-1].device
        downs[0], ups[0] = downs[0].to(device), ups[0].to(device)
        starts = torch.tensor(list(accumulate(ranks)), device=device)
        return cls(torch.cat(downs), torch.cat(ups), starts, (out_features,))

    @classmethod
    def fuse(cls, linears: Sequence[StackedFactors]) -> StackedFactors:
        """One group of linears that read the same inputs, all for the same experts."""
        starts, end = [linears[0].starts[:1]], 0
        for each in linears:
            starts.append(each.starts[1:] + end)
            end += len(each.down)
        widths = tuple(width for each in linears for width in each.widths)
        ups = [F.pad(each.up, (0, max(widths) - each.up.shape[1])) for each in linears]
        return cls(torch.cat([each.down for each in linears]), torch.cat(ups), torch.cat(starts), widths)
