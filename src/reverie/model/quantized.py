"""Linears in 8 or 4 bits, by bitsandbytes: the one library whose both kinds run, save and load on a plain CPU, too.

8 bits is LLM.int8() (arXiv 2208.07339), 4 bits is NF4 (arXiv 2305.14314). Embeddings and output
weights stay as they are.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from typing import Any

import torch

from reverie.errors import MissingExtraError

__all__ = ["check_quantizer", "fits", "quantization"]


def check_quantizer() -> None:
    """Raises MissingExtraError where bitsandbytes, or what loads models for it, is absent."""
    try:
        for name in ("accelerate", "bitsandbytes"):
            importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError("a base in 8 or 4 bits", "quant") from error
    # It says at every product that LLM.int8() works in float16, which is no news to us.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)


def quantization(bits: str, dtype: torch.dtype, whole: Sequence[str]) -> Any:
    """What ``from_pretrained`` wants as ``quantization_config`` for "8bit" or "4bit".

    ``dtype`` is that of products; ``whole``: names of the linears that stay as they are.
    """
    from transformers import BitsAndBytesConfig

    if bits == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=list(whole))
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=list(whole),
    )


def fits(bits: str, out_features: int, in_features: int) -> bool:
    """Whether a linear can be kept in so many bits: NF4 has blocks of 64, and its products on CPUs tiles of 32."""
    return bits == "8bit" or (out_features % 32 == 0 and in_features % 64 == 0)
