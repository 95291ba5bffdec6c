"""Products with weights that stay: packed once for the machine's vector units where that pays."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Matrix"]

PACKED_ROWS = 4  # from how many rows on oneDNN's packed product is faster for a small matrix
SMALL = 2**20  # weights: a larger matrix is faster packed for a single row, too, and is not kept twice


class Matrix:
    """float32 weights (out, in) and a bias (out,) as a product that takes x (N, in) to (N, out)."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None):
        self._plain: Tensor | None = None
        self._packed: Tensor | None = None
        self._bias = None if bias is None else bias.clone()
        if torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled:
            self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), 16)
        if self._packed is None or weight.numel() < SMALL:
            self._plain = weight.t().contiguous()

    def __call__(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """x (N, in) @ weights + bias, plus ``add`` (N, out)."""
        if self._plain is not None and (self._packed is None or len(x) < PACKED_ROWS):
            out = x @ self._plain if add is None else torch.addmm(add, x, self._plain)
            return out if self._bias is None else out.add_(self._bias)
        if add is None:
            return torch.ops.mkldnn._linear_pointwise(x, self._packed, self._bias, "none", [], "")
        return torch.ops.mkldnn._linear_pointwise.binary(x, add, self._packed, self._bias, "add")
