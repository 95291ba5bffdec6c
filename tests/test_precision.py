"""bf16 where a machine has units for it, fp32 elsewhere."""

from __future__ import annotations

import pytest
import torch

from reverie.errors import UsageError
from reverie.precision import choose_precision


@pytest.mark.parametrize(
    ("flags", "name", "said"),
    [
        ({"avx512_bf16": True, "avx2": True}, "bf16", "AVX-512 BF16"),
        ({"amx_bf16": True}, "bf16", "AMX"),
        ({"avx2": True, "avx512_bf16": False}, "fp32", "would emulate"),
        ({}, "fp32", "would emulate"),
    ],
)
def test_a_processor_says_itself_what_it_is_fast_in(
    monkeypatch: pytest.MonkeyPatch, flags: dict[str, bool], name: str, said: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags, raising=False)
    chosen = choose_precision()
    assert (chosen.name, chosen.dtype) == (name, torch.bfloat16 if name == "bf16" else torch.float32)
    assert said in chosen.reason


def test_what_is_asked_for_is_taken_and_what_is_unknown_refused() -> None:
    assert choose_precision("bf16").name == "bf16"
    assert choose_precision("fp32", "cuda").name == "fp32"
    with pytest.raises(UsageError, match="one of auto, bf16, fp32, got 'half'"):
        choose_precision("half")
