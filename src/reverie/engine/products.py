"""Products with weights that stay: packed once for the machine's vector units, as float32, bf16 or int8.

int8 keeps a scale for each output. What is multiplied is rounded to 8 bits too, and the rest to 8 bits more, as a
second row: 8 alone lose what stands beside a few large numbers, and a row more costs little where the weights are the
load. Each row has a scale of its own, so that it gives the same beside any others.
"""

from __future__ import annotations

import os
from typing import Literal, Protocol, get_args

import numpy as np
import torch
from torch import Tensor

from reverie.errors import UsageError
from reverie.precision import choose_precision

__all__ = ["Bf16Matrix", "Int8Matrix", "Matrix", "Product", "WeightKind", "choose_weights", "make_product"]

WeightKind = Literal["auto", "fp32", "bf16", "int8"]
PACKED_ROWS = 4  # from how many rows on oneDNN's packed product is faster for a small matrix
_KEPT_SHAPES = "128"
SMALL = 2**20  # weights: a larger matrix is faster packed for a single row, too, and is not kept twice


class Product(Protocol):
    def __call__(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """x float32 (N, in) @ weights + bias, plus ``add`` (N, out): float32 (N, out), new."""


class Matrix:
    """float32 weights (out, in) and a bias (out,)."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None):
        self._plain: Tensor | None = None
        self._packed: Tensor | None = None
        self._bias = None if bias is None else bias.clone()
        if _has_onednn():
            self._packed = _packed(weight)
        if self._packed is None or weight.numel() < SMALL:
            self._plain = weight.t().contiguous()

    def __call__(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        if self._plain is not None and (self._packed is None or len(x) < PACKED_ROWS):
            out = x @ self._plain if add is None else torch.addmm(add, x, self._plain)
            return out if self._bias is None else out.add_(self._bias)
        if add is None:
            return torch.ops.mkldnn._linear_pointwise(x, self._packed, self._bias, "none", [], "")
        return torch.ops.mkldnn._linear_pointwise.binary(x, add, self._packed, self._bias, "add")


def _packed(weight: Tensor) -> Tensor:
    """As oneDNN wants it.

    oneDNN, and what torch puts around it, keep what they compiled for the last 1,024 shapes, 300 kB each: a gigabyte
    for texts of many lengths, and no time is won by it. Both look at their settings before their first use.
    """
    for name in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
        os.environ.setdefault(name, _KEPT_SHAPES)
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), 16)
    return packed


class Bf16Matrix:
    """The same in bf16, summed in float32."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None):
        self._packed = _packed(weight.bfloat16())
        self._bias = None if bias is None else bias.clone()

    def __call__(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x.bfloat16(), self._packed, None, "none", [], "").float()
        return _plus(out, self._bias, add)


class Int8Matrix:
    """The same in int8, with a scale an output; summed in int32."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None):
        from reverie.engine.rounding import round_weights

        rounded, scales = np.empty(weight.shape, np.int8), np.empty(len(weight), np.float32)
        round_weights(weight.contiguous().numpy(), rounded, scales)
        self._packed = torch.ops.onednn.qlinear_prepack(torch.from_numpy(rounded), None)
        self._scales, self._zeros = torch.from_numpy(scales), torch.zeros(len(weight), dtype=torch.int32)
        self._bias = None if bias is None else bias.clone()
        self._half = 127 if _has_vnni() else 63  # without VNNI two products are summed in 16 bits

    def __call__(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        from reverie.engine.rounding import round_twice

        num_rows = len(x)
        rounded, scales = np.empty((2 * num_rows, x.shape[1]), np.uint8), np.empty((num_rows, 1), np.float32)
        round_twice(x.contiguous().numpy(), self._half, rounded, scales)
        given = torch.from_numpy(rounded), 1.0, self._half + 1  # with its scale and what stands for 0
        weights = self._packed, self._scales, self._zeros
        both: Tensor = torch.ops.onednn.qlinear_pointwise(*given, *weights, None, 1.0, 0, torch.float32, "none", [], "")
        out = both[:num_rows].add_(both[num_rows:], alpha=0.5 / self._half).mul_(torch.from_numpy(scales))
        return _plus(out, self._bias, add)


_KINDS: dict[str, type[Matrix] | type[Bf16Matrix] | type[Int8Matrix]] = {
    "fp32": Matrix,
    "bf16": Bf16Matrix,
    "int8": Int8Matrix,
}


def make_product(kind: WeightKind, weight: Tensor, bias: Tensor | None = None) -> Product:
    """``kind`` as ``choose_weights`` gives it."""
    return _KINDS[kind](weight, bias)


def choose_weights(wanted: str = "auto") -> WeightKind:
    """``auto``: bf16 where the processor computes it, int8 where it multiplies that in one go (VNNI), else float32.

    Raises UsageError for an unknown kind, and for one that this machine has no products of.
    """
    if wanted not in get_args(WeightKind):
        raise UsageError(f"weights are one of {', '.join(get_args(WeightKind))}, got '{wanted}'")
    if wanted == "auto":
        fast = choose_precision("auto", "cpu").name
        return "int8" if _has_onednn() and fast == "fp32" and _has_vnni() else fast
    if wanted != "fp32" and not _has_onednn():
        raise UsageError(f"weights in {wanted} need a torch with oneDNN, which this machine's has not: take fp32")
    return wanted  # type: ignore[return-value]


def _plus(out: Tensor, bias: Tensor | None, add: Tensor | None) -> Tensor:
    if bias is not None:
        out.add_(bias)
    return out if add is None else out.add_(add)


def _has_onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled)


def _has_vnni() -> bool:
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # newer torch alone has it
    return any(capabilities.get(flag) for flag in ("avx512_vnni", "avx_vnni", "amx_int8"))
