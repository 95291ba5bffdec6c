"""``reverie bundle``: check a bundle or an export, show what it holds, compare two."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli.options import JsonOption, command_app, examples
from reverie.cli.output import Output

if TYPE_CHECKING:
    from rich.console import Console

    from reverie.export import Difference

app = command_app(no_args_is_help=True)

Place = Annotated[str, typer.Argument(metavar="BUNDLE", help="A model's name, or a folder: a bundle or an export.")]
_MOST_LINES = 40  # of differences, before the rest is counted


@app.callback()
def bundle() -> None:
    """Folders of models, as files: nothing in them is run."""


@app.command(
    epilog=examples("reverie bundle check nano", "reverie bundle check nano-ollama", "reverie bundle check a.gguf")
)
def check(place: Place, as_json: JsonOption = False) -> None:
    """Hold every file to what is said of it: hashes, shapes, finite values, ids, experts, no pickles. Exit code 1 where
    anything is wrong."""
    with Output(as_json) as out:
        from reverie.export import check_folder

        kind, problems = check_folder(_find(place))
        payload = {"place": place, "kind": kind, "sound": not problems, "problems": problems}
        out.result(payload, lambda console: _show_check(console, payload))
    if problems:
        raise typer.Exit(1)


@app.command(epilog=examples("reverie bundle info nano", "reverie bundle info runs/mine/bundle --json"))
def info(place: Place, as_json: JsonOption = False) -> None:
    """Show what a bundle holds: size, parts, base, figures and how it was made, as `reverie info --model` does."""
    with Output(as_json) as out:
        from reverie.cli.info import bundle_lines, describe_bundle

        payload = describe_bundle(place)
        out.result(payload, lambda console: _show_info(console, bundle_lines(payload)))


@app.command(epilog=examples("reverie bundle diff nano runs/mine/bundle", "reverie bundle diff a b --json"))
def diff(
    first: Place,
    second: Annotated[str, typer.Argument(metavar="OTHER", help="Another.")],
    as_json: JsonOption = False,
) -> None:
    """Show in what two bundles differ: files, settings by key, tensors with the largest difference of a value."""
    with Output(as_json) as out:
        from reverie.export import diff_bundles

        found = diff_bundles(first, second)
        payload = {
            "first": first,
            "second": second,
            "same": not found,
            "differences": [vars(one) for one in found],
        }
        out.result(payload, lambda console: _show_diff(console, found))


def _find(place: str) -> Path:
    """A folder or file that is there, else a bundle's name."""
    from reverie.bundles import find_bundle

    return Path(place) if Path(place).exists() else find_bundle(place)


def _show_check(console: Console, payload: dict[str, Any]) -> None:
    for problem in payload["problems"]:
        console.print(problem, markup=False, highlight=False)
    count = len(payload["problems"])
    said = "nothing is wrong" if not count else f"{count} thing{'s are' if count > 1 else ' is'} wrong"
    console.print(f"{payload['place']} ({payload['kind']}): {said}", style="bold", markup=False, highlight=False)


def _show_info(console: Console, lines: list[tuple[str, str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for name, value in lines:
        table.add_row(f"[dim]{name}[/]", Text(value))
    console.print(table)


def _show_diff(console: Console, found: list[Difference]) -> None:
    for one in found[:_MOST_LINES]:
        far = "" if one.largest is None else f"  (largest difference {one.largest:.3g})"
        where = f"{one.file}: {one.name}" if one.name else one.file
        console.print(f"{where}  {one.first} | {one.second}{far}", markup=False, highlight=False)
    if len(found) > _MOST_LINES:
        console.print(f"… and {len(found) - _MOST_LINES} more (--json has them all)", style="dim")
    if not found:
        console.print("no difference")
