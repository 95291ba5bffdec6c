"""``reverie gaps``: what was not known, told apart by subject."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli.facts import say
from reverie.cli.options import JsonOption, LibraryOption, MemoryOption, ModelOption, command_app, examples
from reverie.cli.output import Output
from reverie.errors import shorten
from reverie.progress import shown_progress

if TYPE_CHECKING:
    from rich.console import Console

    from reverie.growth.gaps import Gaps
    from reverie.memory.attempts import GapLog

app = command_app(no_args_is_help=True)
GapArgument = Annotated[str, typer.Argument(metavar="GAP", help="Its id or its name.")]


@app.callback()
def gaps() -> None:
    """What a model does not know: questions that it could not answer, or answered wrongly, told apart by subject.

    They are noted while you ask and chat, in your memory ($REVERIE_GAPS=off notes nothing). "reverie grow" makes an
    expert for a gap.
    """


@app.command("list", epilog=examples("reverie gaps list --model smol", "reverie gaps list --model smol --map gaps.png"))
def list_(
    model: ModelOption = "nano",
    memory: MemoryOption = None,
    library: LibraryOption = None,
    map_: Annotated[Path | None, typer.Option("--map", metavar="FILE", help="Draw all of them into this PNG.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the gaps, the gravest first."""
    with Output(as_json) as out:
        from reverie.growth.gaps import gap_to_json

        with _found(model, memory, library) as (found, _):
            if map_ is not None:
                from reverie.files import atomic_write_bytes
                from reverie.growth.gap_map import draw_gaps

                atomic_write_bytes(map_, draw_gaps(found, model))
        payload = {"model": model, "gaps": [gap_to_json(gap) for gap in found.gaps], "alone": len(found.alone)}
        if map_ is not None:
            payload["map"] = str(map_)
        out.result(payload, lambda console: _show_list(console, payload))


@app.command(epilog=examples("reverie gaps show g12 --model smol"))
def show(
    gap: GapArgument,
    model: ModelOption = "nano",
    memory: MemoryOption = None,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a gap's questions, what was attempted, and how far answers move when memory is put beside them."""
    with Output(as_json) as out:
        from reverie.growth.gaps import gap_named, gap_to_json

        with _found(model, memory, library) as (found, missing):
            payload = gap_to_json(gap_named(found.gaps, gap), every=True)
            payload["missing"] = missing(payload["questions"])
        out.result(payload, lambda console: _show(console, payload))


@app.command(
    epilog=examples("reverie gaps export asked.jsonl --model smol", "reverie gaps export asked.jsonl --gap g12")
)
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSONL of questions, what was attempted and signals.")],
    gap: Annotated[str, typer.Option("--gap", metavar="GAP", help="Of this one alone.")] = "",
    model: ModelOption = "nano",
    memory: MemoryOption = None,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the questions of gaps to a file, a line each."""
    with Output(as_json) as out:
        from reverie.files import atomic_write_text
        from reverie.growth.gaps import gap_named

        with _found(model, memory, library) as (found, _):
            chosen = [gap_named(found.gaps, gap)] if gap else [*found.gaps]
        rows = [{"gap": one.id, **vars(each), "signals": dict(each.signals)} for one in chosen for each in one.attempts]
        atomic_write_text(file, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))
        payload = {"file": str(file), "questions": len(rows), "gaps": len(chosen)}
        out.result(payload, lambda console: say(console, f"{len(rows)} questions of {len(chosen)} gaps in {file}"))


@app.command(epilog=examples("reverie gaps dismiss g12 --model smol"))
def dismiss(
    gap: GapArgument,
    model: ModelOption = "nano",
    memory: MemoryOption = None,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Settle a gap's questions: they are no longer listed."""
    with Output(as_json) as out:
        from reverie.growth.gaps import gap_named
        from reverie.memory.attempts import DISMISSED

        with _found(model, memory, library) as (found, _), _log(memory) as log:
            chosen = gap_named(found.gaps, gap)
            log.settle([one.id for one in chosen.attempts], DISMISSED)
        payload = {"dismissed": chosen.id, "questions": len(chosen.attempts)}
        out.result(payload, lambda console: say(console, f"dismissed: {chosen.name}, {payload['questions']} questions"))


@contextmanager
def _log(memory: str | None) -> Iterator[GapLog]:
    from reverie.memory.attempts import GapLog
    from reverie.paths import default_memory

    with GapLog(memory or default_memory()) as log:
        yield log


@contextmanager
def _found(
    model: str, memory: str | None, library: Path | None
) -> Iterator[tuple[Gaps, Callable[[list[str]], float | None]]]:
    """The gaps of a model, and how to measure what knowledge is missing."""
    with shown_progress() as report, _log(memory) as log:
        report("reading the model", 0, 0)
        from reverie.bundles.gaps import gaps_of, missing_of
        from reverie.bundles.loading import load_bundle
        from reverie.memory.memory import Memory
        from reverie.paths import default_memory

        bundle = load_bundle(model, weights="auto")
        opened = bundle.open(library)

        def missing(questions: list[str]) -> float | None:
            report("asking with memory and without", 0, 0)
            with Memory.open(memory or default_memory()) as told:
                return missing_of(bundle, opened, told, questions)

        yield gaps_of(bundle, opened, log, progress=report), missing


def _show_list(console: Console, payload: dict[str, Any]) -> None:
    for gap in payload["gaps"]:
        trend = "rising" if gap["trend"] > 0.2 else "falling" if gap["trend"] < -0.2 else "steady"
        within = f", in the domain of {gap['expert']}" if gap["expert"] else ""
        head = f"{gap['id']}  {gap['name']}: {gap['count']} questions, severity {gap['severity']:.1f}, {trend}{within}"
        say(console, head)
        for question in gap["questions"]:
            say(console, f"      {shorten(question, 100)}")
    alone = f"{payload['alone']} more questions belong to none" if payload["alone"] else ""
    none = "" if payload["gaps"] else f"no gap of {payload['model']} yet: at least five questions of a kind make one"
    if said := "; ".join(filter(None, (none, alone))):
        say(console, said)


def _show(console: Console, gap: dict[str, Any]) -> None:
    say(console, f"{gap['id']}  {gap['name']}: severity {gap['severity']:.1f}, trend {gap['trend']:+.1f}")
    if gap["missing"] is not None:
        say(console, f"with memory beside them, answers are {gap['missing']:.2f} nats an id likelier")
    for one in gap["attempts"]:
        when = datetime.fromtimestamp(one["time"], UTC).strftime("%Y-%m-%d %H:%M")
        right = f"; right: {one['correction']}" if one["correction"] else ""
        said = f"{one['why']}, {one['confidence']:.2f}: {shorten(one['answer'], 60)}{right}"
        say(console, f"{when}  {shorten(one['question'], 100)}\n                  {said}")
