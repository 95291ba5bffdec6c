"""Products with weights that stay: packed once for the machine's vector units where that pays."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Matrix"]

PACKED_ROWS = (
    4  # from how many rows on oneDNN's packed product is faster; at 16 it takes half the time of the plain one
)


class Matrix:
    """float32 weights (out, in) as a product that takes x (N, in) to (N, out)."""

    def __init__(self, weight: Tensor):
        self._plain = weight.t().contiguous()
        self._packed: Tensor | None = None
        if torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled:
            self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), 16)

    def __call__(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """x (N, in) @ weights, plus ``add`` (N, out)."""
        if self._packed is None or len(x) < PACKED_ROWS:
            return x @ self._plain if add is None else torch.addmm(add, x, self._plain)
        if add is None:
            return torch.ops.mkldnn._linear_pointwise(x, self._packed, None, "none", [], "")
        return torch.ops.mkldnn._linear_pointwise.binary(x, add, self._packed, None, "add")
