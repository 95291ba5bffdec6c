"""The folder of a trained generator, and reading and writing it whole.

manifest.json           format, kind "generator", name, weights, default_prior, card, every file with size and SHA-256
config.json             sizes of the networks
model.safetensors       their weights: bf16, or int8 with scales
captions/               tokenizer.json
priors/NAME/            prior.json, prior.safetensors (fp32)
sheet.png               samples, where there are
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reverie.errors import BundleError, shorten
from reverie.files import atomic_write_json, fault_among, list_files

__all__ = ["FORMAT", "KIND", "MANIFEST", "read_generator_manifest", "seal_generator", "verify_generator"]

FORMAT, KIND, MANIFEST = 1, "generator", "manifest.json"
_FIELDS = {"name": str, "weights": str, "default_prior": str, "card": dict, "files": dict}


def read_generator_manifest(folder: Path) -> dict[str, Any]:
    """The manifest. Raises BundleError when ``folder`` holds no generator, or one of a newer format."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BundleError(
            f"{folder} is no generator: it has no {MANIFEST}. Train one: reverie generator train"
        ) from error
    except (OSError, ValueError) as error:
        raise BundleError(
            f"the generator {folder} is damaged: {MANIFEST} cannot be read: {shorten(str(error))}"
        ) from error
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        raise BundleError(f"{folder} is no generator: its {MANIFEST} says another kind")
    if not isinstance(manifest.get("format"), int) or manifest["format"] > FORMAT:
        raise BundleError(
            f"the generator {folder} has format {manifest.get('format')}, this Reverie reads up to {FORMAT}"
        )
    for field, kind in _FIELDS.items():
        if not isinstance(manifest.get(field), kind):
            raise BundleError(f"the generator {folder} is damaged: its {MANIFEST} has no '{field}'")
    return manifest


def verify_generator(folder: Path) -> dict[str, Any]:
    """The manifest, after holding every file to its size and SHA-256. Raises BundleError at a fault."""
    manifest = read_generator_manifest(folder)
    if fault := fault_among(folder, manifest["files"]):
        raise BundleError(f"the generator {folder} is damaged: {fault}")
    return manifest


def seal_generator(folder: Path, **fields: Any) -> None:
    """Write the manifest last: it lists every file that lies in ``folder`` now."""
    manifest = {"format": FORMAT, "kind": KIND, **fields, "files": list_files(folder, MANIFEST)}
    atomic_write_json(folder / MANIFEST, manifest)
