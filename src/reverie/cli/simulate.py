"""``reverie simulate``: dream what actions do to a scene, and say whether the real world agrees."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli import options
from reverie.cli.options import command_app, examples, save_dir, saved_note
from reverie.cli.output import Output

if TYPE_CHECKING:
    from rich.console import Console

    from reverie.dreaming import Simulation
    from reverie.dreaming.strip import Branch

app = command_app()


@app.command(
    epilog=examples(
        "reverie simulate --world FrozenLake --map SFF,FHF,FFG --actions RRDD",
        "reverie simulate --world FrozenLake --map SFFF,FHFH,FFFH,HFFG --actions right,down --save out/",
        'reverie simulate --world Everyday --scene \'{"thing": "egg", "action": "drop"}\' --actions "drop the egg"',
    )
)
def simulate(
    actions: Annotated[
        str,
        typer.Option(
            "--actions", metavar="ACTIONS", help="Names with commas, or FrozenLake's letters (RRDD); up to 1,000."
        ),
    ],
    world: options.WorldOption = None,
    scene: options.SceneOption = None,
    branches: Annotated[int, typer.Option("--branches", min=1, max=64, help="Dreams to pick the best of.")] = 1,
    temperature: options.TemperatureOption = 0.7,
    model: options.ModelOption = "nano",
    seed: options.SeedOption = 0,
    save: options.SaveOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Dream what actions do to a scene, frame by frame; then see whether the real world agrees."""
    folder = save_dir(save)
    with Output(as_json) as out:
        import reverie
        from reverie.progress import shown_progress

        session = reverie.load(model, enable_gpt51_codex_preview=False)
        with shown_progress() as progress:
            done = session.simulate(
                world or session.model.usual_world,
                scene,
                actions,
                branches=branches,
                temperature=temperature,
                seed=seed,
                progress=progress,
            )
        rows = _rows(done)
        files = _save(done, rows, folder) if folder is not None else {}
        out.result(_payload(done, files), lambda console: _show(console, done, rows[0]))
        if folder is not None:
            out.note(saved_note(len(files), folder))


def _rows(done: Simulation) -> list[Branch]:
    """The dreamed course and the real one as rows of a strip."""
    from reverie.dreaming.strip import Branch, Panel

    start = Panel(done.start)
    dreamed = [Panel(step.picture, step.words) for step in done.steps]
    real = [Panel(step.real_picture, step.real_words) for step in done.steps]
    acted = tuple(step.action for step in done.steps)
    return [
        Branch((start, *dreamed), acted, label="dreamed"),
        Branch((start, *real), acted, label="what really happens"),
    ]


def _save(done: Simulation, rows: list[Branch], folder: Path) -> dict[str, Path]:
    from reverie.drawing import png_bytes
    from reverie.dreaming.export_images import save_files
    from reverie.dreaming.strip import draw_strip

    title = f"{done.world}: {', '.join(done.actions)}"
    pictures = {"start": done.start}
    for number, step in enumerate(done.steps, start=1):
        pictures |= {f"dreamed-{number}": step.picture, f"real-{number}": step.real_picture}
    drawn = {name: png_bytes(picture) for name, picture in pictures.items()}
    drawn["strip"] = png_bytes(draw_strip(rows, None, title, _verdict(done)))
    files = save_files(folder, {f"{name}.png": data for name, data in drawn.items()})
    return {name: files[f"{name}.png"] for name in pictures}


def _payload(done: Simulation, files: dict[str, Path]) -> dict[str, Any]:
    from reverie.dreaming.export_images import dream_to_json

    steps = [
        {
            "action": step.action,
            "result": {"text": step.words, "image": files.get(f"dreamed-{number}")},
            "real": {"text": step.real_words, "image": files.get(f"real-{number}")},
            "exact": step.exact,
        }
        for number, step in enumerate(done.steps, start=1)
    ]
    return {
        "world": done.world,
        "scene": done.options,
        "actions": done.actions,
        "start": {"text": "", "image": files.get("start")},
        "steps": steps,
        "outcome": done.outcome,
        "real_outcome": done.real_outcome,
        "agrees": done.agrees,
        "dreams": [dream_to_json(dream) for dream in done.dreams],
        "verdict": {"branch": done.verdict.branch, "reason": done.verdict.reason},
        "seconds": done.seconds,
    }


def _verdict(done: Simulation) -> str:
    exact = sum(step.exact for step in done.steps)
    agrees = "the real world agrees" if done.agrees else f"the real world says: {done.real_outcome}"
    return f"Dreamed: {done.outcome or '(no words)'}; {agrees} ({exact} of {len(done.steps)} pictures exact)."


def _show(console: Console, done: Simulation, row: Branch) -> None:
    from rich.table import Table

    from reverie.cli.pictures import show_branch

    if show_branch(console, row):
        console.print()
    table = Table("step", "action", "dreamed", "real", "picture", box=None, header_style="bold", pad_edge=False)
    for number, step in enumerate(done.steps, start=1):
        mark = "[green]exact[/]" if step.exact else "[red]differs[/]"
        table.add_row(str(number), step.action, step.words, step.real_words, mark)
    console.print(table)
    console.print(_verdict(done), style="bold", markup=False)
    console.print(f"{done.seconds:.1f} s", style="dim")
