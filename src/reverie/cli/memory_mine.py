"""``reverie memory mine``: facts out of what a teacher said."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reverie.cli.facts import say
from reverie.cli.memory_parts import MemoryOption, opened_memory
from reverie.cli.options import JsonOption, command_app, examples
from reverie.cli.output import Output
from reverie.memory.told import fields_of

app = command_app()


@app.command(
    epilog=examples(
        "reverie memory mine distilled/traces.jsonl",
        "reverie memory mine distilled/traces.jsonl --memory kg.db --confidence 0.2 --json",
        "reverie memory documents delete teacher:llama:model.gguf",
    )
)
def mine(
    traces: Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="Traces, as reverie distill leaves them.")],
    confidence: Annotated[float, typer.Option("--confidence", help="How far to trust them, from 0 to 1.")] = 0.3,
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read facts out of a teacher's replies, with teacher:NAME for their source; they can be deleted together."""
    with Output(as_json) as out:
        from reverie.teachers import mine as mine_traces
        from reverie.teachers import read_traces

        read = list(read_traces(traces))
        with opened_memory(memory, create=True) as opened:
            mined = mine_traces(read, opened, confidence)
            payload = {"memory": opened.address, **fields_of(mined)}
        who = ", ".join(mined.sources) or "nobody"
        read_in = f"{mined.sentences:,} sentences of {mined.replies:,} replies"
        said = f"{mined.facts:,} facts ({mined.new:,} new) in {read_in}, said by {who}"
        out.result(payload, lambda console: say(console, said))
