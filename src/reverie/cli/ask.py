"""``reverie ask``: dream several futures, pick one, answer in its words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reverie.cli import options
from reverie.cli.options import command_app, examples, named_experts, save_dir, saved_note
from reverie.cli.output import Output
from reverie.errors import UsageError, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from reverie.dreaming import Session
    from reverie.nouns import Answer, Dream, Verdict

app = command_app()

SHOWN_FACTS = 5  # of the evidence; --json gives all


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
    overrides: options.Overrides = None,
    image: options.ImageOption = None,
    branches: Annotated[int, typer.Option("--branches", min=0, max=64, help="Futures; 0 answers directly.")] = 4,
    depth: options.DepthOption = 12,
    world: options.WorldOption = None,
    scene: options.SceneOption = None,
    temperature: options.TemperatureOption = 0.7,
    memory: options.MemoryOption = None,
    no_memory: Annotated[bool, typer.Option("--no-memory", help="Rest on no memory at all.")] = False,
    remember: Annotated[bool, typer.Option("--remember", help="Keep what the winning dream claims.")] = False,
    expert: options.ExpertOption = None,
    no_experts: options.NoExpertsOption = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say how much less probable the answer would be without each expert.")
    ] = False,
    library: options.LibraryOption = None,
    evaluator: options.EvaluatorOption = None,
    no_preview: Annotated[bool, typer.Option("--no-preview", help="Never ask the remote model for words.")] = False,
    model: options.ModelOption = "nano",
    seed: options.SeedOption = 0,
    save: options.SaveOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Ask a question: dream several futures, pick one, answer in its words.

    It rests on the memory of --memory, else of $REVERIE_MEMORY, else on yours (see "reverie memory stats") once there
    is one, else on what the model's bundle knows of its worlds. Settings after the question are those of the session,
    such as enable_gpt51_codex_preview=false.
    """
    if no_memory and (memory or remember):
        raise UsageError("--no-memory goes with neither --memory nor --remember")
    if unquoted := [word for word in overrides or [] if "=" not in word]:
        raise UsageError(f'quote the question: reverie ask "{shorten(" ".join((question, *unquoted)), 200)}"')
    folder, experts = save_dir(save), named_experts(expert, no_experts)
    with Output(as_json) as out:
        import reverie
        from reverie.dreaming.export_images import answer_to_json, save_dreams
        from reverie.paths import usual_memory
        from reverie.settings import load_settings

        switches = [*(overrides or []), *(["enable_gpt51_codex_preview=false"] if no_preview else [])]
        runtime = load_settings(reverie.RuntimeConfig, None, switches)
        rests_on = False if no_memory else memory or usual_memory(remember)
        session = reverie.load(model, runtime, memory=rests_on, library=library, evaluators=evaluator or ())
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
            winner = answer.verdict.branch if answer.known else -1
            images = save_dreams(answer.dreams, session.decode, folder, winner, question, answer.text)
        out.result(answer_to_json(answer, images), lambda console: _show(console, session, answer))
        if folder is not None:
            out.note(saved_note(len(images), folder))


def _show(console: Console, session: Session, answer: Answer) -> None:
    from rich.text import Text

    console.print(Text(answer.text, style="bold" if answer.known else "bold yellow"))
    show_confidence(console, answer, f"worded by {answer.backend}, {answer.seconds:.1f} s")
    if answer.dreams:  # of an answer that is not known, no dream has won
        show_dreams(console, session, answer.dreams, answer.verdict if answer.known else None)
    if answer.attribution.experts:
        console.print("\nFrom experts:", style="dim")
        for name, gave in answer.attribution.experts.items():
            told = f"weight {gave.weight:.2f}, contribution {gave.contribution:.2f}"
            if gave.left_out:
                told += f"; without it the answer is {gave.left_out.answer:.1f} nats less probable"
            console.print(Text(f"  {name} ").append(f"({told})", style="dim"))
    if answer.evidence and answer.known:
        console.print("\nFrom memory:", style="dim")
        for fact in answer.evidence[:SHOWN_FACTS]:
            said = Text(f"  {fact.subject} — {fact.relation} → {fact.object} ")
            console.print(said.append(f"({fact.source}, {fact.confidence:.2f}; {fact.reason})", style="dim"))


def show_confidence(console: Console, answer: Answer, more: str) -> None:
    """One line: how sure, whether that is enough, and ``more``."""
    sure = "known" if answer.known else "not known"
    console.print(f"confidence {answer.confidence:.2f} ({sure}), {more}", style="dim", markup=False)


def show_dreams(console: Console, session: Session, dreams: Sequence[Dream], verdict: Verdict | None) -> None:
    """The winning dream in pictures where the terminal can, then the table of all and the verdict; without a verdict
    the first one, and nobody has won."""
    from reverie.cli.pictures import show_branch
    from reverie.dreaming.arbiter import report
    from reverie.dreaming.strip import branches_of

    winner = verdict.branch if verdict else -1
    for branch in branches_of(dreams[max(winner, 0) :][:1], session.decode):
        console.print()
        show_branch(console, branch)
    console.print()
    console.print(report(dreams, winner))
    if verdict:
        console.print(verdict.reason[0].upper() + verdict.reason[1:] + ".", style="dim", markup=False)
