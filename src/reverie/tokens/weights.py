"""A module in a folder: ``config.json`` and ``model.safetensors``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from reverie.errors import BundleError, ConfigError
from reverie.files import atomic_write_bytes, atomic_write_json
from reverie.jsonio import read_object

__all__ = ["load_module", "save_module"]

M = TypeVar("M", bound=nn.Module)


def save_module(module: nn.Module, config: dict[str, Any], folder: Path) -> None:
    """Write weights as bf16 and ``config`` as JSON. Loading gives fp32 weights with bf16 values."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().to("cpu", torch.bfloat16) for name, tensor in module.state_dict().items()}
    atomic_write_bytes(folder / "model.safetensors", save(tensors))
    atomic_write_json(folder / "config.json", config)


def load_module(make: Callable[[dict[str, Any]], M], folder: Path) -> M:
    """Rebuild what ``save_module`` wrote; ``make`` builds the module from its config. BundleError when damaged."""
    try:
        module = make(read_object(folder / "config.json", BundleError, "the config"))
        tensors = load((folder / "model.safetensors").read_bytes())
        module.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except OSError as error:
        raise BundleError(f"cannot read {error.filename}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, SafetensorError, RuntimeError, ConfigError) as error:
        raise BundleError(f"the weights in {folder} are damaged or of another version: {error}") from error
    return module.eval().requires_grad_(False)
