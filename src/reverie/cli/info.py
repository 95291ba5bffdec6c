"""``reverie info``: what is installed, where things lie, and what a bundle holds."""

from __future__ import annotations

import json
import math
import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import reverie
from reverie.cli.app import log_file
from reverie.cli.options import JsonOption, ModelOption, command_app, examples
from reverie.cli.output import Output

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["bundle_lines", "describe_bundle", "device", "extras", "version_of"]

app = command_app()

_LIBRARIES = ("torch", "numpy", "tokenizers", "safetensors", "gymnasium", "pymunk", "Pillow")
_OF_EXTRA = re.compile(r"([\w.-]+).*extra == ['\"]([\w-]+)['\"]")  # a requirement of an extra, as packages list them


@app.command(epilog=examples("reverie info", "reverie info --json", "reverie info --model runs/mine/bundle"))
def info(model: ModelOption = "nano", as_json: JsonOption = False) -> None:
    """Show versions, threads, the log file, what models there are, and a bundle's size and figures."""
    with Output(as_json) as out:
        from reverie.bundles.loading import usual_model
        from reverie.paths import packaged_bundles, pulled_bundles

        payload = {
            "reverie": reverie.__version__,
            "python": platform.python_version(),
            "platform": f"{platform.system()} {platform.machine()}",
            "libraries": {name: version_of(name) for name in _LIBRARIES},
            "extras": extras(),
            "device": device(),
            "log_file": log_file(),
            "auto": usual_model(),
            "models": {"packaged": sorted(packaged_bundles()), "pulled": sorted(pulled_bundles())},
            "bundle": describe_bundle(model),
        }
        out.result(payload, lambda console: _show(console, payload))


def extras() -> dict[str, bool]:
    """The extras that the package offers -> whether all that each needs is installed."""
    try:
        listed = [found.groups() for line in metadata.requires("reverie") or () if (found := _OF_EXTRA.match(line))]
    except metadata.PackageNotFoundError:  # run from its sources, without an installation
        return {}
    return {extra: all(version_of(name) for name, of in listed if of == extra) for _, extra in listed}


def version_of(distribution: str) -> str | None:
    """Of an installed package; None where there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def device() -> dict[str, Any]:
    """Cores, threads, cards, and how precisely is reckoned on each."""
    import torch

    from reverie.precision import choose_precision

    kinds = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    chosen = {kind: choose_precision("auto", kind) for kind in kinds}
    return {
        "cpu_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "precision": {kind: {"name": each.name, "reason": each.reason} for kind, each in chosen.items()},
    }


def describe_bundle(model: str) -> dict[str, Any]:
    """What a bundle's manifest says, checked against its files but not loaded. Raises UsageError and BundleError."""
    from reverie.bundles import find_bundle, verify_bundle

    folder = find_bundle(model)
    manifest = verify_bundle(folder)
    return {
        "name": manifest["name"],
        "folder": folder,
        "format": manifest["format"],
        "bytes": sum(file["bytes"] for file in manifest["files"].values()),
        **({"base": manifest["base"]} if "base" in manifest else {}),
        "parameters": {part: _count_parameters(folder / part) for part in ("backbone", "image_tokenizer")},
        "worlds": list(manifest["worlds"]),
        "figures": manifest["figures"],
        "recipe": manifest["recipe"],
    }


def _count_parameters(folder: Path) -> int:
    from safetensors import safe_open

    count = 0
    for file in folder.glob("*.safetensors"):  # large bases are split
        with safe_open(file, framework="numpy") as weights:
            count += sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    return count


def _show(console: Console, payload: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for name, value in _lines(payload):
        table.add_row(f"[dim]{name}[/]", Text(value))
    console.print(table)


def _lines(payload: dict[str, Any]) -> list[tuple[str, str]]:
    bundle, device = payload["bundle"], payload["device"]
    libraries = ", ".join(f"{name} {version or '-'}" for name, version in payload["libraries"].items())
    extras = ", ".join(f"{name} {'yes' if there else 'no'}" for name, there in payload["extras"].items())
    return [
        ("reverie", f"{payload['reverie']} on Python {payload['python']}, {payload['platform']}"),
        ("libraries", libraries),
        ("extras", extras),
        ("device", f"{device['cuda'] or 'cpu'}, {device['cpu_cores']} cores, {device['torch_threads']} threads"),
        *(("precision", f"{each['name']} on {kind}: {each['reason']}") for kind, each in device["precision"].items()),
        ("log file", str(payload["log_file"])),
        ("auto", f"{payload['auto']}: who answers without --model"),
        ("models", "; ".join(f"{kind} {', '.join(names) or 'none'}" for kind, names in payload["models"].items())),
        *bundle_lines(bundle),
    ]


def bundle_lines(bundle: dict[str, Any]) -> list[tuple[str, str]]:
    """What ``describe_bundle`` found, for people."""
    sizes = ", ".join(f"{part} {count / 1e6:.2f} M" for part, count in bundle["parameters"].items())
    return [
        ("bundle", f"{bundle['name']}, {bundle['bytes'] / 1e6:.1f} MB in {bundle['folder']}"),
        ("parameters", sizes),
        ("worlds", ", ".join(bundle["worlds"])),
        *([("base", json.dumps(bundle["base"]))] if "base" in bundle else []),
        *((name, json.dumps(value)) for name, value in bundle["figures"].items()),
    ]
