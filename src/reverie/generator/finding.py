"""Which generator a name means: a packaged one, a bundle's folder, or the run folder around it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reverie.errors import UsageError, shorten
from reverie.manifest import MANIFEST

if TYPE_CHECKING:
    from reverie.generator.generator import Generator

__all__ = ["find_generator", "open_generator", "packaged_generators"]


def packaged_generators() -> dict[str, Path]:
    """The generators inside the package, by name: the folders of ``reverie.generator`` that hold a manifest."""
    from importlib import resources

    home = Path(str(resources.files("reverie.generator")))
    return {path.parent.name: path.parent for path in sorted(home.glob(f"*/{MANIFEST}"))}


def find_generator(name: str) -> Path:
    """The bundle's folder: a packaged one's, the folder given, or the bundle in the run folder given.

    "" is the packaged one where there is exactly one. Raises UsageError.
    """
    packaged = packaged_generators()
    if not name:
        if len(packaged) == 1:
            return next(iter(packaged.values()))
        known = f" Packaged: {', '.join(packaged)}." if packaged else ""
        raise UsageError(f"which generator? Name one with --model BUNDLE; `reverie generator train` makes one.{known}")
    if name in packaged:
        return packaged[name]
    folder = Path(name)
    if folder.is_file():
        raise UsageError(f"a bundle is a folder, and {shorten(name)} is a file")
    if not folder.is_dir():
        raise UsageError(f"there is no bundle {shorten(name)}. `reverie generator train` leaves one in RUN_DIR/bundle.")
    inside = folder / "bundle"
    return inside if not (folder / MANIFEST).exists() and inside.is_dir() else folder


def open_generator(model: str, lora: Path | None = None, trust_base: bool = False) -> Generator:
    """The generator that ``find_generator`` finds, with the fine-tuning in the folder, or run folder, ``lora``.

    Raises UsageError, BundleError, ExpertError.
    """
    from reverie.generator.generator import Generator

    folder = find_generator(model)
    if lora is None:
        return Generator.load(folder)
    if not lora.is_dir():
        raise UsageError(f"--lora is the folder of a fine-tuning; {shorten(str(lora))} is none.")
    from reverie.generator.lora_merge import load_with_lora

    inside = lora / "adapter"
    return load_with_lora(folder, inside if inside.is_dir() else lora, trust_base)
