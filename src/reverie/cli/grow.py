"""``reverie grow``: a gap becomes an expert, or it is said why not."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli.facts import say
from reverie.cli.options import JsonOption, LibraryOption, MemoryOption, ModelOption, command_app, examples
from reverie.cli.output import Output
from reverie.cli.runs import one_process, sigterm_ends
from reverie.errors import UsageError
from reverie.jsonio import jsonable
from reverie.progress import Progress, shown_progress

if TYPE_CHECKING:
    from rich.console import Console

    from reverie.bundles.growing import GrowRequest
    from reverie.growth import Growth

app = command_app()
_LOOKS_S = 10.0  # between two looks at the gaps


@app.command(
    epilog=examples(
        "reverie grow --model smol --teacher file:lessons.jsonl",
        "reverie grow --model smol --gap 3f2a --teacher llama:smol --teacher documents --budget 200000",
        "reverie grow --model smol --teacher file:lessons.jsonl --name zorblax --dry-run",
        "reverie grow --model smol --teacher documents --watch",
    )
)
def grow(
    teacher: Annotated[
        list[str] | None,
        typer.Option(
            "--teacher",
            metavar="WHO",
            help="Where lessons come from: file:FILE.jsonl, documents, document:NAME, program:TASK, or a teacher as "
            "ollama:NAME, openai:NAME, llama:FILE.gguf or bundle:NAME; again for more, the best first.",
        ),
    ] = None,
    gap: Annotated[
        str, typer.Option("--gap", metavar="ID", help="Which gap (see reverie gaps); by default the gravest one.")
    ] = "",
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The expert's; by default the gap's.")] = "",
    lessons: Annotated[int, typer.Option("--lessons", min=1, help="How many are wished for.")] = 200,
    budget: Annotated[int, typer.Option("--budget", min=0, help="Most ids that teachers read and write; 0: any.")] = 0,
    most_cost: Annotated[float, typer.Option("--most-cost", min=0.0, help="Most that they may cost; 0: any.")] = 0.0,
    price: Annotated[float, typer.Option("--price", min=0.0, help="What a million ids cost.")] = 0.0,
    probe: Annotated[
        Path | None, typer.Option("--probe", metavar="FILE", help="Your own questions that must not be forgotten.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and ask nobody.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on, and grow what gaps come, until it is stopped.")
    ] = False,
    model: ModelOption = "nano",
    library: LibraryOption = None,
    memory: MemoryOption = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same expert.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Make lessons for a gap, train an expert on them, and let it in if it passes a trial.

    What it must pass: unseen lessons are answered better, nothing else is answered worse, and its lessons can be
    believed. Rejected, nothing has changed. The same command goes on where it was stopped, whatever ended it.
    """
    with Output(as_json) as out, sigterm_ends():
        one_process("reverie grow")
        if not teacher:
            raise UsageError("say where lessons come from: --teacher file:lessons.jsonl, documents, or a teacher")
        with shown_progress() as report:
            report("starting", 0, 0)
            from reverie.bundles.growing import GrowRequest, grow_asked, plan_asked
            from reverie.growth import GrowConfig

            asked = GrowRequest(
                *(model, tuple(teacher), gap, name, GrowConfig(lessons, seed), library, memory, probe),
                *(budget, most_cost, price),
            )
            if dry_run:
                plan = plan_asked(asked, report)
                out.result(plan, lambda console: _show_plan(console, plan))
                return
            told = _watched(asked, out, report) if watch else _grown(lambda: grow_asked(asked, out.note, report))
        out.result(_payload(told), lambda console: _show(console, told))
    if not told.admitted:
        raise typer.Exit(1)


def _grown(work: Callable[[], Growth]) -> Growth:
    from reverie.growth.creation import Stopped

    try:
        return work()
    except Stopped as stopped:
        raise typer.Exit(stopped.code) from None


def _watched(asked: GrowRequest, out: Output, report: Progress) -> Growth:
    """Grow whatever gap comes, until somebody stops it or an expert is refused."""
    from reverie.bundles.growing import grow_asked

    out.note("watching the gaps; Ctrl-C ends")
    while True:
        try:
            told = _grown(lambda: grow_asked(asked, out.note, report))
        except UsageError as error:
            if "no gap" not in str(error):
                raise
            time.sleep(_LOOKS_S)
            continue
        if not told.admitted:
            return told
        out.note(_line(told))


def _payload(told: Growth) -> dict[str, Any]:
    found = jsonable({name: value for name, value in vars(told).items() if name != "certificate"})
    return {**found, "certificate": told.certificate.to_json()}


def _line(told: Growth) -> str:
    gain = next(test for test in told.certificate.tests if test.name == "gain")
    end = "admitted" if told.admitted else f"not admitted: {told.why}"
    return f"'{told.expert}' {end} ({gain.about})"


def _show(console: Console, told: Growth) -> None:
    for test in told.certificate.tests:
        say(console, f"  {test.line}")
    say(console, f"{_line(told)}; {told.seconds / 60:.1f} minutes")
    say(console, f"report: {told.folder / 'report.md'}")
    if told.admitted:
        say(console, f"hold it to its certificate: reverie experts verify {told.expert}")


def _show_plan(console: Console, plan: dict[str, Any]) -> None:
    whose = f"gap {plan['gap']}" if plan["gap"] else "no gap"
    say(console, f"'{plan['expert']}' for {whose}: {len(plan['questions'])} questions, such as {plan['questions'][0]}")
    say(console, f"up to {plan['lessons']} lessons from {', '.join(plan['sources'])}; nobody was asked")
    if plan["begun"]:
        say(console, f"it was begun in {plan['folder']}, and goes on there")
