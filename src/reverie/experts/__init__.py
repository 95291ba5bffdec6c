"""Experts: LoRA adapters in PEFT's file format, kept in a library, chosen by a router that may choose nobody, and run
several weighted ones a row in one batch.

Read ``contract.py`` first (what an expert is), then ``files.py`` (its folder) and ``library.py`` (all of them),
``router.py`` (who is chosen), ``slots.py`` and ``routed.py`` (how several run at the cost of one).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reverie.experts.cache import ByteCache
    from reverie.experts.contract import Adapter, Choice, ExpertCard, ExpertSource, Factors, check_choice
    from reverie.experts.features import question_features
    from reverie.experts.files import base_hash, base_linears, check_expert, load_adapter, save_adapter
    from reverie.experts.inject import Injection, inject, linears_of
    from reverie.experts.library import Library, LibrarySettings
    from reverie.experts.live import LiveRouter
    from reverie.experts.lowrank import LoraConfig, attach, detach
    from reverie.experts.prototypes import Prototype, fit_prototype, load_prototype, save_prototype
    from reverie.experts.routed import routed, routed_plain
    from reverie.experts.router import Router, RouterConfig
    from reverie.experts.shelf import default_library
    from reverie.experts.slots import Slots
    from reverie.experts.table import Table

_HOMES = {  # imported on first use, so that naming the experts does not pull in torch
    "Adapter": "contract",
    "ByteCache": "cache",
    "Choice": "contract",
    "ExpertCard": "contract",
    "ExpertSource": "contract",
    "Factors": "contract",
    "Injection": "inject",
    "Library": "library",
    "LibrarySettings": "library",
    "LiveRouter": "live",
    "LoraConfig": "lowrank",
    "Prototype": "prototypes",
    "Router": "router",
    "RouterConfig": "router",
    "Slots": "slots",
    "Table": "table",
    "attach": "lowrank",
    "base_hash": "files",
    "base_linears": "files",
    "check_choice": "contract",
    "check_expert": "files",
    "default_library": "shelf",
    "detach": "lowrank",
    "fit_prototype": "prototypes",
    "inject": "inject",
    "linears_of": "inject",
    "load_adapter": "files",
    "load_prototype": "prototypes",
    "question_features": "features",
    "routed": "routed",
    "routed_plain": "routed",
    "save_adapter": "files",
    "save_prototype": "prototypes",
}

__all__ = [
    "Adapter",
    "ByteCache",
    "Choice",
    "ExpertCard",
    "ExpertSource",
    "Factors",
    "Injection",
    "Library",
    "LibrarySettings",
    "LiveRouter",
    "LoraConfig",
    "Prototype",
    "Router",
    "RouterConfig",
    "Slots",
    "Table",
    "attach",
    "base_hash",
    "base_linears",
    "check_choice",
    "check_expert",
    "default_library",
    "detach",
    "fit_prototype",
    "inject",
    "linears_of",
    "load_adapter",
    "load_prototype",
    "question_features",
    "routed",
    "routed_plain",
    "save_adapter",
    "save_prototype",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
