"""Bundles: a whole model in one folder, checked file by file when it is loaded. Read ``bundle.py`` first.

``load("nano")`` gives a session with the packaged model; the folders beside this file that hold a ``manifest.json`` are
the packaged bundles. ``make.py`` turns what training exports into a bundle.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from reverie.bundles.bundle import find_bundle, packaged_bundles, read_manifest, verify_bundle, write_bundle

if TYPE_CHECKING:
    from reverie.bundles.init import InitSettings, init_bundle
    from reverie.bundles.loading import Bundle, load, load_bundle
    from reverie.bundles.make import make_bundle

__all__ = [
    "Bundle",
    "InitSettings",
    "find_bundle",
    "init_bundle",
    "load",
    "load_bundle",
    "make_bundle",
    "packaged_bundles",
    "read_manifest",
    "verify_bundle",
    "write_bundle",
]

_HOMES = {
    "Bundle": "loading",
    "InitSettings": "init",
    "init_bundle": "init",
    "load": "loading",
    "load_bundle": "loading",
    "make_bundle": "make",
}


def __getattr__(name: str) -> Any:  # torch is imported only when a name that needs it is asked for
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
