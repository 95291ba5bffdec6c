"""How positions turn queries and keys, for those types of rotary positions whose table is fixed once and for all.

The formulas: rotary positions (arXiv 2104.09864), linear scaling (arXiv 2306.15595), YaRN (arXiv 2309.00071), and the
scaling of Llama 3.1 (arXiv 2407.21783), each rounded as transformers' ``modeling_rope_utils`` rounds it. Types whose
table depends on how long the text is (``dynamic``, ``longrope``) are not here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["ROPE_FIELDS", "rotary_turns"]

ROPE_FIELDS: dict[str, tuple[set[str], set[str]]] = {  # type → numbers that it needs beside theta, and may have
    "default": (set(), set()),
    "linear": ({"factor"}, set()),
    "llama3": ({"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}, set()),
    "yarn": (
        {"factor", "original_max_position_embeddings"},
        {"attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate"},
    ),
}


def rotary_turns(rope: Mapping[str, Any], head_size: int, num_positions: int) -> Tensor:
    """complex64 (num_positions, head_size / 2): what multiplies pair i of a head, its values i and i + head_size / 2.

    ``rope``: ``rope_type`` and ``rope_theta``, with what ROPE_FIELDS names for the type.
    """
    pairs = torch.arange(0, head_size, 2, dtype=torch.float32) / head_size
    plain, scale = 1.0 / rope["rope_theta"] ** pairs, 1.0
    if rope["rope_type"] == "linear":
        plain = plain / rope["factor"]
    elif rope["rope_type"] == "llama3":
        plain = _llama3(plain, rope)
    elif rope["rope_type"] == "yarn":
        plain, scale = _yarn(rope["rope_theta"] ** pairs, rope, head_size), _yarn_scale(rope)
    angles = torch.outer(torch.arange(num_positions, dtype=torch.float32), plain)
    return torch.complex(angles.cos() * scale, angles.sin() * scale)


def _llama3(plain: Tensor, rope: Mapping[str, Any]) -> Tensor:
    """Long waves are stretched, short ones are not, and those between somewhat."""
    factor, low, high = rope["factor"], rope["low_freq_factor"], rope["high_freq_factor"]
    turns = rope["original_max_position_embeddings"] / (2 * math.pi / plain)  # within the length it was trained on
    share = (turns - low) / (high - low)
    between = (1 - share) * plain / factor + share * plain
    return torch.where(turns < low, plain / factor, torch.where(turns > high, plain, between))


def _yarn(waves: Tensor, rope: Mapping[str, Any], head_size: int) -> Tensor:
    def place(turns: float) -> float:
        """The dimension that turns so often within the length that the base was first trained on."""
        length = rope["original_max_position_embeddings"]
        return (head_size * math.log(length / (turns * 2 * math.pi))) / (2 * math.log(rope["rope_theta"]))

    low, high = place(rope.get("beta_fast") or 32), place(rope.get("beta_slow") or 1)
    if rope.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_size - 1)
    ramp = (torch.arange(head_size // 2, dtype=torch.float32) - low) / ((high - low) or 0.001)
    kept = 1 - ramp.clamp(0, 1)
    return 1.0 / (rope["factor"] * waves) * (1 - kept) + 1.0 / waves * kept


def _yarn_scale(rope: Mapping[str, Any]) -> float:
    def scaled(by: float) -> float:
        return 1.0 if rope["factor"] <= 1 else 0.1 * by * math.log(rope["factor"]) + 1.0

    if rope.get("attention_factor") is not None:
        return float(rope["attention_factor"])
    if rope.get("mscale") and rope.get("mscale_all_dim"):
        return scaled(rope["mscale"]) / scaled(rope["mscale_all_dim"])
    return scaled(1.0)
