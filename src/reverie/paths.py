"""Where things lie: what belongs to the user below ``$REVERIE_HOME``, else in the folders that the system has for it;
packaged bundles in the package.

``$REVERIE_MEMORY`` and ``$REVERIE_EXPERTS`` move the memory and the experts alone. No function here makes a folder.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from reverie.errors import UsageError, nearest, shorten

__all__ = [
    "cache_dir",
    "data_dir",
    "default_library",
    "default_memory",
    "find_bundle",
    "find_gguf",
    "log_dir",
    "models_dir",
    "packaged_bundles",
    "pulled_bundles",
    "talks_file",
    "usual_memory",
]


def data_dir() -> Path:
    """What is kept for good: ``$REVERIE_HOME``, else ``~/.local/share/reverie`` and its like on other systems."""
    return _home() or platformdirs.user_data_path("reverie", appauthor=False)


def cache_dir() -> Path:
    """What can be made again: ``$REVERIE_HOME/cache``, else ``~/.cache/reverie`` and its like."""
    home = _home()
    return home / "cache" if home else platformdirs.user_cache_path("reverie", appauthor=False)


def log_dir() -> Path:
    """``$REVERIE_HOME``, else ``~/.local/state/reverie/log`` and its like."""
    return _home() or platformdirs.user_log_path("reverie", appauthor=False)


def models_dir() -> Path:
    """Models that were made or fetched."""
    return data_dir() / "models"


def default_library(base: str) -> Path:
    """The experts of a base: ``$REVERIE_EXPERTS``, else a folder named by the first 12 digits of the base's hash."""
    said = os.environ.get("REVERIE_EXPERTS")
    return Path(said) if said else data_dir() / "experts" / base[:12]


def default_memory() -> str:
    """The memory of commands without ``--memory``: ``$REVERIE_MEMORY``, a path or URL as ``Store.open`` takes, else a
    file below ``data_dir``."""
    return os.environ.get("REVERIE_MEMORY") or str(data_dir() / "memory.db")


def talks_file() -> Path:
    """The log of talks."""
    return data_dir() / "talks.db"


def usual_memory(needed: bool = False) -> str | None:
    """``default_memory`` where somebody named it, where it exists, or where it is ``needed``; None otherwise."""
    place = default_memory()
    return place if needed or os.environ.get("REVERIE_MEMORY") or Path(place).is_file() else None


def packaged_bundles() -> dict[str, Path]:
    """The bundles inside the package, by name."""
    home = Path(__file__).parent / "bundles"
    return {path.parent.name: path.parent for path in sorted(home.glob("*/manifest.json"))}


def pulled_bundles() -> dict[str, Path]:
    """The models in ``models_dir``, by name."""
    return {path.parent.name: path.parent for path in sorted(models_dir().glob("[!.]*/manifest.json"))}


def find_bundle(name: str | Path) -> Path:
    """The folder of a packaged bundle or of a model of the user's, by its name, or the folder given. Raises UsageError
    where it is none of these."""
    named = pulled_bundles() | packaged_bundles()
    if str(name) in named:
        return named[str(name)]
    folder = Path(name)
    if folder.is_dir():
        return folder
    if folder.is_file():
        raise UsageError(f"a bundle is a folder, and {shorten(str(name))} is a file")
    near = nearest(str(name), named)
    hint = f" Did you mean '{near}'?" if near else ""
    known = ", ".join(named) or "none"
    raise UsageError(
        f"no bundle '{shorten(str(name))}'.{hint} There are: {known}; or give a bundle's folder, or fetch a model "
        "(reverie models pull)."
    )


def find_gguf(said: str) -> Path:
    """A GGUF file by its path, or the one that a model of the user's was made of and keeps, by the model's name, as
    ``smol``. Raises UsageError where there is none."""
    path = Path(said).expanduser()
    kept = sorted((pulled_bundles()[said] / "gguf").glob("*.gguf")) if said in pulled_bundles() else []
    if not path.is_file() and not kept:
        raise UsageError(
            f"there is no file {shorten(said)}, and no model of that name that keeps its GGUF file: write "
            "llama:FILE.gguf, or llama:smol once that was pulled"
        )
    return path if path.is_file() else kept[0]


def _home() -> Path | None:
    said = os.environ.get("REVERIE_HOME")
    return Path(said).expanduser() if said else None
