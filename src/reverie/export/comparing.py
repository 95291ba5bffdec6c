"""In what two bundles, or two folders of models, differ: files, settings, and tensors with how far they are apart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from reverie.bundles.bundle import MANIFEST, find_bundle
from reverie.errors import BundleError, shorten
from reverie.files import sha256_of
from reverie.jsonio import read_json

__all__ = ["Difference", "diff_bundles"]

Kind = Literal["file", "key", "tensor"]
_BOOKKEEPING = (MANIFEST, "export.json")  # of whose lists of files a diff is made anyway


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same. ``largest``: between two values of a tensor of one shape."""

    kind: Kind
    file: str
    name: str  # of the key or tensor; "" of a whole file
    first: str  # what it is there: a value, a shape, "missing"
    second: str
    largest: float | None = None


def diff_bundles(first: str | Path, second: str | Path) -> list[Difference]:
    """All differences, files in order; empty where both hold the same. Each is a bundle's name or a folder.

    Raises UsageError for a name of nobody, BundleError for files that cannot be read.
    """
    one, other = _folder(first), _folder(second)
    mine, theirs = _files(one), _files(other)
    found: list[Difference] = []
    for name in sorted(mine.keys() | theirs.keys()):
        if name not in mine or name not in theirs:
            there = ("missing", "there") if name not in mine else ("there", "missing")
            found.append(Difference("file", name, "", *there))
        elif name in _BOOKKEEPING or sha256_of(mine[name]) != sha256_of(theirs[name]):
            found += _differences(name, mine[name], theirs[name])
    return found


def _folder(given: str | Path) -> Path:
    path = Path(given)
    return path if path.is_dir() and not (path / MANIFEST).exists() else find_bundle(given)


def _files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _differences(name: str, one: Path, other: Path) -> Iterator[Difference]:
    if one.suffix == ".safetensors":
        yield from _tensors(name, one, other)
    elif one.suffix == ".json":
        pair = [dict(_keys(read_json(path, BundleError, "a file of a bundle"))) for path in (one, other)]
        yield from _values(name, *pair)
    else:
        yield Difference("file", name, "", f"{one.stat().st_size} bytes", f"{other.stat().st_size} bytes")


def _keys(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a JSON document by its path; long lists are one value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not (path == "" and key == "files"):
                yield from _keys(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _values(name: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Difference]:
    for key in [*one, *(key for key in other if key not in one)]:
        first, second = (_said(side[key]) if key in side else "missing" for side in (one, other))
        if one.get(key) != other.get(key) or (key in one) != (key in other):
            yield Difference("key", name, key, first, second)


def _said(value: Any) -> str:
    return shorten(json.dumps(value, ensure_ascii=False), 60)


def _tensors(name: str, one: Path, other: Path) -> Iterator[Difference]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(one, framework="pt") as mine, safe_open(other, framework="pt") as theirs:
            names = sorted({*mine.keys(), *theirs.keys()})
            for tensor in names:
                if tensor not in mine.keys() or tensor not in theirs.keys():  # noqa: SIM118, they are no dicts
                    there = [_shape(side, tensor) for side in (mine, theirs)]
                    yield Difference("tensor", name, tensor, there[0], there[1])
                else:
                    yield from _apart(name, tensor, mine, theirs)
    except SafetensorError as error:
        raise BundleError(f"{one} or {other} is damaged: {shorten(str(error), 120)}") from error


def _apart(name: str, tensor: str, mine: Any, theirs: Any) -> Iterator[Difference]:
    import torch

    first, second = mine.get_tensor(tensor), theirs.get_tensor(tensor)
    said = _shape(mine, tensor), _shape(theirs, tensor)
    if first.shape != second.shape:
        yield Difference("tensor", name, tensor, *said)
    elif said[0] != said[1] or not torch.equal(first, second):
        largest = float((first.double() - second.double()).abs().max()) if first.numel() else 0.0
        yield Difference("tensor", name, tensor, *said, largest)


def _shape(file: Any, tensor: str) -> str:
    if tensor not in file.keys():  # noqa: SIM118
        return "missing"
    part = file.get_slice(tensor)
    return f"{part.get_dtype()} {tuple(part.get_shape())}"
