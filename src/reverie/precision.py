"""Which floating-point numbers a machine computes fastest: ``auto`` is bf16 where it has units for it, fp32 elsewhere.

A CPU without such units emulates bf16: a convolution step took 16 times as long as in fp32, a 135 M model 1.4 times.
The choice rests on what the processor says of itself, never on a timing, so that a machine always computes alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from reverie.errors import UsageError

if TYPE_CHECKING:
    import torch

__all__ = ["PRECISIONS", "ChosenPrecision", "Precision", "choose_precision", "usual_device"]

Precision = Literal["auto", "bf16", "fp32"]
PRECISIONS: tuple[Precision, ...] = ("auto", "bf16", "fp32")


@dataclass(frozen=True)
class ChosenPrecision:
    """``reason``: why, as one clause for logs and ``reverie info``."""

    name: Literal["bf16", "fp32"]
    reason: str

    @property
    def dtype(self) -> torch.dtype:
        import torch

        return torch.bfloat16 if self.name == "bf16" else torch.float32


def choose_precision(wanted: str = "auto", device: str = "cpu") -> ChosenPrecision:
    """What to compute in on ``device`` (``cpu``, ``cuda``, …). A ``wanted`` other than ``auto`` is taken as it is.

    Raises UsageError for an unknown precision.
    """
    if wanted == "bf16":
        return ChosenPrecision("bf16", "as asked")
    if wanted == "fp32":
        return ChosenPrecision("fp32", "as asked")
    if wanted != "auto":
        raise UsageError(f"a precision is one of {', '.join(PRECISIONS)}, got '{wanted}'")
    units = _bf16_units(device)
    if units:
        return ChosenPrecision("bf16", f"{device} computes it with {units}")
    return ChosenPrecision("fp32", f"{device} has no units for bf16 and would emulate it")


def usual_device() -> Literal["cpu", "cuda"]:
    """Where models are put: the GPU where there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _bf16_units(device: str) -> str:
    import torch

    if device.startswith("cuda"):
        return "tensor cores" if torch.cuda.is_available() and torch.cuda.get_device_capability()[0] >= 8 else ""
    if not device.startswith("cpu"):
        return ""
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # newer torch alone has it
    known = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512 BF16", "bf16": "its bf16 instructions"}
    return next((name for flag, name in known.items() if capabilities.get(flag)), "")
