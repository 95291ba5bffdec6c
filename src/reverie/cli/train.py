"""``reverie train``: one command for each thing that can be trained, by a recipe and overrides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli.options import JsonOption, Overrides, SeedOption, bundle_of, command_app, examples
from reverie.cli.output import Output
from reverie.errors import TrainingError, UsageError

if TYPE_CHECKING:
    from reverie.training import TrainResult

app = command_app(no_args_is_help=True)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="A recipe, such as recipes/nano.yaml.")
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint of the run folder.")]


@app.callback()
def train() -> None:
    """Train a tokenizer, a backbone, graph attention or a reader by a recipe, and make a bundle of a backbone."""


@app.command(
    epilog=examples(
        "reverie train tokenizer --config recipes/image-tokenizer.yaml",
        "reverie train tokenizer --folder photos/ --epochs 20 --batch-size 64 run_dir=runs/photos data.side=128",
        "reverie train tokenizer --config recipes/image-tokenizer.yaml loop.steps=200 --resume",
    )
)
def tokenizer(
    overrides: Overrides = None,
    config: ConfigOption = None,
    folder: Annotated[Path | None, typer.Option("--folder", help="Learn from this folder of pictures.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Passes over the distinct patches.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=2, help="Patches a step.")] = None,
    max_samples: Annotated[int | None, typer.Option("--max-samples", min=1, help="Pictures from the folder.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda.")] = None,
    resume: ResumeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train the image tokenizer on worlds, or on a folder of pictures."""
    with Output(as_json) as out:
        from reverie.settings import load_settings
        from reverie.training.recipes import TokenizerRecipe, train_tokenizer

        flags: dict[str, Any] = {
            "data.folder": folder,
            "epochs": epochs,
            "data.batch_size": batch_size,
            "data.max_samples": max_samples,
            "loop.device": device,
        }
        given = [f"{key}={value}" for key, value in flags.items() if value is not None]
        if folder is not None:
            if not folder.is_dir():
                raise UsageError(f"--folder must be a folder of pictures; {folder} is none.")
            given.insert(0, "data.worlds=[]")
        recipe = load_settings(TokenizerRecipe, config, [*given, *(overrides or [])])
        _report(out, train_tokenizer(recipe, resume), recipe.run_dir)


@app.command(
    epilog=examples(
        "reverie train backbone --config recipes/nano.yaml",
        "reverie train backbone --config recipes/nano.yaml loop.steps=100 run_dir=runs/try",
        "reverie train backbone --config recipes/nano.yaml --resume",
    )
)
def backbone(
    overrides: Overrides = None, config: ConfigOption = None, resume: ResumeOption = False, as_json: JsonOption = False
) -> None:
    """Train the backbone: drills first, then worlds."""
    with Output(as_json) as out:
        from reverie.settings import load_settings
        from reverie.training.recipes import BackboneRecipe, train_backbone

        recipe = load_settings(BackboneRecipe, config, overrides or [])
        _report(out, train_backbone(recipe, resume), recipe.run_dir)


@app.command(
    epilog=examples(
        "reverie train text --config recipes/routing-base.yaml",
        "reverie train text data.texts=[notes.txt] run_dir=runs/notes loop.steps=500",
        "reverie train text --config recipes/routing-base.yaml --resume",
    )
)
def text(
    overrides: Overrides = None, config: ConfigOption = None, resume: ResumeOption = False, as_json: JsonOption = False
) -> None:
    """Train a backbone of words alone, a plain language model: a small base for experts."""
    with Output(as_json) as out:
        from reverie.settings import load_settings
        from reverie.training.recipes import TextRecipe, train_text

        recipe = load_settings(TextRecipe, config, overrides or [])
        _report(out, train_text(recipe, resume), recipe.run_dir)


@app.command(
    epilog=examples(
        "reverie train graph --config recipes/graph-links.yaml",
        "reverie train graph --config recipes/graph-links.yaml data.triples=triples/ loop.steps=100 run_dir=runs/try",
        "reverie train graph --config recipes/graph-links.yaml --resume",
    )
)
def graph(
    overrides: Overrides = None, config: ConfigOption = None, resume: ResumeOption = False, as_json: JsonOption = False
) -> None:
    """Train attention over recalled subgraphs: to complete triples, or to find the edges that support an answer."""
    with Output(as_json) as out:
        from reverie.settings import load_settings
        from reverie.training.recipes import GraphRecipe, train_graph

        recipe = load_settings(GraphRecipe, config, overrides or [])
        _report(out, train_graph(recipe, resume), recipe.run_dir)


@app.command(epilog=examples("reverie train reader --config recipes/nano-reader.yaml data.bundle=bundles/nano"))
def reader(
    overrides: Overrides = None, config: ConfigOption = None, resume: ResumeOption = False, as_json: JsonOption = False
) -> None:
    """Train a bundle's reader: attention over recalled facts, and soft tokens that say them to the backbone."""
    with Output(as_json) as out:
        from reverie.settings import load_settings
        from reverie.training.recipes import ReaderRecipe, train_reader

        recipe = load_settings(ReaderRecipe, config, overrides or [])
        _report(out, train_reader(recipe, resume), recipe.run_dir)


