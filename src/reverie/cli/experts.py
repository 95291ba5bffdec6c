"""``reverie experts``: look through the library of experts, add to it, tidy it, check it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli.experts_eval import EPILOG, evaluate
from reverie.cli.experts_verify import VERIFY_EPILOG, certificate_of, verify
from reverie.cli.facts import say
from reverie.cli.options import JsonOption, LibraryOption, ModelOption, command_app, examples
from reverie.cli.output import Output
from reverie.errors import ExpertError, UsageError, shorten

if TYPE_CHECKING:
    from rich.console import Console

    from reverie.experts.library import Library

app = command_app(no_args_is_help=True)

_OF_A_PROCESS = ("in_memory", "bytes_in_memory", "hits", "misses", "evictions")  # this one has just begun

Name = Annotated[str, typer.Argument(metavar="NAME", help="An expert's name.")]
Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of experts.")]


@app.callback()
def experts() -> None:
    """The library of experts: LoRA adapters that one base runs side by side."""


@app.command("list", epilog=examples("reverie experts list", "reverie experts list --model my-bundle --json"))
def list_(model: ModelOption = "nano", library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """List the experts: those of the bundle, and your own."""
    with Output(as_json) as out:
        opened = _open(model, library)
        found = [_told(opened, name) for name in opened.names()]
        payload = {"folder": opened.folder, "base": opened.base, "experts": found}
        out.result(payload, lambda console: _show_list(console, payload))


@app.command(epilog=examples("reverie experts show causal", "reverie experts show causal --json"))
def show(name: Name, model: ModelOption = "nano", library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Show an expert's card: what it knows, where it comes from, how large it is."""
    with Output(as_json) as out:
        opened = _open(model, library)
        payload = {**opened.describe(name), "certificate": certificate_of(opened, name)}
        out.result(payload, lambda console: _show_fields(console, payload))


