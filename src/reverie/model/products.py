"""One product for networks that write their own way back."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["linear"]


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``F.linear`` without gradients, in float32 on a CPU by oneDNN: torch asks MKL, which takes 2.3 times as long with
    AVX-512 on AMD (512 × 576 by 3072: 19.1 against 8.3 ms), 1.1 times with AVX2, and more where one side is thin."""
    if x.dtype == torch.float32 and x.device.type == "cpu" and torch.backends.mkldnn.is_available():
        made: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return made
    return F.linear(x, weight, bias)
