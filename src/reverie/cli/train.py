"""``reverie train``: a command for each row of the table of trained things, and one that makes a bundle."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from reverie.cli.options import JsonOption, Overrides, SeedOption, command_app, examples
from reverie.cli.output import Output
from reverie.cli.runs import report_run, sigterm_ends
from reverie.errors import TrainingError, UsageError
from reverie.progress import shown_progress
from reverie.training.trained import TRAINED, Flag, Trained

app = command_app(no_args_is_help=True)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="A recipe, such as recipes/nano.yaml.")
]


@app.callback()
def train() -> None:
    """Train one of the parts by a recipe, and make a bundle of a backbone. The same command goes on where it stopped.

    Ctrl-C saves and stops. The run folder holds the product in export/ and the log in metrics.jsonl.
    """


def _command(thing: Trained) -> Callable[..., None]:
    """What trains ``thing``: its flags, --config and overrides become a recipe, which is trained."""

    def command(overrides: list[str] | None, config: Path | None, as_json: bool, **given: Any) -> None:
        with Output(as_json) as out:
            with sigterm_ends(), shown_progress() as report:
                report("starting", 0, 0)
                from reverie.settings import load_settings

                recipe = load_settings(thing.load(), config, [*_overrides(thing, given), *(overrides or [])])
                result = recipe.train(report)
            report_run(out, result, recipe.run_dir)

    flags = {_name(flag): _option(flag) for flag in thing.flags}
    asked = {"overrides": Overrides, "config": ConfigOption, **flags, "as_json": JsonOption}
    unsaid = dict.fromkeys(asked) | {"as_json": False}
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=hint, default=unsaid[name])
        for name, hint in asked.items()
    ]
    command.__doc__, command.__annotations__ = thing.help, asked
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


def _overrides(thing: Trained, given: dict[str, Any]) -> list[str]:
    """What the flags that were given say, as overrides."""
    said = []
    for flag in thing.flags:
        if (value := given[_name(flag)]) is not None:
            said += [*(one.format(value) for one in flag.also), f"{flag.key}={value}"]
    return said


def _name(flag: Flag) -> str:
    return flag.option.removeprefix("--").replace("-", "_")


def _option(flag: Flag) -> Any:
    there = {"exists": True, "file_okay": False} if flag.folder else {}
    option = typer.Option(flag.option, metavar=flag.metavar, help=flag.help, min=flag.least, **there)  # type: ignore[arg-type]
    return Annotated[flag.kind | None, option]


for _each, _thing in TRAINED.items():
    app.command(_each, epilog=examples(*_thing.examples))(_command(_thing))


@app.command(epilog=examples("reverie train replay runs/expert-chemistry"))
def replay(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="The folder of a run that is done.")],
    into: Annotated[
        Path | None,
        typer.Option("--into", metavar="DIR", help="Where the second run goes (RUN_DIR-replayed)."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a run again by what its folder says, and tell whether it gives the same weights, bit for bit.

    The same command goes on with a second run that was stopped. It ends with 1 where the weights differ.
    """
    with Output(as_json) as out:
        with sigterm_ends(), shown_progress() as report:
            report("starting", 0, 0)
            from reverie.training.replay import replay as run_again

            place = into or run_dir.with_name(f"{run_dir.resolve().name}-replayed")
            trained, found = run_again(run_dir, place, report)
        if found is None:
            report_run(out, trained, str(place))
            return
        payload = {"equal": found.equal, "difference": found.difference, "changed": found.changed}
        if trained.leads:
            out.result(payload | {"run_dir": place, "figures": found.figures}, lambda c: c.print(found.message))
        if not found.equal:
            raise typer.Exit(1)


@app.command(
    epilog=examples(
        "reverie train bundle runs/nano/export bundles/nano --name nano",
        "reverie train bundle runs/nano-spelling/export bundles/nano --of nano --config recipes/nano-spelling.yaml",
    )
)
def bundle(
    export: Annotated[Path, typer.Argument(metavar="EXPORT", help="What `train backbone` left in its run folder.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the bundle goes.")],
    name: Annotated[str, typer.Option("--name", help="The bundle's name.")] = "nano",
    reader: Annotated[
        Path | None, typer.Option("--reader", help="What `train fact-attention` left: export/reader.")
    ] = None,
    experts: Annotated[
        Path | None, typer.Option("--experts", metavar="DIR", help="A library whose experts go along.")
    ] = None,
    router: Annotated[Path | None, typer.Option("--router", help="What `train router` left: export/router.")] = None,
    of: Annotated[
        str | None,
        typer.Option("--of", metavar="BUNDLE", help="Whose rows `train spelling` changed: all else of it goes along."),
    ] = None,
    config: ConfigOption = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Make a bundle of a trained backbone: fit its confidence, write down its worlds' facts and its manifest."""
    with Output(as_json) as out:
        from reverie.bundles.make import make_bundle
        from reverie.bundles.respelled import respelled_bundle
        from reverie.settings import load_settings, settings_to_dict
        from reverie.training.recipes import BackboneRecipe, SpellingRecipe

        if not (export / "backbone").is_dir():
            raise TrainingError(f"{export} holds no trained backbone. Give the export folder of a finished run.")
        if reader is not None and not reader.is_dir():
            raise TrainingError(f"{reader} holds no trained reader. Give the export/reader folder of a finished run.")
        for option, given in (("--experts", experts), ("--router", router)):
            if given is not None and not given.is_dir():
                raise UsageError(f"{option} is a folder; {given} is none.")
        if of is not None:
            made = respelled_bundle(of, export, folder, recipe=settings_to_dict(load_settings(SpellingRecipe, config)))
        else:
            recipe = load_settings(BackboneRecipe, config)
            made = make_bundle(
                export,
                folder,
                name=name,
                worlds=list(recipe.data.worlds),
                recipe=settings_to_dict(recipe),
                reader=reader,
                experts=experts,
                router=router,
                seed=seed,
            )
        size = sum(file.stat().st_size for file in made.rglob("*") if file.is_file())
        out.result({"bundle": made, "bytes": size}, lambda console: console.print(f"{made}: {size / 1e6:.1f} MB"))
