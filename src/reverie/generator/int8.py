"""Weights in eight bits: tensors → tensors. Half the size of bf16, and the pictures stay the same to the eye.

Weights alone are rounded, each output channel with its own scale (weight = int8 · scale, symmetric around 0), and are
made floats again when they are read: sums and speed are those of floats. Norms, biases and tiny tensors stay as they
are. Rounding to a scale per channel rather than per tensor is what keeps convolutions exact enough (Krishnamoorthi,
arXiv:1806.08342).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from reverie.errors import BundleError

__all__ = ["dequantize_tensors", "quantize_tensors"]

_SCALE = ".scale"  # what the name of a tensor's scales ends with
_TINY = 1024  # numbers: below, a tensor is not worth its scales
_LIMIT = 127  # -128 is left out, so that the range is the same on both sides


def quantize_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by name → int8 (O, …) beside ``NAME.scale`` fp32 (O,); what has one axis, or is tiny, as it is.

    Raises BundleError on a weight that is not finite, which no scale can hold.
    """
    tensors = {}
    for name, tensor in state.items():
        if not tensor.is_floating_point() or tensor.ndim < 2 or tensor.numel() < _TINY:
            tensors[name] = tensor
            continue
        rows = tensor.detach().float().flatten(1)
        if not rows.isfinite().all():
            raise BundleError(f"'{name}' holds numbers that are not finite: such weights cannot be rounded to int8")
        scale = rows.abs().amax(1) / _LIMIT
        steps = rows / torch.where(scale > 0, scale, 1.0)[:, None]  # a channel of zeros alone stays zero
        tensors[name] = steps.round().clamp(-_LIMIT, _LIMIT).to(torch.int8).view(tensor.shape)
        tensors[name + _SCALE] = scale
    return tensors


def dequantize_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What ``quantize_tensors`` gave, as fp32; float tensors of any other file pass through it as fp32, too.

    Raises BundleError where scales are missing or do not fit their weights.
    """
    state = {}
    for name, tensor in tensors.items():
        if name.endswith(_SCALE) and name.removesuffix(_SCALE) in tensors:
            continue
        if tensor.dtype != torch.int8:
            state[name] = tensor.float() if tensor.is_floating_point() else tensor
            continue
        scale = tensors.get(name + _SCALE)
        if scale is None or scale.shape != tensor.shape[:1]:
            raise BundleError(f"the int8 weights '{name}' lack their scales")
        state[name] = tensor.float() * scale.float().view(-1, *[1] * (tensor.ndim - 1))
    return state
