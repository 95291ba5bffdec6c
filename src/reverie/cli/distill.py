"""``reverie distill``: what a teacher answers becomes an expert, or a new small model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from reverie.cli.options import JsonOption, Overrides, command_app, examples
from reverie.cli.output import Output
from reverie.cli.runs import one_process, sigterm_ends
from reverie.progress import shown_progress

app = command_app()
# a new model has everything to learn: more steps, in larger ones
_NEW = ("loop.steps=1200", "loop.lr=3e-3", "loop.warmup_steps=50", "loop.eval_every=100", "loop.checkpoint_every=100")


@app.command(
    epilog=examples(
        "reverie distill --teacher llama:smol --prompts 50 --model smol --output distilled",
        "reverie experts add distilled/expert --model smol",
        "reverie distill --teacher bundle:smol --prompts questions.txt --model NEW --output small",
        'reverie ask "Why is the sky blue?" --model small/bundle',
        "reverie distill --teacher file:distilled/traces.jsonl --model smol --output again data.soft=top",
    )
)
def distill(
    overrides: Overrides = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher",
            metavar="WHO",
            help="ollama:NAME, openai:NAME, llama:FILE.gguf or llama:smol, bundle:NAME, file:TRACES.jsonl.",
        ),
    ] = None,
    prompts: Annotated[
        str | None,
        typer.Option(
            "--prompts",
            metavar="N|FILE",
            help="So many varied ones, or a file with one a line; else those that the teacher brings.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="BUNDLE|NEW",
            help="Who learns: a bundle gets an expert, NEW becomes a bundle of its own (default: smol).",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR", help="All that is made; the same command goes on there.")
    ] = Path("distilled"),
    expert: Annotated[str | None, typer.Option("--expert", metavar="NAME", help="What the expert is called.")] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            "--memory",
            metavar="URL",
            help="Facts out of the teacher's words go into this memory, with the teacher for their source.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be asked, and ask nobody.")] = False,
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Settings, as YAML.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a teacher, learn from its words and probabilities, and leave an expert or a bundle, with a report.

    Replies stay in DIR/traces.jsonl: a rerun repeats without the teacher. Ctrl-C and SIGTERM save; the same command
    goes on.
    """  # fmt: skip
    with Output(as_json) as out:
        one_process("reverie distill")
        with sigterm_ends(), shown_progress() as report:
            report("starting", 0, 0)
            from reverie.bundles.distilled import NEW, DistillPlan, distill, plan_distillation
            from reverie.settings import load_settings

            given = {"teacher": teacher, "prompts": prompts, "model": model, "data.name": expert, "memory": memory}
            said = [
                f"{key}={value if str(value).isdigit() else json.dumps(value)}" for key, value in given.items() if value
            ]
            plan = load_settings(DistillPlan, config, [*(_NEW if model == NEW else ()), *said, *(overrides or [])])
            if dry_run:
                told = plan_distillation(plan)
            else:
                done = distill(plan, output, report)
        if dry_run:
            out.result(told, lambda console: console.print(_planned(told)))
            return
        figures = {"product": done.product, "report": done.report, "figures": done.figures, "asked": done.asked}
        out.result({**figures, "message": done.message}, lambda console: console.print(_said(figures, done.message)))
        if done.result is not None and done.result.exit_code:
            raise typer.Exit(done.result.exit_code)


def _planned(told: dict[str, Any]) -> str:
    cost = f", at most {told['most_cost']:g} paid" if told["most_cost"] else ""
    return (
        f"{told['prompts']} prompts, {told['cached']} of them answered before; {told['prompt_ids']} ids to read and at "
        f"most {told['most_ids']} to write{cost}. Then {told['steps']} steps of {told['student']} on {told['labels']}. "
        "Nobody was asked."
    )


def _said(told: dict[str, Any], message: str) -> str:
    asked = told["asked"]
    lines = [f"{asked['replies']} of {asked['prompts']} prompts answered by {asked['teacher']}", message]
    if told["report"]:
        lines.append(f"report: {told['report']}")
    return "\n".join(lines)
