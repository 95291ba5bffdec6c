"""``reverie ask``: dream several futures, pick one, answer in its words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli.options import (
    ExpertOption,
    JsonOption,
    LibraryOption,
    ModelOption,
    NoExpertsOption,
    Overrides,
    SaveOption,
    SeedOption,
    command_app,
    examples,
    make_save_dir,
    named_experts,
)
from reverie.cli.output import Output
from reverie.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from reverie.dreaming import Reverie
    from reverie.nouns import Answer, Dream, Verdict

app = command_app()

SHOWN_FACTS = 5  # of the evidence; --json gives all

ImageOption = Annotated[
    list[Path] | None, typer.Option("--image", metavar="FILE", help="A picture that the dreams start from.")
]
DepthOption = Annotated[int, typer.Option("--depth", min=1, help="Most (what, action, result) steps of a dream.")]
WorldOption = Annotated[
    str | None, typer.Option("--world", metavar="NAME", help="The world to start in, or that the picture shows.")
]
SceneOption = Annotated[
    str | None,
    typer.Option("--map", "--scene", metavar="SCENE", help="FrozenLake's map (SFF,FHF,FFG), or options as JSON."),
]
TemperatureOption = Annotated[
    float, typer.Option("--temperature", min=0.0, max=10.0, help="How freely all dreams but the first are drawn.")
]

MemoryOption = Annotated[
    str | None,
    typer.Option(
        "--memory", metavar="URL", help="What answers rest on: a file (made if needed), or postgresql+psycopg://…"
    ),
]


@app.command(
    epilog=examples(
        'reverie ask "What happens when you drop an egg?"',
        'reverie ask "Will the glass break if it falls on a pillow?" --branches 8 --save out/',
        'reverie ask "What happens if you go right, down?" --world FrozenLake --map SFF,FHF,FFG',
        'reverie ask "What happens next when you push it here?" --image scene.png --json',
        'reverie ask "Does an ice cube melt?" --branches 0 --no-preview',
        'reverie ask "What happens when you push a book off the table?" --memory kg.db --remember',
        'reverie ask "Why does the glass break when you drop it?" --expert causal --explain --json',
    )
)
def ask(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    overrides: Overrides = None,
    image: ImageOption = None,
    branches: Annotated[int, typer.Option("--branches", min=0, max=64, help="Futures; 0 answers directly.")] = 4,
    depth: DepthOption = 12,
    world: WorldOption = None,
    scene: SceneOption = None,
    temperature: TemperatureOption = 0.7,
    memory: MemoryOption = None,
    no_memory: Annotated[bool, typer.Option("--no-memory", help="Rest on no memory at all.")] = False,
    remember: Annotated[bool, typer.Option("--remember", help="Keep what the winning dream claims.")] = False,
    expert: ExpertOption = None,
    no_experts: NoExpertsOption = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say how much less probable the answer would be without each expert.")
    ] = False,
    library: LibraryOption = None,
    no_preview: Annotated[bool, typer.Option("--no-preview", help="Never ask the remote model for words.")] = False,
    model: ModelOption = "nano",
    seed: SeedOption = 0,
    save: SaveOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a question: dream several futures, pick one, answer in its words.

    It rests on the memory of --memory, else of $REVERIE_MEMORY, else on yours (see "reverie memory stats") once there
    is one, else on what the model's bundle knows of its worlds. Settings after the question are those of the session,
    such as enable_gpt51_codex_preview=false.
    """
    if no_memory and (memory or remember):
        raise UsageError("--no-memory goes with neither --memory nor --remember")
    folder, experts = make_save_dir(save), named_experts(expert, no_experts)
    with Output(as_json) as out:
        import reverie
        from reverie.dreaming.album import answer_to_json, save_dreams
        from reverie.paths import usual_memory
        from reverie.settings import load_settings

        switches = [*(overrides or []), *(["enable_gpt51_codex_preview=false"] if no_preview else [])]
        runtime = load_settings(reverie.RuntimeConfig, None, switches)
        rests_on = False if no_memory else memory or usual_memory(remember)
        session = reverie.load(model, runtime, memory=rests_on, library=library)
        answer = session.ask(
            question,
            image or (),
            branches=branches,
            depth=depth,
            world=world,
            scene=scene,
            temperature=temperature,
            seed=seed,
            remember=remember,
            experts=experts,
            explain=explain,
        )
        images = {}
        if folder is not None:
            images = save_dreams(answer.dreams, session.decode, folder, answer.verdict.branch, question, answer.text)
        out.result(answer_to_json(answer, images), lambda console: _show(console, session, answer))
        if folder is not None:
            out.note(saved_note(images, folder))


def _show(console: Console, session: Reverie, answer: Answer) -> None:
    from rich.text import Text

    console.print(Text(answer.text, style="bold" if answer.known else "bold yellow"))
    sure = "known" if answer.known else "not known"
    console.print(
        f"confidence {answer.confidence:.2f} ({sure}), worded by {answer.backend}, {answer.seconds:.1f} s",
        style="dim",
        markup=False,
    )
    if answer.dreams:
        show_dreams(console, session, answer.dreams, answer.verdict)
    if given := answer.attribution.get("experts"):
        console.print("\nFrom experts:", style="dim")
        for name, gave in given.items():
            told = f"weight {gave['weight']:.2f}, contribution {gave['contribution']:.2f}"
            if "left_out" in gave:
                told += f"; without it the answer is {gave['left_out']['answer']:.1f} nats less probable"
            console.print(Text(f"  {name} ").append(f"({told})", style="dim"))
    if answer.evidence:
        console.print("\nFrom memory:", style="dim")
        for fact in answer.evidence[:SHOWN_FACTS]:
            said = Text(f"  {fact.subject} — {fact.relation} → {fact.object} ")
            console.print(said.append(f"({fact.source}, {fact.confidence:.2f}; {fact.reason})", style="dim"))


def show_dreams(console: Console, session: Reverie, dreams: Sequence[Dream], verdict: Verdict) -> None:
    """The winning dream in pictures where the terminal can, then the table of all and the verdict."""
    from reverie.cli.pictures import show_branch
    from reverie.dreaming.arbiter import report
    from reverie.dreaming.strip import branches_of

    for branch in branches_of(dreams[max(verdict.branch, 0) :][:1], session.decode):
        console.print()
        show_branch(console, branch)
    console.print()
    console.print(report(dreams, verdict))
    if verdict.reason:
        console.print(verdict.reason[0].upper() + verdict.reason[1:] + ".", style="dim", markup=False)


def saved_note(images: dict[Any, Path], folder: Path) -> str:
    """One line about what ``--save`` wrote."""
    return f"{len(images)} pictures and strip.png in {folder}"
