"""``reverie dream``: the branches of a question, scored but undecided."""

from __future__ import annotations

from typing import Annotated

import typer

from reverie.cli.ask import (
    DepthOption,
    ImageOption,
    SceneOption,
    TemperatureOption,
    WorldOption,
    saved_note,
    show_dreams,
)
from reverie.cli.options import (
    ExpertOption,
    JsonOption,
    LibraryOption,
    ModelOption,
    NoExpertsOption,
    SaveOption,
    SeedOption,
    command_app,
    examples,
    make_save_dir,
    named_experts,
)
from reverie.cli.output import Output

app = command_app()


@app.command(
    epilog=examples(
        'reverie dream "What happens when you push a domino row?"',
        'reverie dream "What happens if you go down?" --world FrozenLake --map SFF,FHF,FFG --branches 8',
        'reverie dream "What happens when you let go of a balloon?" --temperature 1 --json --save out/',
    )
)
def dream(
    question: Annotated[str, typer.Argument(help="What to dream about.")],
    image: ImageOption = None,
    branches: Annotated[int, typer.Option("--branches", min=1, max=64, help="Futures to dream.")] = 4,
    depth: DepthOption = 12,
    world: WorldOption = None,
    scene: SceneOption = None,
    temperature: TemperatureOption = 0.7,
    expert: ExpertOption = None,
    no_experts: NoExpertsOption = False,
    library: LibraryOption = None,
    model: ModelOption = "nano",
    seed: SeedOption = 0,
    save: SaveOption = None,
    as_json: JsonOption = False,
) -> None:
    """Dream the futures of a question, without picking one."""
    folder, experts = make_save_dir(save), named_experts(expert, no_experts)
    with Output(as_json) as out:
        import reverie
        from reverie.dreaming.album import dream_to_json, save_dreams

        session = reverie.load(model, library=library, enable_gpt51_codex_preview=False)
        dreams = session.dream(
            question,
            image or (),
            branches=branches,
            depth=depth,
            world=world,
            scene=scene,
            temperature=temperature,
            seed=seed,
            experts=experts,
        )
        images = {} if folder is None else save_dreams(dreams, session.decode, folder, question=question)
        told = [{**dream_to_json(one, index, images), "said": one.said} for index, one in enumerate(dreams)]
        payload = {"dreams": told}
        undecided = reverie.Verdict(-1, "")
        out.result(payload, lambda console: show_dreams(console, session, dreams, undecided))
        if folder is not None:
            out.note(saved_note(images, folder))
