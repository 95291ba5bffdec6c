"""Bundles to export, and what our side says of them: tiny bases of several families with experts of random factors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from bases import save_base
from reverie.bundles import init_bundle, load_bundle
from reverie.bundles.init import InitConfig
from reverie.export import Source, open_source
from reverie.logs import quiet_transformers
from toy_experts import toy_adapter, toy_card

TEXTS = [
    "what happens when you drop an egg?",
    " Leading  and   doubled spaces\tand tabs\r\n\r\nlines \n\n\n",
    "naïve café — “quotes” … 東京で3月14日に、 русский язык، العربية हिन्दी ไทย 한국어",
    "👩‍👩‍👧‍👦 🏳️‍🌈 e\u0301 \u200b\u00a0\u3000\ufeff a\u0300\u0301",
    "I'm you're WE'LL don't ''quoted'' 123456 3.14159 0x1F ½ ² Ⅷ ٣",
    "def f(x):\n    return {'a': [1, 2]}  # ünïcode",
]


def tiny_bundle(folder: Path, family: str = "llama", chat: bool = True, **changes: Any) -> Path:
    base = save_base(folder / "base", family, chat, **changes)
    return init_bundle(base, folder / "tiny", InitConfig(dtype="fp32", name="tiny"))


def add_expert(bundle: Path, library: Path, name: str, seed: int = 0, ranks: dict[str, int] | None = None) -> None:
    """An expert of random factors in the user's library."""
    own = load_bundle(bundle).open_library(library)
    linears = {linear: shape for linear, shape in (own.linears or {}).items() if "layers" in linear}
    adapter = toy_adapter(seed, 4, ranks, linears)
    own.create(toy_card(name, own.base), adapter)


def log_probs(model: str | Path, ids: list[int], num_ids: int) -> np.ndarray:
    """By transformers, of the id that follows: (num_ids,)."""
    from transformers import AutoModelForCausalLM

    with quiet_transformers():
        peer = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    with torch.inference_mode():
        found: np.ndarray = peer(torch.tensor([ids])).logits[0, -1, :num_ids].log_softmax(-1).numpy()
    return found


def our_log_probs(source: Source, ids: list[int], experts: tuple[tuple[str, float], ...], library: Path) -> np.ndarray:
    """By our own engine, under weighted experts: of every id that goes along, in the base's numbering."""
    from reverie.engine import open_decoder
    from reverie.engine.contract import Read

    bundle = load_bundle(source.folder)
    ours = source.manifest.get("base") is not None
    shift = bundle.grammar.vocabulary.text_start if ours else 0
    decoder = open_decoder(bundle.backbone, bundle.open_library(library))
    size = bundle.grammar.vocabulary.size
    given = (np.asarray(ids, dtype=np.int64) + shift) % size
    logits, _ = decoder.read([Read(given, None, decoder.resolve(experts))])[0]
    row = torch.as_tensor(logits).float().flatten().roll(-shift)
    found: np.ndarray = row[: source.num_ids].log_softmax(-1).numpy()
    return found


__all__ = ["TEXTS", "add_expert", "log_probs", "open_source", "our_log_probs", "tiny_bundle"]
