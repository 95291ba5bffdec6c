"""``reverie teach``: a base made elsewhere learns to dream in pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reverie.cli.options import JsonOption, Overrides, command_app, examples
from reverie.cli.output import Output
from reverie.cli.runs import report_run, sigterm_ends
from reverie.progress import shown_progress

app = command_app()


@app.command(
    epilog=examples(
        "reverie teach --model smol --recipe recipes/smol-teach.yaml --out bundles/smol-taught",
        "reverie teach --model smol --recipe recipes/smol-teach.yaml loop.max_minutes=60",
        'reverie ask "What happens when you drop an egg?" --model bundles/smol-taught',
    )
)
def teach(
    overrides: Overrides = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="BUNDLE", help="The base's bundle: its name, or its folder.")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option("--recipe", metavar="FILE", help="A recipe, such as recipes/smol-teach.yaml.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="BUNDLE", help="The taught bundle; else bundle/ in the run folder."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Teach a base the grammar of dreams in pictures, on nano's lessons: new ids, and a packaged expert for them.

    The base itself stays as it is: what it says in its own words does not change. The same command goes on where it
    stopped; Ctrl-C and SIGTERM save.
    """
    with Output(as_json) as output:
        with sigterm_ends(), shown_progress() as report:
            report("starting", 0, 0)
            from reverie.bundles.taught import taught_bundle
            from reverie.errors import UsageError
            from reverie.settings import load_settings, settings_to_dict
            from reverie.training.recipes import TeachRecipe

            given = [*([] if model is None else [f"data.bundle={model}"]), *(overrides or [])]
            settings = load_settings(TeachRecipe, recipe, given)
            if not settings.data.bundle:
                raise UsageError("whom to teach? Name the base's bundle with --model, such as --model smol.")
            bundle = out or Path(settings.run_dir) / "bundle"
            if out is not None and out.exists():
                raise UsageError(f"{out} exists already; name a new folder for the bundle")
            result = settings.train(report)
            if result.stopped == "done" and result.leads and not bundle.exists():
                report("writing the bundle", 0, 0)
                said = settings_to_dict(settings)
                taught_bundle(settings.data.bundle, Path(settings.run_dir) / "export", bundle, recipe=said)
        made = {"bundle": bundle} if result.stopped == "done" else {}
        report_run(output, result, settings.run_dir, **made)
