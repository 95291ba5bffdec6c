"""Experts: LoRA adapters in PEFT's file format, kept in a library, chosen by a router that may choose nobody, and run
several weighted ones a row in one batch.

Read ``contract.py`` first (what an expert is), then ``files.py`` (its folder) and ``library.py`` (all of them).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reverie.experts.cache import ByteCache
    from reverie.experts.contract import Adapter, Choice, ExpertCard, ExpertSource, Factors, check_choice
    from reverie.experts.files import base_hash, base_linears, check_expert, load_adapter, save_adapter
    from reverie.experts.library import Library, LibrarySettings
    from reverie.experts.shelf import default_library

_HOMES = {  # imported on first use, so that naming the experts does not pull in torch
    "Adapter": "contract",
    "ByteCache": "cache",
    "Choice": "contract",
    "ExpertCard": "contract",
    "ExpertSource": "contract",
    "Factors": "contract",
    "Library": "library",
    "LibrarySettings": "library",
    "base_hash": "files",
    "base_linears": "files",
    "check_choice": "contract",
    "check_expert": "files",
    "default_library": "shelf",
    "load_adapter": "files",
    "save_adapter": "files",
}

__all__ = [
    "Adapter",
    "ByteCache",
    "Choice",
    "ExpertCard",
    "ExpertSource",
    "Factors",
    "Library",
    "LibrarySettings",
    "base_hash",
    "base_linears",
    "check_choice",
    "check_expert",
    "default_library",
    "load_adapter",
    "save_adapter",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
