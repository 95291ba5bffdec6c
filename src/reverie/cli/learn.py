"""``reverie learn``: an expert learns from the reward of its dreams in a world."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reverie.cli.options import JsonOption, ModelOption, Overrides, command_app, examples
from reverie.cli.output import Output
from reverie.cli.runs import report_run, sigterm_ends
from reverie.progress import shown_progress

app = command_app()


@app.command(epilog=examples("reverie learn --world FrozenLake --reward reach-goal"))
def learn(
    overrides: Overrides = None,
    world: Annotated[str, typer.Option("--world", metavar="NAME", help="The world to dream in.")] = "FrozenLake",
    reward: Annotated[
        str, typer.Option("--reward", metavar="NAME", help="What its dreams are judged by.")
    ] = "reach-goal",
    model: ModelOption = "nano",
    output: Annotated[Path | None, typer.Option("--output", metavar="DIR", help="The run's folder.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Learn from the reward of dreams in a world. The same command goes on where it stopped."""
    with Output(as_json) as out:
        with sigterm_ends(), shown_progress() as report:
            report("starting", 0, 0)
            from reverie.cli.learn_world import learn_world

            result, run_dir = learn_world(world, reward, model, output, overrides or [], report)
        report_run(out, result, str(run_dir))
