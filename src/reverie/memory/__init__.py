"""Memory: a knowledge graph that grounds every dream.

Read ``contract.py`` first, then ``store.py`` (the truth), ``topology.py`` and ``vectors.py`` (made from it), and
``recall.py``; ``memory.py`` joins them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reverie.memory.embedders import make_embedder
    from reverie.memory.memory import Memory
    from reverie.memory.recall import RecallSettings
    from reverie.memory.store import Store
    from reverie.memory.topology import Topology

_HOMES = {  # imported on first use, so that naming the memory pulls in neither numba nor SQLAlchemy
    "Memory": "memory",
    "RecallSettings": "recall",
    "Store": "store",
    "Topology": "topology",
    "make_embedder": "embedders",
}

__all__ = ["Memory", "RecallSettings", "Store", "Topology", "make_embedder"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
