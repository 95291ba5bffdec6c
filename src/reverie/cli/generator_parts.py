"""What the commands of ``reverie generator`` share: options, and checks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reverie.errors import UsageError, shorten
from reverie.generator.config import MAX_SEED
from reverie.generator.finding import find_generator, open_generator

if TYPE_CHECKING:
    from reverie.data.pictures import Collection

__all__ = [
    "MAX_COUNT",
    "CountOption",
    "FirstSeedOption",
    "GuidanceOption",
    "LoraOption",
    "ModelOption",
    "PriorOption",
    "PromptOption",
    "TemperatureOption",
    "TrustOption",
    "bundle_folder",
    "check_prompt",
    "check_seeds",
    "flags_of",
    "free_folder",
    "open_collection",
    "picture_file",
    "size_of",
]

MAX_COUNT = 100_000  # pictures a call
MAX_PROMPT = 2_000  # letters; a caption of a preset has a hundred ids at most

ModelOption = Annotated[
    str, typer.Option("--model", metavar="BUNDLE", help="A trained generator: its bundle, or the run folder around it.")
]
FirstSeedOption = Annotated[int, typer.Option("--seed", help="Same seed, same picture and caption.")]
CountOption = Annotated[int, typer.Option("--count", min=1, max=MAX_COUNT, help="Pictures, of seed, seed + 1, …")]
PriorOption = Annotated[
    str, typer.Option("--prior", help="flow, mixture or normal; by default the one that validation chose.")
]
TemperatureOption = Annotated[
    float, typer.Option("--temperature", min=0.0, max=4.0, help="Below 1: more usual pictures; above: more daring.")
]
PromptOption = Annotated[str, typer.Option("--prompt", metavar="WORDS", help="What the picture should show.")]
GuidanceOption = Annotated[
    float, typer.Option("--guidance", min=0.0, max=20.0, help="How hard to follow the prompt; 1: just as learned.")
]
LoraOption = Annotated[
    Path | None, typer.Option("--lora", metavar="DIR", help="A fine-tuning of this model by train --lora.")
]
TrustOption = Annotated[
    bool, typer.Option("--trust-base", help="Take a fine-tuning of another base, such as the same one in int8.")
]


@contextmanager
def bundle_folder(model: str, lora: Path | None = None, trust_base: bool = False) -> Iterator[Path]:
    """The folder of ``--model``; with ``--lora`` that of a bundle with it worked in, for as long as it is needed."""
    if lora is None:
        yield find_generator(model)
        return
    from tempfile import TemporaryDirectory

    tuned = open_generator(model, lora, trust_base)
    with TemporaryDirectory(prefix="reverie-") as folder:
        yield tuned.save(Path(folder) / "bundle")


def open_collection(folder: Path, split: str) -> Collection:
    """A prepared collection with pictures in ``split``. Raises DataError that says how to prepare one, UsageError."""
    from reverie.data.pictures import Collection

    collection = Collection.open(folder)
    if not len(collection.split(split)):
        raise UsageError(f"the collection {shorten(str(folder))} has no pictures in its split '{split}'")
    return collection


def check_seeds(first: int, count: int = 1, option: str = "--seed") -> range:
    """The seeds from ``first``. Raises UsageError where one is negative or too large."""
    if not 0 <= first <= MAX_SEED - count + 1:
        raise UsageError(f"{option} lies between 0 and {MAX_SEED}, got {first}")
    return range(first, first + count)


def check_prompt(prompt: str) -> str:
    """The prompt without spaces around it. Raises UsageError on one longer than any caption."""
    if len(prompt) > MAX_PROMPT:
        raise UsageError(f"a prompt has at most {MAX_PROMPT:,} letters, got {len(prompt):,}")
    return prompt.strip()


def picture_file(path: Path) -> Path:
    """``path`` as a PNG to be written. Raises UsageError where it is a folder, lies under a file, or is no PNG."""
    if path.is_dir():
        raise UsageError(f"--out is a picture's file; {shorten(str(path))} is a folder. Add a name, such as out.png.")
    if path.suffix.lower() != ".png":
        raise UsageError(f"--out must end in .png, got {shorten(path.name)}")
    if any(parent.is_file() for parent in path.parents):
        raise UsageError(f"{shorten(str(path))} lies under a file where a folder is needed. Name another.")
    return path


def free_folder(folder: Path) -> Path:
    """``folder``. Raises UsageError where it is a file or lies under one."""
    if folder.is_file() or any(parent.is_file() for parent in folder.parents):
        raise UsageError(f"{shorten(str(folder))} is, or lies under, a file where a folder is needed. Name another.")
    return folder


def size_of(folder: Path) -> int:
    """Bytes of all files in ``folder``."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def flags_of(given: Mapping[str, object]) -> list[str]:
    """The options that were given, as overrides; a folder may be called 2024 or yes."""
    told = {key: json.dumps(value if isinstance(value, (int, float)) else str(value)) for key, value in given.items()}
    return [f"{key}={told[key]}" for key, value in given.items() if value is not None]
