"""An expert on disk: a folder that PEFT itself loads (``adapter_model.safetensors``, ``adapter_config.json``)."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from reverie.errors import BundleError, ExpertError, shorten
from reverie.experts.contract import Adapter, Factors
from reverie.files import atomic_write_bytes, atomic_write_json, sha256_of

__all__ = ["CONFIG_FILE", "WEIGHTS_FILE", "base_hash", "load_adapter", "save_adapter"]

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_KEY = re.compile(r"base_model\.model\.(?P<linear>.+)\.lora_(?P<side>[AB])(\.[^.]+)?\.weight")


def base_hash(folder: Path) -> str:
    """The SHA-256 that names a base: of its ``*.safetensors`` (one file: the file's own)."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise BundleError(f"no weights to name the base by: {folder} holds no *.safetensors")
    hashes = [sha256_of(file) for file in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def save_adapter(adapter: Adapter, folder: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write the two files that ``peft.PeftModel.from_pretrained`` reads. The scale is 1: it is in the weights."""
    from safetensors.torch import save

    ranks = {linear: factors.rank for linear, factors in adapter.factors.items()}
    if not ranks:
        raise ExpertError("an adapter without factors cannot be saved")
    rank = Counter(ranks.values()).most_common(1)[0][0]
    others = {linear: own for linear, own in ranks.items() if own != rank}
    tensors = {}
    for linear, factors in adapter.factors.items():
        for side, tensor in (("A", factors.down), ("B", factors.up)):
            tensors[f"{_PREFIX}{linear}.lora_{side}.weight"] = tensor.detach().to("cpu", dtype).contiguous()
    atomic_write_bytes(folder / WEIGHTS_FILE, save(tensors, metadata={"format": "pt"}))
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": None,
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted(ranks),
        "rank_pattern": others,
        "alpha_pattern": others,
        "inference_mode": True,
        "use_rslora": False,
        "use_dora": False,
        "fan_in_fan_out": False,
    }
    atomic_write_json(folder / CONFIG_FILE, config)


def load_adapter(folder: Path) -> Adapter:
    """Read what PEFT or ``save_adapter`` wrote. Raises ExpertError for what is no LoRA adapter, or a damaged one."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config = _read_config(folder)
    try:
        tensors = load_file(folder / WEIGHTS_FILE)
    except FileNotFoundError as error:
        raise ExpertError(f"no adapter here: {folder / WEIGHTS_FILE} is missing") from error
    except (SafetensorError, OSError) as error:
        raise ExpertError(f"the adapter {folder / WEIGHTS_FILE} is damaged: {shorten(str(error))}") from error
    sides: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        found = _KEY.fullmatch(key)
        if found is None:
            raise ExpertError(f"the adapter {folder} holds '{shorten(key)}', which is no LoRA factor of a linear")
        sides.setdefault(found["linear"], {})[found["side"]] = tensor.float()
    factors = {}
    for linear, pair in sides.items():
        if pair.keys() != {"A", "B"} or pair["A"].dim() != 2 or pair["B"].shape[1:] != pair["A"].shape[:1]:
            raise ExpertError(f"the adapter {folder} is damaged: the factors of {linear} do not fit together")
        if not (pair["A"].isfinite().all() and pair["B"].isfinite().all()):
            raise ExpertError(f"the adapter {folder} is damaged: {linear} holds values that are not finite")
        scale = _scale(config, linear, pair["A"].shape[0])
        factors[linear] = Factors(pair["A"], pair["B"] * scale)
    if not factors:
        raise ExpertError(f"the adapter {folder} holds no factors")
    return Adapter(factors)


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_FILE
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ExpertError(f"no adapter here: {path} is missing") from error
    except (OSError, ValueError) as error:
        raise ExpertError(f"{path} cannot be read: {shorten(str(error))}") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise ExpertError(f"{path} describes no LoRA adapter")
    return config


def _scale(config: Mapping[str, Any], linear: str, rank: int) -> float:
    """alpha / r of one linear, as PEFT finds it: patterns match whole names or their ends."""
    alpha = config.get("lora_alpha", rank)
    for pattern, own in (config.get("alpha_pattern") or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", linear):
            alpha = own
            break
    return float(alpha) / (rank**0.5 if config.get("use_rslora") else rank)
