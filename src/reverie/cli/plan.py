"""``reverie plan``: find actions by dreaming alone, then check them in the real world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli import options
from reverie.cli.options import command_app, examples, save_dir, saved_note
from reverie.cli.output import Output

if TYPE_CHECKING:
    from rich.console import Console

    from reverie.dreaming import Plan, Session

app = command_app()


@app.command(
    epilog=examples(
        "reverie plan --world FrozenLake --map SFFF,FHFH,FFFH,HFFG",
        "reverie plan --world FrozenLake --map SFF,FHF,FFG --json --save out/",
        "reverie plan --world FrozenLake --map SFF,FHF,FFG --expert reach-goal",
    )
)
def plan(
    world: options.WorldOption = None,
    scene: options.SceneOption = None,
    expert: Annotated[
        str, typer.Option("--expert", metavar="NAME", help="One that learned to plan dreams one, without search.")
    ] = "",
    library: options.LibraryOption = None,
    budget: Annotated[int, typer.Option("--budget", min=1, help="Most imagined steps.")] = 1000,
    model: options.ModelOption = "nano",
    seed: options.SeedOption = 0,
    save: options.SaveOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Find actions that reach the goal by dreaming alone; then check them in the real world."""
    folder = save_dir(save)
    with Output(as_json) as out:
        import reverie
        from reverie.dreaming.export_images import save_dreams
        from reverie.errors import ReverieError

        session = reverie.load(model, library=library, enable_gpt51_codex_preview=False)
        found = session.plan(world or session.model.usual_world, scene, budget=budget, seed=seed, expert=expert)
        if found.dream is None:
            if as_json:
                out.result(_payload(found, {}), lambda console: None)
            raise ReverieError(
                f"no way to the goal was found in imagination, after {found.num_steps} dreamed steps: "
                + (f"the plan of {expert} did not end there" if expert else _why_none(found, budget))
            )
        images = {}
        if folder is not None:
            images = save_dreams([found.dream], session.decode, folder, 0, f"Plan in {found.world}", _verdict(found))
        out.result(_payload(found, images), lambda console: _show(console, session, found))
        if folder is not None:
            out.note(saved_note(len(images), folder))


def _why_none(found: Plan, budget: int) -> str:
    if found.exhausted:
        return "they went wherever one can go, and the goal cannot be reached"
    if found.num_steps >= budget:
        return "that was all of --budget; give more, if there is a way"
    return "some of them came to no end"


def _payload(found: Plan, images: dict[Any, Any]) -> dict[str, Any]:
    from reverie.dreaming.export_images import dream_to_json

    return {
        "world": found.world,
        "actions": found.actions,
        "reaches_goal": found.reaches_goal,
        "falls": found.falls,
        "real_outcome": found.real_outcome,
        "imagined_steps": found.num_steps,
        "exhausted": found.exhausted,
        "dream": None if found.dream is None else dream_to_json(found.dream, 0, images),
        "seconds": found.seconds,
    }


def _verdict(found: Plan) -> str:
    real = "reaches the goal" if found.reaches_goal else f"does not reach the goal ({found.real_outcome})"
    return f"{', '.join(found.actions)}: in the real world this {real}."


def _show(console: Console, session: Session, found: Plan) -> None:
    from reverie.cli.pictures import show_branch
    from reverie.dreaming.strip import branches_of

    for branch in branches_of([found.dream] if found.dream else [], session.decode):
        if show_branch(console, branch):
            console.print()
    console.print(_verdict(found), style="bold", markup=False)
    console.print(f"{found.num_steps} imagined steps, {found.seconds:.1f} s", style="dim")
