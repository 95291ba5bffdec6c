"""``reverie logs``: the talks that were had on this machine; look at them, search them, take them elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli.options import JsonOption, command_app, examples
from reverie.cli.output import Output
from reverie.errors import UsageError, shorten

if TYPE_CHECKING:
    from rich.console import Console

app = command_app(invoke_without_command=True)

_Limit = Annotated[int, typer.Option("--limit", min=1, help="How many, the newest first.")]
_Id = Annotated[int, typer.Argument(metavar="ID", help="A talk's number, as `reverie logs` lists it.")]


@app.callback(
    epilog=examples("reverie logs", "reverie logs show 3", "reverie logs search glass", "reverie chat --talk 3")
)
def logs(context: typer.Context, limit: _Limit = 20, as_json: JsonOption = False) -> None:
    """List the talks of "reverie chat"; or show, search, delete, export them."""
    if context.invoked_subcommand is not None:
        return
    with Output(as_json) as out:
        from reverie.talks import TalkLog

        with TalkLog() as log:
            talks = [vars(talk) for talk in log.talks(limit)]
        out.result({"talks": talks}, lambda console: _show_talks(console, talks))


@app.command(epilog=examples("reverie logs show 3", "reverie logs show 3 --json"))
def show(talk: _Id, as_json: JsonOption = False) -> None:
    """Show a talk, turn by turn."""
    with Output(as_json) as out:
        from reverie.talks import TalkLog

        with TalkLog() as log:
            payload = vars(log.talk(talk)) | {"turns": [vars(turn) for turn in log.turns(talk)]}
        out.result(payload, lambda console: _show_turns(console, payload["turns"]))


@app.command(epilog=examples("reverie logs search drop glass", "reverie logs search Lyon --limit 3 --json"))
def search(
    words: Annotated[list[str], typer.Argument(help="What questions or answers must hold, also as parts of words.")],
    limit: _Limit = 20,
    as_json: JsonOption = False,
) -> None:
    """Find turns that hold all of these words."""
    with Output(as_json) as out:
        from reverie.talks import TalkLog

        with TalkLog() as log:
            turns = [vars(turn) for turn in log.search(" ".join(words), limit)]
        out.result({"turns": turns}, lambda console: _show_turns(console, turns, talks=True))


@app.command(epilog=examples("reverie logs delete 3"))
def delete(talk: _Id, as_json: JsonOption = False) -> None:
    """Delete a talk with all that was said in it."""
    with Output(as_json) as out:
        from reverie.talks import TalkLog

        with TalkLog() as log:
            gone = log.talk(talk)
            log.remove(talk)
        payload = {"deleted": gone.id, "turns": gone.num_turns}
        out.result(payload, lambda _: out.note(f"talk {gone.id} with {gone.num_turns} turns is deleted"))


@app.command(epilog=examples("reverie logs export judged.jsonl --judged", "reverie logs export all.jsonl"))
def export(
    file: Annotated[Path, typer.Argument(help="JSON lines, one a turn.")],
    judged: Annotated[bool, typer.Option("--judged", help="Only what somebody called good or wrong.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write all turns as JSON lines, with what was said of them: what can be learned from."""
    with Output(as_json) as out:
        from reverie.files import atomic_write_text
        from reverie.talks import TalkLog

        if file.exists():
            raise UsageError(f"{file} is there already: name another file")
        with TalkLog() as log:
            turns = log.all_turns(judged)
        atomic_write_text(file, "".join(f"{json.dumps(vars(turn), ensure_ascii=False)}\n" for turn in turns))
        out.result({"file": file, "turns": len(turns)}, lambda _: out.note(f"{len(turns)} turns in {file}"))


def _show_talks(console: Console, talks: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    if not talks:
        console.print("There are no talks yet: reverie chat")
        return
    table = Table.grid(padding=(0, 2))
    for talk in talks:
        begun = talk["begun"].replace("T", " ")[:16]
        turns = f"{talk['num_turns']} turn{'s' * (talk['num_turns'] != 1)}"
        told = Text(shorten(talk["opening"], 40))
        table.add_row(Text(str(talk["id"]), style="bold"), Text(begun, style="dim"), talk["model"], turns, told)
    console.print(table)


def _show_turns(console: Console, turns: list[dict[str, Any]], talks: bool = False) -> None:
    from rich.text import Text

    for turn in turns:
        where = f"talk {turn['talk']}, {turn['at'][:10]}: " if talks else ""
        console.print(Text(f"{where}> {turn['question']}", style="dim"))
        console.print(Text(turn["answer"], style="bold" if turn["known"] else "bold yellow"))
        said = f"; {turn['feedback']}" if turn["feedback"] else ""
        said += f": {turn['correction']}" if turn["correction"] else ""
        known = "known" if turn["known"] else "not known"
        console.print(Text(f"confidence {turn['confidence']:.2f} ({known}), by {turn['model']}{said}\n", style="dim"))
