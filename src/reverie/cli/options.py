"""The options that commands share, so that one word means one thing everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from reverie.errors import UsageError

__all__ = [
    "ExpertOption",
    "JsonOption",
    "LibraryOption",
    "ModelOption",
    "NoExpertsOption",
    "Overrides",
    "SaveOption",
    "SeedOption",
    "command_app",
    "examples",
    "make_dir",
    "make_save_dir",
    "named_experts",
]

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print exactly one JSON object on stdout, everything else on stderr.")
]
ModelOption = Annotated[str, typer.Option("--model", metavar="BUNDLE", help="A packaged bundle's name, or its folder.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same dreams.")]
SaveOption = Annotated[
    Path | None, typer.Option("--save", metavar="DIR", help="Write the pictures into this folder (made if needed).")
]
ExpertOption = Annotated[
    list[str] | None,
    typer.Option("--expert", metavar="NAME[=WEIGHT]", help="Dream with this expert; again for more, at most four."),
]
NoExpertsOption = Annotated[bool, typer.Option("--no-experts", help="Dream with the bare backbone.")]
LibraryOption = Annotated[
    Path | None, typer.Option("--library", metavar="DIR", help="Your library of experts (see reverie experts --help).")
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


def named_experts(expert: list[str] | None, no_experts: bool) -> tuple[str, ...] | None:
    """What ``experts=`` of a session takes: None lets the router choose."""
    if expert and no_experts:
        raise UsageError("--no-experts goes with no --expert")
    return () if no_experts else tuple(expert) if expert else None


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
