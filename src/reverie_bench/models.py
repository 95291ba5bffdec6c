"""The bundle under test, with nobody behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reverie.dreaming import Reverie

__all__ = ["open_model"]


def open_model(name: str) -> tuple[Reverie, dict[str, Any]]:
    """A session with a bundle and its manifest. The remote preview is off: only the local model is measured."""
    from reverie.bundles import load_bundle
    from reverie.dreaming.preview import RuntimeConfig

    bundle = load_bundle(name)
    return bundle.session(RuntimeConfig(enable_gpt51_codex_preview=False)), bundle.manifest
