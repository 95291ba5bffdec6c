"""The options that commands share, so that one word means one thing everywhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.errors import UsageError

if TYPE_CHECKING:
    from reverie.cli.output import Output
    from reverie.dreaming import Session
    from reverie.dreaming.question import Speaking

__all__ = [
    "UnknownOption",
    "AllTemperatureOption",
    "AnyModelOption",
    "DepthOption",
    "EvaluatorOption",
    "ExpertOption",
    "ImageOption",
    "JsonOption",
    "LibraryOption",
    "MaxIdsOption",
    "MaybeUnknownOption",
    "MemoryOption",
    "MinPOption",
    "ModelOption",
    "NoExpertsOption",
    "Overrides",
    "PenaltyOption",
    "SaveOption",
    "SceneOption",
    "SeedOption",
    "StopOption",
    "StreamOption",
    "SystemOption",
    "TemperatureOption",
    "TopKOption",
    "TopPOption",
    "WorldOption",
    "command_app",
    "examples",
    "make_dir",
    "make_speaking",
    "named_experts",
    "note_unspoken",
    "open_session",
    "resting_on",
    "save_dir",
    "saved_note",
]


DREAMS = 0.7  # the temperature of dreams, where nobody says another


def _seed(seed: int) -> int:
    if seed < 0:
        raise UsageError(f"a seed is a whole number of at least 0, got {seed}")
    return seed


JsonOption = Annotated[
    bool, typer.Option("--json", help="Print exactly one JSON object on stdout, everything else on stderr.")
]
ModelOption = Annotated[str, typer.Option("--model", metavar="BUNDLE", help="A model's name, or a bundle's folder.")]
AnyModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="A model's name or folder; two joined, as nano+smol; ollama:NAME; http://host:port/v1#NAME; "
        "llama:FILE.gguf; or auto: nano+smol where smol was pulled, else nano.",
    ),
]
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
AllTemperatureOption = Annotated[
    float | None,
    typer.Option(
        "--temperature",
        min=0.0,
        max=10.0,
        help="How freely is drawn: all dreams but the first (0.7), and free words (as the model's makers have it).",
    ),
]
SystemOption = Annotated[
    str, typer.Option("--system", metavar="TEXT", help="What a model that talks is told before the question.")
]
MaxIdsOption = Annotated[int, typer.Option("--max-ids", min=1, help="Most ids of an answer in free words.")]
TopPOption = Annotated[
    float | None,
    typer.Option("--top-p", help="Draw free words from the likeliest that reach this probability together."),
]
TopKOption = Annotated[int | None, typer.Option("--top-k", min=0, help="Draw free words from the K likeliest; 0: all.")]
MinPOption = Annotated[
    float | None, typer.Option("--min-p", help="Leave out words below this share of the likeliest one's probability.")
]
PenaltyOption = Annotated[
    float | None, typer.Option("--repetition-penalty", help="Above 1: say again less often what was said.")
]
StopOption = Annotated[
    list[str] | None, typer.Option("--stop", metavar="TEXT", help="End free words before this text; again for more.")
]
StreamOption = Annotated[
    bool | None,
    typer.Option("--stream/--no-stream", help="Show words as they are said; by default on a terminal."),
]
_UNKNOWN = "What is not known: say so, with a guess beside it; guess all the same; strict refuses and no more."
UnknownOption = Annotated[str, typer.Option("--unknown", metavar="HOW", help=_UNKNOWN)]
MaybeUnknownOption = Annotated[
    str | None,
    typer.Option("--unknown", metavar="HOW", help=f"{_UNKNOWN}  [default: say; guess where a text is piped in]"),
]
MemoryOption = Annotated[
    str | None,
    typer.Option("--memory", metavar="URL", help="What answers rest on: a file, or postgresql+psycopg://…"),
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


def make_speaking(
    system: str, max_ids: int, stop: list[str] | None, unknown: Any = "say", **sampling: float | None
) -> Speaking:
    """How free words are said; what of ``sampling`` is None stays as the model is usually drawn."""
    from reverie.dreaming.question import Speaking

    given = {name: value for name, value in sampling.items() if value is not None}
    return Speaking(system, max_ids, given, tuple(stop or ()), unknown)


def note_unspoken(out: Output, session: Session, speaking: Speaking) -> None:
    """Say so where nobody speaks in free words, and it was said how to."""
    from reverie.dreaming.minds import PictureMind
    from reverie.dreaming.question import Speaking

    assert isinstance(speaking.sampling, Mapping)
    drawn = speaking.sampling.keys() - {"temperature"}  # which is that of dreams, too
    said = drawn or replace(speaking, sampling=None, unknown="say") != Speaking()
    if isinstance(session.mind, PictureMind) and said:
        out.note(f"{session.name} only says what it dreamed: how free words are to be said changes nothing")


def resting_on(memory: str | None, no_memory: bool, remember: bool) -> str | bool | None:
    """What ``memory=`` of a session takes. Raises UsageError for a file that is not there, which only ``remember``
    makes: a slip of the pen would be answered as if nothing were known."""
    from reverie.paths import usual_memory

    if no_memory and (memory or remember):
        raise UsageError("--no-memory goes with neither --memory nor --remember")
    if memory and not remember and "://" not in memory and not Path(memory).is_file():
        raise UsageError(f"there is no memory at {memory}; make one with --remember, or reverie memory import FILE")
    return False if no_memory else memory or usual_memory(remember)


def open_session(
    model: str,
    memory: str | bool | None,
    library: Path | None,
    evaluator: list[str] | None,
    overrides: list[str] | None,
    no_preview: bool,
) -> AbstractContextManager[Session]:
    """The session of a command that asks; what it opened is let go of at its end."""
    import reverie
    from reverie.dreaming.gap_notes import GapNotes
    from reverie.settings import load_settings

    switches = [*(overrides or []), *(["enable_gpt51_codex_preview=false"] if no_preview else [])]
    runtime = load_settings(reverie.RuntimeConfig, None, switches)
    session = reverie.load(model, runtime, memory=memory, library=library, evaluators=evaluator or ())
    session.observers.append(GapNotes(memory))
    return closing(session)


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


def saved_note(count: int, folder: Path, drawn: bool = False) -> str:
    """One line about what ``--save`` wrote: ``count`` pictures and, where something is ``drawn``, the strip."""
    if not count:
        return f"{'strip.png' if drawn else 'nothing to save'} in {folder}"
    return f"{count} pictures and strip.png in {folder}"


def make_dir(folder: Path) -> Path:
    """``folder``, made if needed; UsageError where a file is in the way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"{folder} is, or lies under, a file where a folder is needed. Name another.") from error
    return folder
