"""``reverie info``: what is installed, where things lie, and what a bundle holds."""

from __future__ import annotations

import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import reverie
from reverie.cli.app import log_file
from reverie.cli.options import JsonOption, ModelOption, command_app, examples
from reverie.cli.output import Output
from reverie.errors import BundleError

if TYPE_CHECKING:
    from rich.console import Console

app = command_app()

_LIBRARIES = ("torch", "numpy", "tokenizers", "safetensors", "gymnasium", "pymunk", "Pillow")
_EXTRAS = {"train": ("transformers", "tensorboard"), "preview": ("openai",), "dev": ("pytest", "ruff", "mypy")}


@app.command(epilog=examples("reverie info", "reverie info --json", "reverie info --model runs/mine/bundle"))
def info(model: ModelOption = "nano", as_json: JsonOption = False) -> None:
    """Show versions, threads, the log file, and a bundle's size and figures."""
    with Output(as_json) as out:
        payload = {
            "reverie": reverie.__version__,
            "python": platform.python_version(),
            "platform": f"{platform.system()} {platform.machine()}",
            "libraries": {name: _version(name) for name in _LIBRARIES},
            "extras": {extra: all(_version(name) for name in names) for extra, names in _EXTRAS.items()},
            "device": _device(),
            "log_file": log_file(),
            "bundle": _bundle(model),
        }
        out.result(payload, lambda console: _show(console, payload))


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _device() -> dict[str, Any]:
    import torch

    return {
        "cpu_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _bundle(model: str) -> dict[str, Any]:
    """Name, place, size in bytes and the manifest of a bundle, without loading it. Raises BundleError."""
    from reverie.bundles import find_bundle

    folder = find_bundle(model)
    manifest = read_manifest(folder)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {"name": manifest.get("name", folder.name), "folder": folder, "bytes": size, **_shown(manifest)}


def read_manifest(folder: Path) -> dict[str, Any]:
    raise BundleError(str(folder))


def _shown(manifest: dict[str, Any]) -> dict[str, Any]:
    return {key: manifest.get(key) for key in ("format", "recipe", "figures")}


def _show(console: Console, payload: dict[str, Any]) -> None:
    from rich.table import Table

    console.print(json.dumps(payload), Table)
