"""The bundle format: a folder whose ``manifest.json`` names every file with its size and SHA-256.

    manifest.json               format, name, recipe, worlds, figures, files; base, where it was made elsewhere
    backbone/                   config.json, model.safetensors: a transformers folder; of a base with its tokenizer
    image_tokenizer/            config.json, model.safetensors
    text_tokenizer/             tokenizer.json
    vocabulary.json             ranges of ids, backdrops
    confidence.json             numbers of the probe; may be absent
    memory.jsonl                facts of its worlds that a new memory starts with; may be absent
    reader/                     graph attention over recalled facts; may be absent
    experts/                    packaged experts, a folder each; may be absent
    router/                     who chooses among them; may be absent
    gguf/                       the GGUF file that the base was made of, for llama.cpp; not sealed; may be absent

Nothing here needs torch: a bundle is found, read and verified as files.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reverie.errors import BundleError
from reverie.files import atomic_folder
from reverie.jsonio import read_object
from reverie.manifest import MANIFEST, seal, verify
from reverie.paths import find_bundle, packaged_bundles

__all__ = [
    "FORMAT",
    "GGUF",
    "MANIFEST",
    "READER",
    "STARTER_FACTS",
    "find_bundle",
    "gguf_of",
    "packaged_bundles",
    "read_manifest",
    "seal_bundle",
    "verify_bundle",
    "write_bundle",
]

FORMAT = 1
GGUF = "gguf"
STARTER_FACTS = "memory.jsonl"
_FOLDERS = ("experts/", "router/")
READER = ("reader/config.json", "reader/model.safetensors", "reader/relations.json")
_WEIGHTS = "backbone/model.safetensors"  # or in several files, as transformers splits large ones
_NEEDED = (
    "backbone/config.json",
    _WEIGHTS,
    "image_tokenizer/config.json",
    "image_tokenizer/model.safetensors",
    "text_tokenizer/tokenizer.json",
    "vocabulary.json",
)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a bundle. Raises BundleError when there is none, or none that this version reads."""
    if folder.is_dir() and not (folder / MANIFEST).exists():
        raise BundleError(f"{folder} is no bundle: it has no {MANIFEST}")
    manifest = read_object(folder / MANIFEST, BundleError, f"the {MANIFEST} of a bundle")
    if not isinstance(manifest.get("format"), int):
        raise BundleError(f"{folder} is no bundle of Reverie: its {MANIFEST} says no format")
    if manifest["format"] > FORMAT:
        raise BundleError(
            f"the bundle {folder} has format {manifest['format']}, this Reverie reads up to {FORMAT}: install a newer"
        )
    kinds = {"name": str, "worlds": dict, "files": dict, "recipe": dict, "figures": dict}
    for field, kind in (kinds | ({"base": dict} if "base" in manifest else {})).items():
        if not isinstance(manifest.get(field), kind):
            raise BundleError(f"the bundle {folder} is damaged: its {MANIFEST} has no '{field}'")
    return manifest


def verify_bundle(folder: Path) -> dict[str, Any]:
    """Read the manifest and hold every file to it: its size, then its SHA-256. Raises BundleError at a fault."""
    manifest = read_manifest(folder)
    if missing := _missing(manifest["files"]):
        raise BundleError(f"the bundle {folder} is incomplete: its {MANIFEST} lists no {missing}")
    return verify(folder, BundleError, "the bundle")


def gguf_of(folder: Path) -> Path | None:
    """The GGUF file that the bundle's base was made of, where it was kept. Its SHA-256 is the manifest's
    ``base["source_sha256"]``; loading the bundle does not read it. Raises BundleError as ``read_manifest`` does."""
    named = read_manifest(folder).get("base", {}).get("gguf")
    path = folder / GGUF / Path(named).name if isinstance(named, str) else None
    return path if path is not None and path.is_file() else None


def write_bundle(
    folder: Path,
    parts: Path,
    *,
    name: str,
    worlds: Mapping[str, int],
    recipe: Mapping[str, Any] | None = None,
    figures: Mapping[str, Any] | None = None,
) -> Path:
    """Copy the files of ``parts`` (what training exports, and the files that may be absent) into the bundle ``folder``.

    Args:
        name: of the bundle
        worlds: the worlds taught, in the order of the vocabulary's backdrops -> pixels per code
        recipe, figures: JSON: how it was made, and what it reaches

    The folder appears whole or not at all. Raises BundleError when a part is missing.
    """
    sources = {path.relative_to(parts).as_posix(): path for path in sorted(parts.rglob("*")) if path.is_file()}
    known = (*_NEEDED, "confidence.json", STARTER_FACTS, *READER)
    kept = {file: path for file, path in sources.items() if file in known or file.startswith(_FOLDERS)}
    if missing := _missing(kept):
        raise BundleError(f"{parts} lacks {missing}, so it makes no bundle; export a trained backbone there first")
    with atomic_folder(folder) as building:
        for file, path in kept.items():
            target = building / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        seal_bundle(building, name=name, worlds=worlds, recipe=recipe, figures=figures)
    return folder


def seal_bundle(
    folder: Path,
    *,
    name: str,
    worlds: Mapping[str, int],
    recipe: Mapping[str, Any] | None = None,
    figures: Mapping[str, Any] | None = None,
    base: Mapping[str, Any] | None = None,
) -> None:
    """Write the manifest of all that ``folder`` holds; arguments as for ``write_bundle``.

    ``base``: of a base made elsewhere: architecture, dtype, quantized, prompt, and whether the grammar was taught.
    """
    fields = {
        "format": FORMAT,
        "name": name,
        "worlds": dict(worlds),
        "recipe": dict(recipe or {}),
        "figures": dict(figures or {}),
        **({} if base is None else {"base": dict(base)}),
    }
    seal(folder, fields)


def _missing(files: Iterable[str]) -> str | None:
    """The first needed file that is not among ``files``."""
    there = set(files)
    if any(file.startswith("backbone/") and file.endswith(".safetensors") for file in there):
        there.add(_WEIGHTS)
    return next((file for file in _NEEDED if file not in there), None)
