"""Where a memory lies when nobody says: ``$REVERIE_MEMORY``, else a file in the user's data folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["default_memory", "usual_memory"]


def default_memory() -> str:
    """The address of the memory that commands use without ``--memory``: a path, or a URL as ``Store.open`` takes it.

    The data folder is ``$XDG_DATA_HOME`` (default ``~/.local/share``), ``~/Library/Application Support`` on macOS and
    ``%LOCALAPPDATA%`` on Windows.
    """
    if said := os.environ.get("REVERIE_MEMORY"):
        return said
    if sys.platform == "win32":
        data = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        data = Path.home() / "Library" / "Application Support"
    else:
        data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return str(Path(data) / "reverie" / "memory.db")


def usual_memory(needed: bool = False) -> str | None:
    """``default_memory`` where somebody named it, where it exists, or where it is ``needed``; None otherwise."""
    place = default_memory()
    return place if needed or os.environ.get("REVERIE_MEMORY") or Path(place).is_file() else None
