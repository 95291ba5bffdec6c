"""One way to say what a folder holds, and to find out whether it still does.

A manifest is a JSON file in the folder: what it is (``kind``, ``format``), whatever its maker says of it, and under
``files`` the size and SHA-256 of every other file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reverie.errors import ReverieError, shorten
from reverie.files import atomic_write_json, sha256_of
from reverie.jsonio import read_object

__all__ = ["MANIFEST", "list_files", "read_manifest", "seal", "verify"]

MANIFEST = "manifest.json"


def seal(folder: Path, fields: Mapping[str, Any], name: str = MANIFEST) -> None:
    """Write the manifest ``name`` of ``folder``: ``fields``, then all files there are."""
    atomic_write_json(folder / name, {**fields, "files": list_files(folder, name)})


def read_manifest(folder: Path, error: type[ReverieError], what: str, name: str = MANIFEST) -> dict[str, Any]:
    """The manifest of ``folder``; ``error`` where there is none or it lists no files. The files are not looked at."""
    manifest = read_object(folder / name, error, f"the {name} of {what}")
    if not isinstance(manifest.get("files"), dict):
        raise error(f"{what} {folder} is damaged: its {name} lists no files")
    return manifest


def verify(folder: Path, error: type[ReverieError], what: str, name: str = MANIFEST) -> dict[str, Any]:
    """The manifest of ``folder``, every file held to it; ``error`` names the first that differs."""
    manifest = read_manifest(folder, error, what, name)
    for file, said in manifest["files"].items():
        if fault := _fault(folder, file, said):
            raise error(f"{what} {folder} is damaged: {fault}")
    return manifest


def list_files(folder: Path, besides: str = MANIFEST) -> dict[str, dict[str, Any]]:
    """Every file below ``folder`` but the one called ``besides``: its name -> {"bytes", "sha256"}."""
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != besides
    }


def _fault(folder: Path, name: str, said: Any) -> str:
    path = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts or not isinstance(said, (dict, str)):
        return f"its list of files names the file {shorten(name)}"
    if not path.is_file():
        return f"{name} is missing"
    size = path.stat().st_size
    said = {"bytes": size, "sha256": said} if isinstance(said, str) else said  # a bare SHA-256, as cards once had
    if size != said.get("bytes"):
        return f"{name} has {size} bytes, not {said.get('bytes')}"
    return "" if sha256_of(path) == said.get("sha256") else f"{name} differs from what was saved (SHA-256)"
