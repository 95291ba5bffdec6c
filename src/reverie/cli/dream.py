"""``reverie dream``: the branches of a question, scored but undecided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reverie.cli import options
from reverie.cli.options import command_app, examples, named_experts, open_session, save_dir, saved_note
from reverie.cli.output import Output
from reverie.cli.showing import show_confidence, show_dreams

if TYPE_CHECKING:
    from rich.console import Console

    from reverie.dreaming import Session
    from reverie.nouns import Answer

app = command_app()


@app.command(
    epilog=examples(
        'reverie dream "What happens when you push a domino row?"',
        'reverie dream "What happens if you go down?" --world FrozenLake --map SFF,FHF,FFG --branches 8',
        'reverie dream "What happens when you let go of a balloon?" --temperature 1 --json --save out/',
        'reverie dream "What happens if you leave ice cream in the sun?" --model smol',
    )
)
def dream(
    question: Annotated[str, typer.Argument(help="What to dream about.")],
    image: options.ImageOption = None,
    branches: Annotated[int, typer.Option("--branches", min=1, max=64, help="Futures to dream.")] = 4,
    depth: options.DepthOption = 12,
    world: options.WorldOption = None,
    scene: options.SceneOption = None,
    temperature: options.TemperatureOption = options.DREAMS,
    expert: options.ExpertOption = None,
    no_experts: options.NoExpertsOption = False,
    library: options.LibraryOption = None,
    evaluator: options.EvaluatorOption = None,
    model: options.AnyModelOption = "auto",
    seed: options.SeedOption = 0,
    save: options.SaveOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Dream the futures of a question, without picking one; say whether they are ones to rely on."""
    from reverie.dreaming import DreamSettings, Question

    folder, experts = save_dir(save), named_experts(expert, no_experts)
    asked = Question(question, image or (), world, scene, experts)
    with Output(as_json) as out, open_session(model, None, library, evaluator, None, no_preview=True) as session:
        from reverie.dreaming.export_images import dream_to_json, save_dreams

        settings = DreamSettings(branches, depth, temperature, seed)
        told = session.imagine(asked, settings)
        images = {} if folder is None else save_dreams(told.dreams, session.decode, folder, question=question)
        payload = [{**dream_to_json(one, index, images), "said": one.said} for index, one in enumerate(told.dreams)]
        shown = {"model": told.model, "known": told.known, "reason": told.text, "dreams": payload}
        out.result(shown, lambda console: _show(console, session, told))
        if folder is not None:
            out.note(saved_note(len(images), folder, bool(told.dreams)))


def _show(console: Console, session: Session, told: Answer) -> None:
    if not told.known:
        console.print(told.text, style="bold yellow", markup=False)
    show_confidence(console, told, f"undecided, by {told.model}")
    show_dreams(console, session, told.dreams, None)
