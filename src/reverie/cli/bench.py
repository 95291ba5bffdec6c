"""``reverie bench``: the figures of one benchmark, beside its baselines and what others published."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli.options import JsonOption, ModelOption, SeedOption, command_app, examples
from reverie.cli.output import Output
from reverie.errors import MissingExtraError, UsageError
from reverie.jsonio import jsonable
from reverie.progress import shown_progress

if TYPE_CHECKING:
    from rich.console import Console

app = command_app()


@app.command(
    epilog=examples(
        "reverie bench",
        "reverie bench frozenlake-planning --data maps.jsonl --json",
        "reverie bench unknown --data trivia/ --limit 50",
        "reverie bench everyday --write rows.jsonl",
        "reverie bench memory --nodes 100000 --edges 1000000",
    )
)
def bench(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The benchmark; none lists them.")] = None,
    options: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings of this benchmark alone.")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", metavar="FILE", help="What to measure on.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="Most rows of a kind, spread evenly; 0 = all.")] = 0,
    branches: Annotated[int, typer.Option("--branches", min=1, max=64, help="Futures dreamed of a question.")] = 4,
    write: Annotated[
        Path | None, typer.Option("--write", metavar="FILE", help="Save the rows that `everyday` makes.")
    ] = None,
    corpus: Annotated[Path | None, typer.Option("--corpus", metavar="FILE", help="The passages of `recall`.")] = None,
    questions: Annotated[Path | None, typer.Option("--questions", metavar="FILE", help="Questions about them.")] = None,
    nodes: Annotated[int | None, typer.Option("--nodes", min=2, help="Of the graph of `memory`.")] = None,
    edges: Annotated[int | None, typer.Option("--edges", min=1, help="Of the graph of `memory`.")] = None,
    model: ModelOption = "nano",
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure one thing, beside trivial baselines and published figures; without a name, list what can be measured."""
    with Output(as_json) as out:
        benchmarks = _benchmarks()
        if name is None:
            found = []
            for each in benchmarks.benchmark_names():
                try:
                    one = benchmarks.get_benchmark(each)
                except UsageError as error:  # a package that is broken hides no other benchmark
                    out.note(str(error))
                else:
                    found.append({"name": one.name, "about": one.about, "data": one.data})
            out.result({"benchmarks": found}, lambda console: _show_list(console, found))
            return
        own = [f"{key}={value}" for key, value in (("nodes", nodes), ("edges", edges)) if value is not None]
        own += options or []
        with shown_progress() as report:
            settings = benchmarks.BenchConfig(
                model, data, limit, seed, branches, write, report, corpus, questions, tuple(own)
            )
            payload = jsonable(benchmarks.run_benchmark(name, settings))
        out.result(payload, lambda console: _show(console, payload))


def _benchmarks() -> ModuleType:
    """The package beside the product that holds them; MissingExtraError where only the product was installed."""
    try:
        import reverie_bench
    except ModuleNotFoundError as error:
        raise MissingExtraError("reverie bench", "bench") from error
    return reverie_bench


def _show_list(console: Console, found: list[dict[str, str]]) -> None:
    width = max(len(one["name"]) for one in found)
    for one in found:
        console.print(f"[bold]{one['name']:<{width}}[/]  {one['about']}", highlight=False)


def _show(console: Console, payload: dict[str, Any]) -> None:
    from rich.table import Table

    console.print(f"[bold]{payload['name']}[/]  {payload['n']} rows, {payload['seconds']:.1f} s", highlight=False)
    rows = {"figures": payload["figures"], **payload["by"]}
    rows |= {f"baseline {name}": figures for name, figures in payload["baselines"].items()}
    for name, figures in rows.items():
        console.print(f"\n[cyan]{name}[/]")
        table = Table.grid(padding=(0, 2))
        for figure, value in figures.items():
            table.add_row(f"  {figure}", _number(value))
        console.print(table)
    for other in payload["published"]:
        said = f"{other['system']}: {other['figure']} {_number(other['value'])}"
        console.print(f"\npublished  {said}  ({other['source']})", highlight=False, markup=False)
    console.print(f"\n{payload['hardware']}; commit {payload['commit']}", style="dim", highlight=False, markup=False)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.4g}"
