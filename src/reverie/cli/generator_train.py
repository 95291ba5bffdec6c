"""``reverie generator train``: a generator of a collection, or the fine-tuning of one by low-rank changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli.facts import say
from reverie.cli.generator_parts import flags_of, free_folder
from reverie.cli.options import JsonOption, Overrides, examples
from reverie.cli.output import Output
from reverie.errors import UsageError
from reverie.generator.finding import find_generator
from reverie.progress import Progress, shown_progress
from reverie.ranks import leads

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["EPILOG", "train"]

EPILOG = examples(
    "reverie generator train --data engravings/ --out runs/engravings",
    "reverie generator train --data engravings/ --out runs/small --preset small-128 epochs=200 data.batch_size=16",
    "reverie generator train --config recipes/engravings-tiny.yaml",
    "reverie generator train --data maps/ --lora runs/engravings --out runs/maps",
)


def train(
    overrides: Overrides = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="A recipe, such as recipes/engravings-tiny.yaml.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="tiny-64, small-128 or engraving-512. [default: tiny-64]")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="COLLECTION", help="What `reverie data prepare` made of your pictures."),
    ] = None,
    run_dir: Annotated[
        Path | None,
        typer.Option("--out", metavar="RUN_DIR", help="Checkpoints, sheets, metrics, bundle."),
    ] = None,
    lora: Annotated[
        str | None,
        typer.Option("--lora", metavar="BUNDLE", help="Fine-tune this generator by small changes, on a few pictures."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train on a prepared collection: words, networks, priors, bundle. The same command goes on where it stopped.

    Ctrl-C saves and stops. RUN_DIR holds the bundle in bundle/, a sheet of samples as training goes in sheets/, the
    losses of every step in metrics.jsonl and the last figures in metrics.json.
    """
    if lora is not None and preset is not None:
        raise UsageError("--preset goes without --lora: a fine-tuning has the sizes of its base")
    with Output(as_json) as out:
        with shown_progress() as report:
            report("starting", 0, 0)  # what training needs takes seconds to import
            given: dict[str, object] = {"data.collection": data, "run_dir": run_dir, "preset": preset}
            if lora is not None:
                given |= {"base": find_generator(lora)}
            payload, model, code = _train(config, [*flags_of(given), *(overrides or [])], lora is not None, out, report)
        if leads():
            out.result(payload, lambda console: _show(console, payload, model))
    if code:
        raise typer.Exit(code)


def _train(
    config: Path | None, overrides: list[str], tuned: bool, out: Output, progress: Progress
) -> tuple[dict[str, Any], str, int]:
    """What came of it, the options by which other commands use it, and the exit code."""
    from reverie.generator.lora import LoraRecipe, train_lora
    from reverie.generator.recipe import GeneratorRecipe, train_generator
    from reverie.settings import load_settings

    kind: type[LoraRecipe] | type[GeneratorRecipe] = LoraRecipe if tuned else GeneratorRecipe
    recipe: LoraRecipe | GeneratorRecipe = load_settings(kind, config, overrides)
    run_dir = free_folder(Path(recipe.run_dir))
    if (run_dir / "recipe.json").exists():
        out.note(f"going on with the run in {run_dir}")
    if isinstance(recipe, LoraRecipe):
        done, model = train_lora(recipe, progress), f"--model {recipe.base} --lora {run_dir}"
    else:
        done, model = train_generator(recipe, progress), f"--model {run_dir}"
    trained = done.trained
    payload: dict[str, Any] = {"step": trained.step, "stopped": trained.stopped, "message": trained.message}
    payload |= {"run_dir": run_dir, "metrics": run_dir / "metrics.jsonl", "sheet": done.sheet, "figures": done.figures}
    return payload | {"adapter" if tuned else "bundle": done.product}, model, trained.exit_code


def _show(console: Console, payload: dict[str, Any], model: str) -> None:
    if payload["stopped"] != "done":
        say(console, payload["message"])
    for name in ("bundle", "adapter", "sheet", "metrics"):
        if payload.get(name):
            say(console, f"{name:<8} {payload[name]}")
    if payload["stopped"] == "done":
        say(console, f"\nnow try: reverie generator sample {model} --count 9 --out samples/")
