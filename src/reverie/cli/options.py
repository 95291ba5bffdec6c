"""The options that commands share, so that one word means one thing everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from reverie.errors import UsageError

__all__ = [
    "JsonOption",
    "ModelOption",
    "Overrides",
    "SaveOption",
    "SeedOption",
    "command_app",
    "examples",
    "make_dir",
    "make_save_dir",
]

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print exactly one JSON object on stdout, everything else on stderr.")
]
ModelOption = Annotated[str, typer.Option("--model", metavar="BUNDLE", help="A packaged bundle's name, or its folder.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same dreams.")]
SaveOption = Annotated[
    Path | None, typer.Option("--save", metavar="DIR", help="Write the pictures into this folder (made if needed).")
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings that override the config's.")
]


def command_app(**settings: Any) -> typer.Typer:
    """The Typer app that a command's file must hold under the name ``app``."""
    return typer.Typer(add_completion=False, **settings)


def examples(*lines: str) -> str:
    """The examples below a help page, one per line."""
    return "Examples:\n\n" + "\n".join(f"  {line}".replace("[", "\\[") for line in lines)


def make_save_dir(folder: Path | None) -> Path | None:
    """The folder of ``--save``, made if needed. Call it before any work: a wrong name should cost no waiting."""
    return None if folder is None else make_dir(folder)


def make_dir(folder: Path) -> Path:
    """``folder``, made if needed; UsageError where a file is in the way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"{folder} is, or lies under, a file where a folder is needed. Name another.") from error
    return folder
