"""The experts of a bundle: those in its folder, the user's own beside them, and the router that chooses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.experts.files import base_hash, base_linears
from reverie.experts.library import Library
from reverie.paths import default_library

if TYPE_CHECKING:
    from reverie.dreaming.expert_pool import ExpertPool
    from reverie.experts.router import Router

__all__ = ["EXPERTS", "ROUTER", "bundle_base_hash", "open_expert_pool", "open_library", "open_router"]

EXPERTS, ROUTER = "experts", "router"


def open_library(folder: Path, manifest: Mapping[str, Any], library: Path | None = None) -> Library:
    """The library of the bundle in ``folder``: its own experts, read-only, and those of ``library``, by default the
    user's place for experts of this base (``paths.default_library``)."""
    backbone = folder / "backbone"
    backbone, made = folder / "backbone", manifest.get("base", {})
    base = bundle_base_hash(folder, manifest)
    known_as = [manifest["name"], made.get("source", ""), *made.get("known_as", ())]
    return Library.open(
        library or default_library(base),
        base,
        folder / EXPERTS if (folder / EXPERTS).is_dir() else None,
        linears=base_linears(backbone),
        known_as=[name for name in known_as if name],
        made_of=_made_of(made) if made else "",
    )


def _made_of(made: Mapping[str, Any]) -> str | None:
    """The hash of the folder that a base was made of; None where it was none, or an older bundle does not say."""
    return made.get("source_sha256") if made.get("source_kind") in ("folder", "hub") else None


def bundle_base_hash(folder: Path, manifest: Mapping[str, Any]) -> str:
    """What names the bundle's base to its experts, from the manifest alone."""
    said = {name.removeprefix("backbone/"): file["sha256"] for name, file in manifest["files"].items()}
    return base_hash(folder / "backbone", said)


def open_expert_pool(folder: Path, manifest: Mapping[str, Any], library: Path | None = None) -> ExpertPool:
    """Library and router of a bundle. A bundle without a router gets one that knows nobody, and chooses what is added
    to the library by its prototype."""
    from reverie.dreaming.expert_pool import ExpertPool
    from reverie.growth.learned_words import lessons_check

    opened = open_library(folder, manifest, library)
    return ExpertPool(opened, open_router(folder, manifest, opened.base), lessons_check)


def open_router(folder: Path, manifest: Mapping[str, Any], base: str) -> Router | None:
    """The router that a bundle was trained with, for the base of that hash; None where it has none."""
    from reverie.experts.router import Router

    return Router.load(folder / ROUTER, base) if f"{ROUTER}/config.json" in manifest["files"] else None
