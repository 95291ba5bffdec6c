"""What the commands of ``reverie memory`` share: options, opening a memory, finding nodes and facts by their words."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from reverie.cli.output import Output, printable
from reverie.errors import MemoryStoreError, UsageError, shorten

if TYPE_CHECKING:
    from reverie.memory.contract import Embedder, Node
    from reverie.memory.memory import Memory
    from reverie.memory.store import Store

MemoryOption = Annotated[
    str | None,
    typer.Option(
        "--memory", metavar="URL", help="A file, or postgresql+psycopg://…; else $REVERIE_MEMORY, else a file of yours."
    ),
]
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


# opening --------------------------------------------------------------------------------------------------------


def opened_memory(
    url: str | None, create: bool = False, embedder: Callable[[], Embedder | None] | None = None
) -> Memory:
    """The memory that is named, else the usual one; ``embedder`` makes its vectors, and is asked once it is there."""
    from reverie.memory.memory import Memory
    from reverie.memory.store import Store
    from reverie.paths import default_memory

    place = url or default_memory()
    if embedder is None:
        return Memory.open(place, None, create, compiled=False)
    Store.open(place, create).close()  # one that is not there is said before anything is loaded
    return Memory.open(place, embedder(), create, compiled=False)


def usual_embedder(out: Output, name: str | None) -> Embedder | None:
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


def moment_of(said: str | None) -> float | None:
    """The first moment of a date."""
    span = span_of(said)
    return None if span is None else span[0]


def span_of(said: str | None) -> tuple[float, float] | None:
    from reverie.data.facts.dates import parse_span

    if said is None:
        return None
    try:
        return parse_span(said)
    except ValueError as error:
        raise UsageError(f"{error}.") from error


# finding --------------------------------------------------------------------------------------------------------


def find_nodes(store: Store, name: str) -> list[Node]:
    """The nodes of a name, or the one of #id; MemoryStoreError where there is none."""
    number = name[1:] if name.startswith("#") else ""
    found = store.nodes([int(number)]) if number.isdecimal() and len(number) < 19 else store.find(name)
    if not found:
        raise MemoryStoreError(
            f"the memory has no node '{shorten(name)}'. Try: reverie memory recall '{shorten(name)}'"
        )
    return found


def one_node(store: Store, name: str) -> Node:
    found = find_nodes(store, name)
    if len(found) > 1:
        which = ", ".join(f"#{node.id} ({node.kind} '{shorten(node.name, 30)}')" for node in found[:5])
        raise UsageError(f"'{shorten(name)}' names {len(found)} nodes: {which}. Say which by its #id.")
    return found[0]


def find_edges(store: Store, words: Sequence[str]) -> list[int]:
    """The id that is said, or those of the facts in words, of whatever source."""
    if len(words) == 1:
        number = words[0].removeprefix("#")
        edge = store.edge(int(number)) if number.isdecimal() and len(number) < 19 else None
        if edge is None:
            raise UsageError(f"the memory has no edge '{shorten(words[0])}'. A node is deleted with --node.")
        return [edge.id]
    subjects, objects = ({node.id for node in find_nodes(store, word)} for word in (words[0], words[2]))
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


def confirm(question: str, yes: bool, done: str) -> None:
    """Ask, unless ``yes``. Raises UsageError where nobody sits there, MemoryStoreError where the answer is no."""
    if yes:
        return
    try:
        if not sys.stdin.isatty():  # what comes out of a pipe was not said to this question
            raise typer.Abort
        if typer.confirm(printable(question), err=True):
            return
    except typer.Abort as error:
        raise UsageError(f"nothing was {done}: nobody answered. Say --yes to do it without being asked.") from error
    raise MemoryStoreError(f"nothing was {done}.")
