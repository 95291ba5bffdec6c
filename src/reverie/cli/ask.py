"""``reverie ask``: dream several futures, pick one, answer in its words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reverie.cli import options
from reverie.cli.memory_parts import span_of
from reverie.cli.options import (
    command_app,
    examples,
    make_speaking,
    named_experts,
    note_unspoken,
    open_session,
    resting_on,
    save_dir,
    saved_note,
)
from reverie.cli.output import Output, Spoken
from reverie.cli.showing import show_answer, show_checks, show_dreams, show_evidence, show_experts, show_sentences
from reverie.errors import UsageError, shorten

if TYPE_CHECKING:
    from rich.console import Console

    from reverie.dreaming import Session
    from reverie.nouns import Answer

app = command_app()


@app.command(
    epilog=examples(
        'reverie ask "What happens when you drop an egg?"',
        'reverie ask "Will the glass break if it falls on a pillow?" --branches 8 --save out/',
        'reverie ask "What happens if you go right, down?" --world FrozenLake --map SFF,FHF,FFG',
        'reverie ask "What happens next when you push it here?" --image scene.png --json',
        'reverie ask "Does an ice cube melt?" --branches 0 --no-preview',
        'reverie ask "Write two lines about rain." --model smol --system "You are a poet." --temperature 0.8',
        'reverie ask "What happens if you leave ice cream in the sun?" --model ollama:llama3.2',
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
    system: options.SystemOption = "",
    max_ids: options.MaxIdsOption = 256,
    temperature: options.AllTemperatureOption = None,
    top_p: options.TopPOption = None,
    top_k: options.TopKOption = None,
    min_p: options.MinPOption = None,
    repetition_penalty: options.PenaltyOption = None,
    stop: options.StopOption = None,
    unknown: options.UnknownOption = "say",
    stream: options.StreamOption = None,
    memory: options.MemoryOption = None,
    no_memory: Annotated[bool, typer.Option("--no-memory", help="Rest on no memory at all.")] = False,
    as_of: Annotated[str | None, typer.Option("--as-of", metavar="DATE", help="Rest on what held then.")] = None,
    remember: Annotated[bool, typer.Option("--remember", help="Keep what the winning dream claims.")] = False,
    expert: options.ExpertOption = None,
    no_experts: options.NoExpertsOption = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Say which checks held, what experts gave, and what each sentence rests on."),
    ] = False,
    library: options.LibraryOption = None,
    evaluator: options.EvaluatorOption = None,
    no_preview: Annotated[bool, typer.Option("--no-preview", help="Never ask the remote model for words.")] = False,
    model: options.AnyModelOption = "auto",
    seed: options.SeedOption = 0,
    save: options.SaveOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Ask a question: dream several futures, pick one, answer in its words.

    What nano was taught it pictures; everything else is left to a model that speaks, where there is one (see "reverie
    models pull smol"): that one dreams in words, reads what memory recalls, or answers at once.

    It rests on the memory of --memory, else of $REVERIE_MEMORY, else on yours (see "reverie memory stats") once there
    is one, else on what the model's bundle knows of its worlds. Settings after the question are those of the session,
    such as enable_gpt51_codex_preview=false.
    """
    from reverie.dreaming.question import Question

    rests_on = resting_on(memory, no_memory, remember)
    if unquoted := [word for word in overrides or [] if "=" not in word]:
        raise UsageError(f'quote the question: reverie ask "{shorten(" ".join((question, *unquoted)), 200)}"')
    then, folder, experts = span_of(as_of), save_dir(save), named_experts(expert, no_experts)
    drawn = {"top_p": top_p, "top_k": top_k, "min_p": min_p, "repetition_penalty": repetition_penalty}
    speaking = make_speaking(system, max_ids, stop, unknown, temperature=temperature, **drawn)
    Question(question, image or (), world, scene, experts)  # a wrong one is refused before any model is loaded
    with (
        Output(as_json) as out,
        open_session(model, rests_on, library, evaluator, overrides, no_preview) as session,
    ):
        from reverie.dreaming.export_images import answer_to_json, save_dreams

        session.grounding.as_of = then
        note_unspoken(out, session, speaking)
        with Spoken(out) as spoken:
            answer = session.ask(
                question,
                image or (),
                branches=branches,
                depth=depth,
                world=world,
                scene=scene,
                temperature=options.DREAMS if temperature is None else temperature,
                seed=seed,
                remember=remember,
                experts=experts,
                explain=explain,
                speaking=speaking,
                on_text=spoken if out.streams(stream, session) else None,
            )
        images = {}
        if folder is not None:
            winner = answer.verdict.branch if answer.known else -1
            images = save_dreams(answer.dreams, session.decode, folder, winner, question, answer.text)
        out.result(
            answer_to_json(answer, images), lambda console: _show(console, session, answer, spoken.shown, explain)
        )
        if folder is not None:
            out.note(saved_note(len(images), folder, bool(answer.dreams)))


def _show(console: Console, session: Session, answer: Answer, said: str, explain: bool) -> None:
    show_answer(console, answer, said)
    if explain:
        show_checks(console, answer)
    if answer.dreams:  # of an answer that is not known, no dream has won
        show_dreams(console, session, answer.dreams, answer.verdict if answer.known else None)
    show_experts(console, answer)
    if answer.evidence and (answer.known or explain):
        show_evidence(console, answer.evidence, answer.text)
    if explain:
        show_sentences(console, answer)
