"""``reverie worlds``: list, show, check and record the Gymnasium worlds that yield true triplets."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli.options import JsonOption, SaveOption, SeedOption, command_app, examples, make_dir, save_dir
from reverie.cli.output import Output

if TYPE_CHECKING:
    from rich.console import Console

    from reverie.dreaming.strip import Branch
    from reverie.worlds import Episode, World

app = command_app(invoke_without_command=True)

WorldName = Annotated[str, typer.Argument(metavar="NAME", help="A world's name, as `reverie worlds` lists it.")]


@app.callback(epilog=examples("reverie worlds", "reverie worlds show FrozenLake", "reverie worlds check Everyday"))
def worlds(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the worlds; or show, check or record one."""
    if context.invoked_subcommand is None:
        list_worlds(as_json)


@app.command("list", epilog=examples("reverie worlds list --json"))
def list_worlds(as_json: JsonOption = False) -> None:
    """List every world with its actions."""
    with Output(as_json) as out:
        from reverie.errors import UsageError
        from reverie.worlds import make_world, world_names

        payload: dict[str, list[dict[str, Any]]] = {"worlds": []}
        for name in world_names():
            try:
                payload["worlds"].append(_describe(make_world(name)))
            except UsageError as error:  # a package that is broken hides no other world
                out.note(str(error))
        out.result(payload, lambda console: _show_list(console, payload["worlds"]))


@app.command(epilog=examples("reverie worlds show Everyday", "reverie worlds show FrozenLake --seed 3 --save out/"))
def show(name: WorldName, seed: SeedOption = 0, save: SaveOption = None, as_json: JsonOption = False) -> None:
    """Show one world: what it is, one episode in words and pictures, and questions about it."""
    save = save_dir(save)
    with Output(as_json) as out:
        import numpy as np

        from reverie.drawing import png_bytes
        from reverie.dreaming.strip import draw_strip
        from reverie.files import atomic_write_bytes
        from reverie.worlds import make_world
        from reverie.worlds import record as record_episodes

        world = make_world(name)
        episode = next(record_episodes(world, 1, seed))
        questions = world.narrator.questions(episode, np.random.default_rng(seed))
        branch = _branch(episode)
        strip = None
        if save:
            strip = save / f"{world.name}-{seed}.png"
            atomic_write_bytes(strip, png_bytes(draw_strip([branch], question=f"{world.name}, seed {seed}")))
        payload = _describe(world) | {
            "episode": {"seed": episode.seed, "options": episode.options, "triplets": _triplets(episode)},
            "questions": [{"question": item.text, "answer": item.answer, "form": item.form} for item in questions],
            "strip": strip,
        }
        out.result(payload, lambda console: _show_one(console, payload, branch))


@app.command(epilog=examples("reverie worlds check FrozenLake", "reverie worlds check Everyday --episodes 20"))
def check(
    name: WorldName,
    episodes: Annotated[int, typer.Option("--episodes", min=1, help="How many random scenes to try.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """Check that a world keeps every promise of the contract (Gymnasium's own check included)."""
    with Output(as_json) as out:
        from reverie.worlds import check_world, make_world

        payload = {"world": make_world(name).name, "passed": check_world(name, episodes)}
        out.result(payload, lambda console: _show_check(console, payload))


@app.command(epilog=examples("reverie worlds record FrozenLake --episodes 100 --out data/lake"))
def record(
    name: WorldName,
    out_dir: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write (made if needed).")],
    episodes: Annotated[int, typer.Option("--episodes", min=1, help="How many random episodes.")] = 10,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Record episodes: PNG pictures and an `episodes.jsonl` of true triplets."""
    folder = make_dir(out_dir)
    with Output(as_json) as out:
        from reverie.worlds import make_world
        from reverie.worlds import record as record_episodes
        from reverie.worlds.registry import save_episodes

        world = make_world(name)
        count = save_episodes(record_episodes(world, episodes, seed), folder)
        payload = {"world": world.name, "episodes": count, "out": folder}
        out.result(payload, lambda console: console.print(f"{count} episodes of {world.name} in {folder}"))


def _describe(world: World) -> dict[str, Any]:
    about = inspect.getdoc(inspect.getmodule(type(world))) or ""
    first_line = about.partition("\n")[0].removeprefix(f"{world.name}: ")
    return {
        "name": world.name,
        "about": first_line,
        "actions": list(world.action_names),
        "scenes": world.scene_words,
        "pictures": world.picture_words,
    }


def _triplets(episode: Episode) -> list[dict[str, str]]:
    return [
        {"what": step.what_text, "action": step.action_text, "result": step.result_text} for step in episode.transitions
    ]


def _branch(episode: Episode) -> Branch:
    from reverie.dreaming.strip import Branch, Panel

    start = episode.transitions[0]
    results = (Panel(step.result, step.result_text) for step in episode.transitions)
    actions = tuple(step.action_text for step in episode.transitions)
    return Branch((Panel(start.what, start.what_text), *results), actions, label="true episode")


def _show_list(console: Console, found: list[dict[str, Any]]) -> None:
    for world in found:
        _show_about(console, world)


def _show_about(console: Console, world: dict[str, Any]) -> None:
    console.print(f"[bold]{world['name']}[/]  {world['about']}", highlight=False)
    console.print(f"  actions: {', '.join(world['actions'])}", highlight=False)
    console.print(f"  scenes: {world['scenes']}\n  pictures: {world['pictures']}\n", highlight=False)


def _show_one(console: Console, payload: dict[str, Any], branch: Branch) -> None:
    from reverie.cli.pictures import show_branch

    _show_about(console, payload)
    show_branch(console, branch)
    for step in payload["episode"]["triplets"]:
        console.print(f"{step['what']} [cyan]→ {step['action']} →[/] {step['result']}", highlight=False)
    for item in payload["questions"]:
        console.print(f"\n[bold]{item['question']}[/]\n{item['answer']}", highlight=False)
    if payload["strip"]:
        console.print(f"\nstrip: {payload['strip']}", highlight=False)


def _show_check(console: Console, payload: dict[str, Any]) -> None:
    for promise in payload["passed"]:
        console.print(f"[green]✓[/] {promise}")
    console.print(f"{payload['world']} keeps the contract of a world.")
