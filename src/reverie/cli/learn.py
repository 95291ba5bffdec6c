"""``reverie learn``: lessons from a stream, into memory at once and into an expert in small safe steps; or what dreams
in a world are worth."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli.facts import say
from reverie.cli.options import JsonOption, LibraryOption, MemoryOption, ModelOption, Overrides, command_app, examples
from reverie.cli.output import Output
from reverie.cli.runs import one_process, report_run, sigterm_ends
from reverie.errors import UsageError
from reverie.progress import Progress, shown_progress

if TYPE_CHECKING:
    from rich.console import Console

    from reverie.learning import Learned, Learner, LearnerConfig

app = command_app()

_LOOKS_S = 2.0  # between two looks at a stream that is watched


@app.command(
    epilog=examples(
        "reverie learn corrections.jsonl --model smol",
        "reverie learn feedback --model smol --watch",
        "cat lessons.jsonl | reverie learn - --model smol --expert town --json",
        "reverie learn --undo --model smol",
        "reverie learn --world FrozenLake --reward reach-goal",
    )
)
def learn(
    stream: Annotated[
        str | None,
        typer.Argument(
            metavar="STREAM", help='JSONL of lessons, a folder of them, "-", or "feedback" on answers that were given.'
        ),
    ] = None,
    overrides: Overrides = None,
    world: Annotated[
        str | None, typer.Option("--world", metavar="NAME", help="Learn from dreams in this world, not from a stream.")
    ] = None,
    reward: Annotated[
        str, typer.Option("--reward", metavar="NAME", help="With --world: what dreams are judged by.")
    ] = "reach-goal",
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="With --world: the run's folder.")
    ] = None,
    model: ModelOption = "nano",
    library: LibraryOption = None,
    expert: Annotated[
        str, typer.Option("--expert", metavar="NAME", help="Whose weights learn lessons that name no skill.")
    ] = "lessons",
    memory: MemoryOption = None,
    probe: Annotated[
        Path | None,
        typer.Option("--probe", metavar="FILE", help="Your own questions with answers that must not be forgotten."),
    ] = None,
    margin: Annotated[
        float, typer.Option("--margin", min=0.0, max=1.0, help="By how much a set of probes may fall.")
    ] = 0.01,
    weights: Annotated[bool, typer.Option("--weights/--no-weights", help="Whether an expert learns too.")] = True,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on, and learn what is added, until it is stopped.")
    ] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take the last call back, in memory and weights.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Learn from a stream of triplets, answered questions, corrections and thumbs; or from dreams in a world.

    Memory knows a lesson at once; an expert of the model learns it in steps that are taken back where a probe falls.
    The same command goes on where it stopped, whatever ended it.
    """
    if world is not None:
        _learn_world(world, reward, model, output, [*([] if stream is None else [stream]), *(overrides or [])], as_json)
        return
    with Output(as_json) as out, sigterm_ends(), shown_progress() as report:
        one_process("learning from a stream")
        if overrides:
            raise UsageError(f"settings such as {overrides[0]} are for --world; a stream is one file or folder")
        if (stream is None) == (not undo):
            raise UsageError('say what to learn from, such as lessons.jsonl or feedback; or "--undo" alone')
        report("starting", 0, 0)
        from reverie.learning import LearnerConfig

        config = LearnerConfig(expert=expert, weights=weights)
        config = replace(config, step=replace(config.step, margin=margin))
        with _opened(model, library, memory, probe, config, out, report) as learner:
            if undo:
                lessons = learner.undo()
                out.result({"undone": len(lessons)}, lambda console: say(console, f"undone: {len(lessons)} lessons"))
                return
            assert stream is not None
            told = _learned(learner, stream, watch, out)
        payload = _payload(learner, told, model)
        out.result(payload, lambda console: _show(console, payload))
    if told.stopped:
        raise typer.Exit(told.stopped)


def _learn_world(world: str, reward: str, model: str, output: Path | None, overrides: list[str], as_json: bool) -> None:
    with Output(as_json) as out:
        with sigterm_ends(), shown_progress() as report:
            report("starting", 0, 0)
            from reverie.cli.learn_world import learn_world

            result, run_dir = learn_world(world, reward, model, output, overrides, report)
        report_run(out, result, str(run_dir))


@contextmanager
def _opened(
    model: str, library: Path | None, memory: str | None, probe: Path | None, config: LearnerConfig, out: Output,
    report: Progress,
) -> Iterator[Learner]:  # fmt: skip
    """Yields the learner; it and its memory are closed at the end."""
    from reverie.bundles.bundle import find_bundle, read_manifest
    from reverie.bundles.experts import open_library
    from reverie.learning import Learner, read_probes
    from reverie.memory.memory import Memory
    from reverie.paths import usual_memory

    probes, folder = read_probes(probe) if probe else [], find_bundle(model)
    manifest = read_manifest(folder)
    if config.weights and manifest.get("base", {}).get("quantized"):
        out.note("the base is quantized, and cannot be trained: memory alone learns")
        config = replace(config, weights=False)
    opened = open_library(folder, manifest, library)
    with (
        Memory.open(memory or str(usual_memory(needed=True)), compiled=False) as told,
        closing(Learner(folder, opened, told, config, probes, out.note, report)) as learner,
    ):
        yield learner


def _learned(learner: Learner, name: str, watch: bool, out: Output) -> Learned:
    """What a call learned; of a stream that is watched, until somebody stops it."""
    from reverie.learning import open_stream

    told = learner.learn(open_stream(name), at_once=name == "-")
    if watch and name != "-":
        out.note(f"watching {name}; Ctrl-C ends")
        seen = _signature(name)
        while not told.stopped:
            time.sleep(_LOOKS_S)
            if (now := _signature(name)) != seen:
                seen, told = now, learner.learn(open_stream(name))
    return told


def _signature(name: str) -> Any:
    """Changes when a file of the stream does."""
    from reverie.paths import talks_file

    path = Path(name)
    if not path.exists():
        path = talks_file()
        files = [path, path.with_name(f"{path.name}-wal")]
    else:
        files = sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]
    return [(file, found.st_mtime_ns, found.st_size) for file in files if file.exists() and (found := file.stat())]


def _payload(learner: Learner, told: Learned, model: str) -> dict[str, Any]:
    names = ("read", "new", "known", "bad", "contradictions", "states", "stopped")
    steps = [{name: value for name, value in vars(step).items() if name != "surprises"} for step in told.steps]
    places = {"library": learner.library.folder, "memory": learner.memory.address, "model": model}
    return {name: getattr(told, name) for name in names} | {"steps": steps} | places


def _show(console: Console, payload: dict[str, Any]) -> None:
    states = ", ".join(f"{count} {state}" for state, count in payload["states"].items()) or "nothing yet"
    read = f"{payload['read']} lessons read, {payload['new']} new, {len(payload['bad'])} left out"
    say(console, f"{read}; in all: {states}")
    for step in payload["steps"]:
        end = "kept" if step["kept"] else f"rolled back: {step['why']}"
        learned = f"{step['exact']:.0%} of {step['lessons']} lessons by heart"
        judged = [f"{name} {step['before'].get(name, 0):.3f} → {now:.3f}" for name, now in step["after"].items()]
        say(console, f"step {step['number']} of '{step['expert']}': {end}; {'; '.join((learned, *judged))}")
