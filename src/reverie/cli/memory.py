"""``reverie memory``: fill the knowledge graph, ask it, mend it, draw it, take it elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reverie.cli import memory_facts, memory_mine
from reverie.cli.facts import say, show_nodes, show_recalled, show_stats
from reverie.cli.memory_documents import IMPORT_EPILOG, import_
from reverie.cli.memory_documents import app as documents_app
from reverie.cli.memory_parts import (
    AsOfOption,
    EmbedderOption,
    MemoryOption,
    NodeName,
    Question,
    find_nodes,
    moment_of,
    opened_memory,
    span_of,
    usual_embedder,
)
from reverie.cli.options import JsonOption, command_app, examples
from reverie.cli.output import Output
from reverie.errors import UsageError
from reverie.memory.told import node_fields, recalled_fields
from reverie.progress import shown_progress

RecallAsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="DATE", help="What held then: 2024, 2024-06 or 2024-06-01. [default: now]"),
]
app = command_app(no_args_is_help=True)


@app.callback()
def memory() -> None:
    """The knowledge graph that dreams rest on: import, recall, show, add, history, delete, merge, export, draw."""


app.command("import", epilog=IMPORT_EPILOG)(import_)
app.add_typer(documents_app, name="documents")


@app.command(
    epilog=examples(
        'reverie memory recall "what do you need to make breakfast"',
        'reverie memory recall "Who is the mother of the director of Polish-Russian War?" -k 5 --json',
        'reverie memory recall "Where is Alice?" --as-of 2024-06-01',
    )
)
def recall(
    question: Question,
    as_of: RecallAsOf = None,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many facts, and how many nodes.")] = 10,
    embedder: EmbedderOption = None,
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """What the memory has to say about a question: facts with sources, scores and reasons; chains; passages.

    A question that names a time, as "in 2024" does, is answered for it.
    """
    span = span_of(as_of)
    with Output(as_json) as out, opened_memory(memory, embedder=lambda: usual_embedder(out, embedder)) as opened:
        with shown_progress() as report:
            found = opened.recall(question, k, progress=report, as_of=span)
        payload = recalled_fields(found) | {"memory": opened.address}
        out.result(payload, lambda console: show_recalled(console, payload))


@app.command(
    epilog=examples(
        "reverie memory show breakfast",
        "reverie memory show '#12' --as-of 2026-01-31 --limit 5 --json",
    )
)
def show(
    node: NodeName,
    as_of: AsOfOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most facts of a node.")] = 50,
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the nodes of a name: aliases, words, facts from and to them, and what was said before."""
    with Output(as_json) as out, opened_memory(memory) as opened:
        moment = moment_of(as_of)
        payload = {"nodes": [node_fields(opened.store, one, moment, limit) for one in find_nodes(opened.store, node)]}
        out.result(payload, lambda console: show_nodes(console, payload["nodes"]))


app.registered_commands += memory_facts.app.registered_commands
app.registered_commands += memory_mine.app.registered_commands


