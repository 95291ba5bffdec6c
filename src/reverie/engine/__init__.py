"""Runs the backbone: many branches in one batch over one cached prefix, masked by a grammar, each with its own seed.

Read ``engine.py`` first (policy: who dreams, who is done), then ``decoder.py`` (tensors: fused weights, caches,
one step), ``sampling.py`` (from logits to an id) and ``reference.py`` (the slow plain path, which tests hold the
fast one to).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reverie.engine.engine import Engine
    from reverie.engine.foreign import ForeignEngine, open_engine
    from reverie.engine.reference import Reference
    from reverie.engine.requests import Completion, Constraint, Request
    from reverie.engine.sampling import Sampling

_HOMES = {  # imported on first use, so that naming the engine does not pull in torch
    "Completion": "requests",
    "Constraint": "requests",
    "Engine": "engine",
    "ForeignEngine": "foreign",
    "Reference": "reference",
    "Request": "requests",
    "Sampling": "sampling",
    "open_engine": "foreign",
}

__all__ = [
    "Completion",
    "Constraint",
    "Engine",
    "ForeignEngine",
    "Reference",
    "Request",
    "Sampling",
    "open_engine",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
