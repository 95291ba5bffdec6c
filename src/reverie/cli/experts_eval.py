"""``reverie experts eval``: how good a router is, in figures, JSON and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli.options import JsonOption, LibraryOption, Overrides, examples, make_dir
from reverie.cli.output import Output
from reverie.errors import ConfigError
from reverie.paths import find_bundle
from reverie.progress import shown_progress

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["EPILOG", "evaluate"]

EPILOG = examples(
    "reverie experts eval",
    "reverie experts eval --config recipes/nano-router.yaml",
    "reverie experts eval --config recipes/nano-router.yaml --router runs/router/export/router --out pictures/",
    "reverie experts eval --config recipes/nano-router.yaml --all-rows --no-speed --json data.rows.chemistry=new.jsonl",
)


def evaluate(
    overrides: Overrides = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="The recipe of the router: its rows are judged.")
    ] = None,
    router: Annotated[
        Path | None, typer.Option("--router", metavar="DIR", help="The router (default: the bundle's, or the run's).")
    ] = None,
    library: LibraryOption = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="BUNDLE", help="Whose backbone it is (default: nano).")
    ] = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write evaluation.json and pictures here.")
    ] = None,
    all_rows: Annotated[
        bool, typer.Option("--all-rows", help="Judge all rows, not only those kept from training.")
    ] = False,
    speed: Annotated[bool, typer.Option("--speed/--no-speed", help="Time the engine with and without experts.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Judge a router: who is chosen, how surely, how rightly, and what quality costs.

    Without rows, those experts are asked that learned a skill of the worlds, and questions that belong to nobody.
    """
    with Output(as_json) as out:
        from reverie.settings import load_settings
        from reverie.training.recipes import RouterRecipe
        from reverie.training.router_report import report_router, usual_rows
        from reverie.training.routing import open_library

        given = {"data.library": library, "data.bundle": model}
        flags = [f"{key}={value}" for key, value in given.items() if value is not None]
        recipe = load_settings(RouterRecipe, config, [*flags, *(overrides or [])])
        own = [Path(recipe.run_dir) / "export" / "router", find_bundle(recipe.data.bundle) / "router"]
        folder = router or next((path for path in own if path.is_dir()), None)
        if folder is None:
            raise ConfigError(
                f"there is no router in {own[0]} or {own[1]}: train one, or name its folder with --router"
            )
        if out_dir is not None:
            make_dir(out_dir)

        data = recipe.data
        fresh = not (data.rows or data.unlabelled or data.outsiders)
        if fresh:
            recipe = usual_rows(recipe, data.experts or open_library(data).names())
        with shown_progress() as progress:
            report = report_router(recipe, folder, out_dir, all_rows or fresh, speed, progress, keep=not fresh)
        out.result(report, lambda console: _show(console, report))


def _show(console: Console, report: dict[str, Any]) -> None:
    from rich.table import Table

    console.print(f"[bold]{report['router']}[/]  {report['num_rows']} rows", highlight=False)
    for title, rows in (
        ("figures", {**report["figures"], **report["speed"]}),
        ("share of the rows", {**report["utilization"], "nobody": report["experts_a_row"].get(0, 0.0)}),
    ):
        console.print(f"\n[cyan]{title}[/]")
        table = Table.grid(padding=(0, 2))
        for name, value in rows.items():
            table.add_row(f"  {name}", f"{value:.4g}")
        console.print(table)
    table = Table("threshold", "experts a row", "quality", "right", "nobody", box=None, header_style="cyan")
    for point in report["curve"][1::2]:
        shown = (point[name] for name in ("threshold", "experts_a_row", "quality", "wanted_accuracy", "nobody_share"))
        table.add_row(*(f"{value:.3g}" for value in shown))
    console.print()
    console.print(table)
    for file in report["files"]:
        console.print(str(file), style="dim", highlight=False)
