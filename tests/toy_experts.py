"""A tiny base and tiny experts of it, for tests of everything that handles experts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

from reverie.experts.contract import Adapter, ExpertCard, Factors
from reverie.experts.files import base_hash, base_linears, save_adapter, save_card
from reverie.model import Backbone, BackboneConfig

BASE = "ba5e" * 16  # where no weights are needed
OTHER = "07he" * 16


@cache
def small_backbone() -> Backbone:
    """Random weights; its linears are those of ``toys.toy_backbone``."""
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_layers": 2, "num_heads": 2, "max_positions": 64}
    return Backbone(BackboneConfig(vocab_size=50, **sizes), torch.Generator().manual_seed(0)).requires_grad_(False)


def saved_base(folder: Path) -> tuple[Path, str, dict[str, tuple[int, int]]]:
    """(folder, hash, linears) of the small backbone as transformers reads it."""
    small_backbone().save(folder)
    return folder, base_hash(folder), base_linears(folder)


@cache
def toy_linears() -> dict[str, tuple[int, int]]:
    modules = small_backbone().named_modules()
    return {name: (one.out_features, one.in_features) for name, one in modules if isinstance(one, torch.nn.Linear)}


def toy_adapter(
    seed: int = 0, rank: int = 4, ranks: Mapping[str, int] | None = None, linears: Mapping[str, Any] | None = None
) -> Adapter:
    """Random factors of every linear, as bf16 keeps them; ``ranks``: of linears whose names end so."""
    generator, factors = torch.Generator().manual_seed(seed), {}
    for linear, (out_features, in_features) in (linears or toy_linears()).items():
        own = next((value for end, value in (ranks or {}).items() if linear.endswith(end)), rank)
        down = torch.randn(own, in_features, generator=generator) / in_features**0.5
        up = torch.randn(out_features, own, generator=generator) / own**0.5
        factors[linear] = Factors(down.bfloat16().float(), up.bfloat16().float())
    return Adapter(factors)


def toy_card(name: str = "causal", base: str = BASE, **values: Any) -> ExpertCard:
    return ExpertCard(name, base=base, **values)


def same(one: Adapter, other: Adapter) -> bool:
    return one.factors.keys() == other.factors.keys() and all(
        torch.equal(mine.down, other.factors[linear].down) and torch.equal(mine.up, other.factors[linear].up)
        for linear, mine in one.factors.items()
    )


def save_expert(folder: Path, seed: int = 0, base: str = BASE) -> Path:
    save_adapter(toy_adapter(seed), folder)
    save_card(toy_card(folder.name, base), folder)
    return folder


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder but the lock."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {name: path.read_bytes() if path.is_file() else None for name, path in found.items() if name != ".lock"}
