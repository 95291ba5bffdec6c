"""``reverie compare``: two models asked the same, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli.options import JsonOption, MaxIdsOption, SeedOption, command_app, examples
from reverie.cli.output import Output
from reverie.progress import shown_progress

if TYPE_CHECKING:
    from rich.console import Console

    from reverie.bundles.side_by_side import Compared

app = command_app()

Model = Annotated[str, typer.Argument(metavar="MODEL", help="As --model of reverie ask takes it.")]


@app.command(
    epilog=examples(
        "reverie compare nano runs/mine/bundle --prompts prompts.txt",
        "reverie compare smol ollama:llama3.2 --prompts prompts.jsonl --html both.html",
        "reverie compare nano nano+smol --prompts prompts.jsonl --json",
    )
)
def compare(
    first: Model,
    second: Model,
    prompts: Annotated[
        Path,
        typer.Option(
            "--prompts",
            metavar="FILE",
            help='One a line, or JSON lines of {"prompt": "…", "expected": "…", "match": "contains|exact|regex"}.',
        ),
    ],
    branches: Annotated[int, typer.Option("--branches", min=0, max=64, help="Futures; 0 answers directly.")] = 4,
    max_ids: MaxIdsOption = 256,
    page: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page of it, too.")] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Ask two models the same prompts, in turns: answers, what is known, confidence and seconds, side by side."""
    with Output(as_json) as out:
        from reverie.bundles.side_by_side import compare_models, summary, to_html
        from reverie.dreaming.prompt_files import read_prompts
        from reverie.files import atomic_write_text

        models = [first, second]
        asked = read_prompts(prompts)
        with shown_progress() as report:
            rows = compare_models(models, asked, branches=branches, seed=seed, max_ids=max_ids, progress=report)
        totals = [{"model": model, **summary([row.sides[at] for row in rows])} for at, model in enumerate(models)]
        if page is not None:
            atomic_write_text(page, to_html(models, rows))
        payload = {"models": totals, "rows": rows, "html": page}
        out.result(payload, lambda console: _show(console, rows, totals))


def _show(console: Console, rows: list[Compared], totals: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("prompt", *(one["model"] for one in totals), show_lines=True, title_style="")
    for row in rows:
        table.add_row(Text(row.prompt), *(Text(f"{_mark(side.right)}{side.answer}{_guess(side.guess)}\n").append(
            f"{'known' if side.known else 'not known'} {side.confidence:.2f}, {side.seconds:.2f} s", style="dim"
        ) for side in row.sides))  # fmt: skip
    console.print(table)
    for one in totals:
        right = "" if one["accuracy"] is None else f"{one['accuracy']:.0%} right, "
        said = f"{right}{one['known']:.0%} known, confidence {one['confidence']:.2f}, {one['seconds']:.2f} s a prompt"
        console.print(f"{one['model']}: {said}", markup=False, highlight=False)


def _guess(guess: str) -> str:
    return f"\n(would have said: {guess})" if guess else ""


def _mark(right: bool | None) -> str:
    return {None: "", True: "✓ ", False: "✗ "}[right]
