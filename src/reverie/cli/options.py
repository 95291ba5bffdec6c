"""The options that commands share, so that one word means one thing everywhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from reverie.errors import UsageError

__all__ = [
    "DepthOption",
    "EvaluatorOption",
    "ExpertOption",
    "ImageOption",
    "JsonOption",
    "LibraryOption",
    "MemoryOption",
    "ModelOption",
    "NoExpertsOption",
    "Overrides",
    "SaveOption",
    "SceneOption",
    "SeedOption",
    "TemperatureOption",
    "WorldOption",
    "command_app",
    "examples",
    "make_dir",
    "named_experts",
    "save_dir",
    "saved_note",
]


def _seed(seed: int) -> int:
    if seed < 0:
        raise UsageError(f"a seed is a whole number of at least 0, got {seed}")
    return seed


JsonOption = Annotated[
    bool, typer.Option("--json", help="Print exactly one JSON object on stdout, everything else on stderr.")
]
ModelOption = Annotated[str, typer.Option("--model", metavar="BUNDLE", help="A packaged bundle's name, or its folder.")]
SeedOption = Annotated[int, typer.Option("--seed", callback=_seed, help="Same seed, same dreams.")]
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
ImageOption = Annotated[
    list[str] | None, typer.Option("--image", metavar="FILE", help="A picture that the dreams start from.")
]
DepthOption = Annotated[int, typer.Option("--depth", min=1, help="Most (what, action, result) steps of a dream.")]
WorldOption = Annotated[
    str | None, typer.Option("--world", metavar="NAME", help="The world to start in, or that the picture shows.")
]
SceneOption = Annotated[
    str | None,
    typer.Option("--map", "--scene", metavar="SCENE", help="FrozenLake's map (SFF,FHF,FFG), or options as JSON."),
]
TemperatureOption = Annotated[
    float, typer.Option("--temperature", min=0.0, max=10.0, help="How freely all dreams but the first are drawn.")
]
MemoryOption = Annotated[
    str | None,
    typer.Option(
        "--memory", metavar="URL", help="What answers rest on: a file (made if needed), or postgresql+psycopg://…"
    ),
]
EvaluatorOption = Annotated[
    list[str] | None,
    typer.Option("--evaluator", metavar="NAME", help="Let this one judge the dreams too; again for more."),
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


def save_dir(folder: Path | None) -> Path | None:
    """The folder of ``--save``, which is made when the first file goes into it. Call it before any work: a name that
    cannot be a folder should cost no waiting."""
    if folder is not None:
        there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
        if not there.is_dir():
            raise UsageError(f"{folder} is, or lies under, a file where a folder is needed. Name another.")
        if not os.access(there, os.W_OK):
            raise UsageError(f"nothing can be written into {there}. Name another folder.")
    return folder


def saved_note(count: int, folder: Path) -> str:
    """One line about what ``--save`` wrote."""
    return f"{count} pictures and strip.png in {folder}" if count else f"nothing to save in {folder}"


def make_dir(folder: Path) -> Path:
    """``folder``, made if needed; UsageError where a file is in the way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"{folder} is, or lies under, a file where a folder is needed. Name another.") from error
    return folder