@app.command(
    epilog=examples(
        "reverie memory export facts.csv",
        "reverie memory export graph.graphml --as-of 2026-01-31",
        "reverie memory export dump.txt --format jsonl --json",
    )
)
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; an old one is replaced when done.")],
    format: Annotated[
        str | None, typer.Option("--format", metavar="NAME", help="csv, jsonl or graphml; else as FILE ends.")
    ] = None,
    as_of: AsOfOption = None,
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write all facts and nodes to a file; CSV and JSON Lines can be imported again."""
    with Output(as_json) as out, opened_memory(memory) as opened:
        from reverie.memory.exchange import export as write_all

        if file.is_dir():
            raise UsageError(f"{file} is a folder where a file is needed. Name another.")
        moment = moment_of(as_of)
        with shown_progress() as report:
            kind = format or file.suffix.lstrip(".").lower()
            facts, nodes = write_all(opened.store, file, kind, moment, report)
        payload = {"file": file, "facts": facts, "nodes": nodes, "bytes": file.stat().st_size}
        out.result(payload, lambda console: say(console, f"{facts:,} facts, {nodes:,} nodes in {file}"))


@app.command(epilog=examples("reverie memory index", "reverie memory index --embedder minilm --no-facts --json"))
def index(
    facts: Annotated[
        bool, typer.Option("--facts/--no-facts", help="Vectors of facts, too, not of nodes alone.")
    ] = True,
    embedder: EmbedderOption = None,
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the vectors of all that is new now, instead of a few at each recall. Can be stopped and gone on with."""
    with Output(as_json) as out, opened_memory(memory, embedder=lambda: usual_embedder(out, embedder)) as opened:
        import time

        started = time.perf_counter()
        with shown_progress() as report:
            opened.index(report, facts)
        name = opened.embedder.name if opened.embedder is not None else None
        payload = {"memory": opened.address, "embedder": name, "seconds": time.perf_counter() - started}
        out.result(payload, lambda console: say(console, f"all is indexed by {name or 'names'}"))


@app.command(epilog=examples("reverie memory stats", "reverie memory stats --memory kg.db --json"))
def stats(memory: MemoryOption = None, as_json: JsonOption = False) -> None:
    """Say where the memory lies and what is in it."""
    with Output(as_json) as out, opened_memory(memory) as opened:
        payload = {"memory": opened.address, **opened.store.stats()}
        payload.pop("url", None)
        out.result(payload, lambda console: show_stats(console, payload))


@app.command(epilog=examples("reverie memory check", "reverie memory check --memory kg.db --json"))
def check(memory: MemoryOption = None, as_json: JsonOption = False) -> None:
    """Check that the memory is sound; exit code 1 and a line for each problem where it is not."""
    with Output(as_json) as out, opened_memory(memory) as opened:
        problems = opened.store.check()
        payload = {"memory": opened.address, "sound": not problems, "problems": problems}
        out.result(payload, lambda console: say(console, "\n".join(problems) or f"{payload['memory']} is sound"))
    if problems:
        raise typer.Exit(1)


@app.command(epilog=examples('reverie memory draw "what do you need to make breakfast" --save breakfast.png'))
def draw(
    question: Question,
    save: Annotated[Path, typer.Option("--save", metavar="FILE.png", help="The picture to write.")],
    k: Annotated[int, typer.Option("-k", min=1, max=200, help="How many facts.")] = 25,
    nodes: Annotated[int, typer.Option("--nodes", min=2, max=100, help="Most nodes.")] = 30,
    as_of: RecallAsOf = None,
    embedder: EmbedderOption = None,
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the facts that a question recalls: what it names is framed, what matters more is thicker.

    With --as-of, those that held then.
    """
    span = span_of(as_of)
    if save.suffix.lower() != ".png":
        raise UsageError(f"{save} must end in .png.")
    with Output(as_json) as out, opened_memory(memory, embedder=lambda: usual_embedder(out, embedder)) as opened:
        from reverie.drawing import png_bytes
        from reverie.files import atomic_write_bytes
        from reverie.memory.draw import draw_graph, graph_of
        from reverie.memory.linking import link_question

        with shown_progress() as report:
            found = opened.recall(question, k, progress=report, as_of=span)
        if span is not None:
            found = found.holding()
        start_nodes = [link.node for link in link_question(question, opened.names, opened.store)]
        graph = graph_of(opened.store, found, start_nodes, nodes)
        picture = draw_graph(graph, question, f"{len(graph.arrows)} facts, {len(graph.boxes)} nodes")
        atomic_write_bytes(save, png_bytes(picture))
        payload = {"file": save, "width": picture.width, "height": picture.height, **recalled_fields(found)}
        said = f"{len(graph.boxes)} nodes and {len(graph.arrows)} facts in {save}"
        out.result(payload, lambda console: say(console, said))