@app.command(
    epilog=examples(
        "reverie experts add runs/expert-causal/export",
        "reverie experts add adapters/poems --name poems",
        "reverie experts add adapters/poems --trust-base --json",
    )
)
def add(
    source: Annotated[
        Path, typer.Argument(metavar="DIR", help="An expert's folder, or one that PEFT's save_pretrained made.")
    ],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Its name; by default that of the folder.")] = "",
    trust_base: Annotated[
        bool,
        typer.Option("--trust-base", help="Take an adapter that names no base, or one that cannot be compared."),
    ] = False,
    model: ModelOption = "nano",
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy an expert into the library, for every process that has it open. A damaged or foreign one is refused."""
    with Output(as_json) as out:
        opened = _open(model, library)
        card = opened.add(source, name, trust_base)
        payload = opened.describe(card.name)
        size, where = _size(payload["bytes"]), payload["folder"]
        said = f"added '{card.name}': rank {payload['rank']}, {payload['num_linears']} linears, {size}, in {where}"
        said += f" ({card.notes})" if "base taken" in card.notes else ""
        out.result(payload, lambda console: say(console, said))


@app.command(epilog=examples("reverie experts remove poems", "reverie experts remove poems --yes --json"))
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")] = False,
    model: ModelOption = "nano",
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete one of your experts; on a terminal you are asked first."""
    with Output(as_json) as out:
        from reverie.bundles.growing import take_out
        from reverie.paths import usual_memory

        opened = _open(model, library)
        where = opened.folder_of(name)
        _confirm(f"the expert '{name}' in {where}", yes)
        gap, questions = take_out(opened, name, usual_memory())
        said = f"removed '{name}'" + (f"; {questions} questions of gap {gap} are open again" if questions else "")
        payload = {"removed": name, "folder": where, "gap": gap, "reopened": questions}
        out.result(payload, lambda console: say(console, said))


@app.command(epilog=examples("reverie experts rename poems verses"))
def rename(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Its name.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The name that it gets.")],
    model: ModelOption = "nano",
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give one of your experts another name."""
    with Output(as_json) as out:
        _open(model, library).rename(old, new)
        out.result({"old": old, "name": new}, lambda console: say(console, f"'{old}' is now '{new}'"))


@app.command(epilog=examples("reverie experts pin causal spatial"))
def pin(names: Names, model: ModelOption = "nano", library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Keep experts in memory once they were loaded, also in processes that run already."""
    _pin(names, True, model, library, as_json)


@app.command(epilog=examples("reverie experts unpin causal"))
def unpin(
    names: Names, model: ModelOption = "nano", library: LibraryOption = None, as_json: JsonOption = False
) -> None:
    """Let pinned experts leave memory again."""
    _pin(names, False, model, library, as_json)


@app.command(epilog=examples("reverie experts check", "reverie experts check causal --json"))
def check(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Which ones; all if not said.")] = None,
    model: ModelOption = "nano",
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read every expert and hold it to the base; exit code 1 and a line for each problem."""
    with Output(as_json) as out:
        opened = _open(model, library)
        checked = names or opened.names()
        problems = opened.check(checked)
        payload = {"sound": not problems, "checked": checked, "problems": problems}
        said = "\n".join(problems) or f"{_count(checked)} sound"
        out.result(payload, lambda console: say(console, said))
    if problems:
        raise typer.Exit(1)


app.command("eval", epilog=EPILOG)(evaluate)
app.command("verify", epilog=VERIFY_EPILOG)(verify)


@app.command(epilog=examples("reverie experts stats", "reverie experts stats --json"))
def stats(model: ModelOption = "nano", library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Say how many experts there are, what they weigh, and what of the machine's memory they may use."""
    with Output(as_json) as out:
        payload = _open(model, library).stats()
        payload = {key: value for key, value in payload.items() if key not in _OF_A_PROCESS}
        out.result(payload, lambda console: _show_fields(console, payload))


def _open(model: str, library: Path | None) -> Library:
    from reverie.bundles.bundle import find_bundle, read_manifest
    from reverie.bundles.experts import open_library

    folder = find_bundle(model)
    return open_library(folder, read_manifest(folder), library)


def _pin(names: list[str], on: bool, model: str, library: Path | None, as_json: bool) -> None:
    with Output(as_json) as out:
        opened = _open(model, library)
        for name in names:
            opened.folder_of(name)  # none is pinned where one is unknown
        for name in names:
            opened.pin(name, on)
        pinned = opened.pinned()
        out.result({"pinned": pinned}, lambda console: say(console, f"pinned: {', '.join(pinned) or 'none'}"))


def _told(library: Library, name: str) -> dict[str, Any]:
    """An expert's fields; of a damaged one its name and what is wrong."""
    try:
        return {**library.describe(name), "certificate": certificate_of(library, name)}
    except ExpertError as error:
        return {"name": name, "problem": str(error)}


def _confirm(what: str, yes: bool) -> None:
    import sys

    if not yes and sys.stdin.isatty() and not typer.confirm(f"Delete {what}?", err=True):
        raise UsageError("nothing was deleted")


def _show_list(console: Console, payload: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("name", "domain", "rank", "size", "description"):
        table.add_column(column, justify="right" if column in ("rank", "size") else "left")
    for one in payload["experts"]:
        if "problem" in one:
            table.add_row(one["name"], "", "", "", f"[red]{escape(one['problem'])}[/]")
            continue
        marks = [word for word in ("packaged", "pinned") if one[word]] + ["certified"] * bool(one["certificate"])
        about = " ".join(filter(None, (escape(shorten(one["description"], 100)), f"[dim]{' '.join(marks)}[/]")))
        table.add_row(one["name"], escape(one["domain"]), str(one["rank"]), _size(one["bytes"]), about)
    if payload["experts"]:
        console.print(table)
    words = f"{_count(payload['experts'])}; yours are in {payload['folder']}"
    console.print(words, style="dim", markup=False, highlight=False)


def _show_fields(console: Console, payload: dict[str, Any]) -> None:
    for name, value in payload.items():
        if isinstance(value, dict):
            said = ", ".join(f"{key} {item:g}" for key, item in value.items())  # figures
        elif isinstance(value, list | tuple):
            said = ", ".join(map(str, value))
        elif isinstance(value, bool):
            said = "yes" if value else "no"
        elif "bytes" in name:
            said = _size(value)
        else:
            said = f"{value:,}" if isinstance(value, int) else str(value or "")
        if said:
            say(console, f"{name.replace('_', ' '):<17}{said}")


def _count(found: list[Any]) -> str:
    return f"{len(found):,} expert{'' if len(found) == 1 else 's'}"


def _size(number: int) -> str:
    """Bytes for people: 12.3 MB."""
    size, unit = float(number), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
