"""The folder of a trained generator, and reading and writing it whole.

manifest.json           format, kind "generator", name, weights, default_prior, card, every file with size and SHA-256
config.json             sizes of the networks
model.safetensors       their weights: bf16, or int8 with scales
captions/               tokenizer.json
priors/NAME/            prior.json, prior.safetensors (fp32)
sheet.png               samples, where there are
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reverie.errors import BundleError
from reverie.jsonio import read_object
from reverie.manifest import MANIFEST, seal, verify

__all__ = ["FORMAT", "KIND", "MANIFEST", "read_generator_manifest", "seal_generator", "verify_generator"]

FORMAT, KIND = 1, "generator"
_FIELDS = {"name": str, "weights": str, "default_prior": str, "card": dict, "files": dict}


def read_generator_manifest(folder: Path) -> dict[str, Any]:
    """The manifest. Raises BundleError when ``folder`` holds no generator, or one of a newer format."""
    if not (folder / MANIFEST).exists():
        raise BundleError(f"{folder} is no generator: it has no {MANIFEST}. Train one: reverie generator train")
    manifest = read_object(folder / MANIFEST, BundleError, f"the {MANIFEST} of the generator")
    if manifest.get("kind") != KIND:
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
    read_generator_manifest(folder)
    return verify(folder, BundleError, "the generator")


def seal_generator(folder: Path, **fields: Any) -> None:
    """Write the manifest last: it lists every file that lies in ``folder`` now."""
    seal(folder, {"format": FORMAT, "kind": KIND, **fields})