@app.command(
    epilog=examples(
        "reverie train perception --config recipes/perception.yaml",
        "reverie train perception --config recipes/perception.yaml data.model.graph=[attention] loop.steps=500",
        "reverie train perception --config recipes/perception-words.yaml --resume",
    )
)
def perception(
    overrides: Overrides = None, config: ConfigOption = None, resume: ResumeOption = False, as_json: JsonOption = False
) -> None:
    """Train experts of vision, graph and text and the network that joins them: pictures, facts and questions."""
    with Output(as_json) as out:
        from reverie.settings import load_settings
        from reverie.training.recipes import PerceptionRecipe, train_perception

        recipe = load_settings(PerceptionRecipe, config, overrides or [])
        _report(out, train_perception(recipe, resume), recipe.run_dir)


@app.command(
    epilog=examples(
        "reverie train expert --rows chemistry.jsonl --name chemistry",
        "reverie train expert --config recipes/expert-causal.yaml",
        "reverie train expert --rows chemistry.jsonl --name chemistry data.lora.rank=16 loop.steps=1000 --resume",
    )
)
def expert(
    overrides: Overrides = None,
    config: ConfigOption = None,
    rows: Annotated[
        Path | None, typer.Option("--rows", metavar="FILE", help='JSONL of {"question": …, "answer": …}.')
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="The expert's name.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="BUNDLE", help="Whose backbone it is for (default: nano).")
    ] = None,
    resume: ResumeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train an expert on questions with answers, or on a part of the worlds; add it with "reverie experts add"."""
    with Output(as_json) as out:
        from reverie.experts.contract import check_name
        from reverie.settings import load_settings
        from reverie.training.recipes import ExpertRecipe, train_expert

        given = {"data.rows": rows, "data.name": name, "data.bundle": bundle_of(model, config)}
        given |= {"run_dir": f"runs/expert-{check_name(name)}"} if name else {}
        flags = [f"{key}={value}" for key, value in given.items() if value is not None]
        flags += ["data.skill=''"] if rows is not None else []
        recipe = load_settings(ExpertRecipe, config, [*flags, *(overrides or [])])
        _report(out, train_expert(recipe, resume), recipe.run_dir)


@app.command(
    epilog=examples(
        "reverie train router --config recipes/nano-router.yaml",
        "reverie train router --library experts/ data.rows.chemistry=test.jsonl data.outsiders=[strange]",
        "reverie train router --config recipes/nano-router.yaml --resume",
    )
)
def router(
    overrides: Overrides = None,
    config: ConfigOption = None,
    library: Annotated[
        Path | None, typer.Option("--library", metavar="DIR", help="The experts to route to, beside the bundle's own.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="BUNDLE", help="Whose backbone it is for (default: nano).")
    ] = None,
    resume: ResumeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train the router on which expert lowers the loss of which row; judge it with "reverie experts eval"."""
    with Output(as_json) as out:
        from reverie.settings import load_settings
        from reverie.training.recipes import RouterRecipe, train_router

        given = {"data.library": library, "data.bundle": bundle_of(model, config)}
        flags = [f"{key}={value}" for key, value in given.items() if value is not None]
        recipe = load_settings(RouterRecipe, config, [*flags, *(overrides or [])])

        def tell(what: str, share: float) -> None:
            out.note(f"measured the rows with {what} ({share:.0%})")

        _report(out, train_router(recipe, resume, measured=tell), recipe.run_dir)


@app.command(epilog=examples("reverie train bundle runs/nano/export bundles/nano --name nano"))
def bundle(
    export: Annotated[Path, typer.Argument(metavar="EXPORT", help="What `train backbone` left in its run folder.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the bundle goes.")],
    name: Annotated[str, typer.Option("--name", help="The bundle's name.")] = "nano",
    reader: Annotated[Path | None, typer.Option("--reader", help="What `train reader` left: export/reader.")] = None,
    experts: Annotated[
        Path | None, typer.Option("--experts", metavar="DIR", help="A library whose experts go along.")
    ] = None,
    router: Annotated[Path | None, typer.Option("--router", help="What `train router` left: export/router.")] = None,
    config: ConfigOption = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Make a bundle of a trained backbone: fit its confidence, write down its worlds' facts and its manifest."""
    with Output(as_json) as out:
        from reverie.bundles.make import make_bundle
        from reverie.settings import load_settings, settings_to_dict
        from reverie.training.recipes import BackboneRecipe

        if not (export / "backbone").is_dir():
            raise TrainingError(f"{export} holds no trained backbone. Give the export folder of a finished run.")
        if reader is not None and not reader.is_dir():
            raise TrainingError(f"{reader} holds no trained reader. Give the export/reader folder of a finished run.")
        for option, given in (("--experts", experts), ("--router", router)):
            if given is not None and not given.is_dir():
                raise UsageError(f"{option} is a folder; {given} is none.")
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


def _report(out: Output, result: TrainResult, run_dir: str) -> None:
    payload = {"step": result.step, "stopped": result.stopped, "run_dir": run_dir, "figures": result.metrics}
    out.result(payload, lambda console: console.print(result.message))
