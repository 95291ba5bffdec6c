"""``reverie memory import`` and ``reverie memory documents``: files into the memory, listed, shown and deleted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli.facts import SHOWN, say, show_import, tell_bad
from reverie.cli.memory_parts import MemoryOption, confirm, opened_memory
from reverie.cli.options import JsonOption, command_app, examples
from reverie.cli.output import Output
from reverie.errors import UsageError, shorten
from reverie.memory.told import fields_of
from reverie.progress import shown_progress

if TYPE_CHECKING:
    from rich.console import Console

    from reverie.data import BadRow
    from reverie.memory.memory import Memory

__all__ = ["IMPORT_EPILOG", "app", "import_"]

app = command_app(no_args_is_help=True)

_Named = Annotated[str, typer.Argument(metavar="DOCUMENT", help="Its path, file name or title, or #id.")]

IMPORT_EPILOG = examples(
    "reverie memory import train.txt --format conceptnet",
    "reverie memory import facts.csv --strict --memory kg.db",
    "reverie memory import notes.md",
    "reverie memory import papers/ --prune --embedder minilm --json",
)


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file or folder to read; .gz is unpacked.")],
    format: Annotated[
        str | None, typer.Option("--format", metavar="NAME", help="How it is written; guessed where not said.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Write nothing if a row is malformed, instead of skipping it.")
    ] = False,
    language: Annotated[
        list[str] | None, typer.Option("--language", help="Of ConceptNet 5: a language to read, or all. [default: en]")
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Of a folder: forget its documents whose files are gone.")
    ] = False,
    embedder: Annotated[
        str | None,
        typer.Option("--embedder", metavar="NAME", help="Make the vectors of documents now; see memory recall --help."),
    ] = None,
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write what a file says into the memory; of a changed file, what it says now instead.

    Documents (text, Markdown, HTML, PDF; a folder of them) become passages. A file of facts that was stopped
    half-way is gone on with by the same command. Formats: atomic, conceptnet, csv, html, jsonl, pdf, text,
    visual-genome, wordnet.
    """
    with Output(as_json) as out:
        from reverie.data import guess_reader, make_reader
        from reverie.memory.documents import DOCUMENT_FORMATS
        from reverie.memory.embedders import make_embedder

        name = format or guess_reader(file)
        settings = _reader_settings(name, language)
        make_reader(name, **settings)  # an unknown name is said before any work
        documents = name in DOCUMENT_FORMATS
        if prune and not (documents and file.is_dir()):
            raise UsageError("--prune is for folders of documents.")
        if format is None and not file.is_dir():
            out.note(f"reading {file} as {name}")
        makes = partial(make_embedder, embedder) if embedder and embedder != "none" and documents else None
        with opened_memory(memory, create=True, embedder=makes) as opened:
            if documents:
                payload = _documents(out, opened, file, format, strict, prune)
                out.result(payload, lambda console: _show_documents(console, payload))
            else:
                payload = _rows(out, opened, file, name, strict, settings)
                out.result(payload, lambda console: show_import(console, payload))


def _documents(
    out: Output, opened: Memory, file: Path, format: str | None, strict: bool, prune: bool
) -> dict[str, Any]:
    notes: list[str] = []
    try:
        with shown_progress() as progress:
            done = opened.load(
                file, format or "text" * file.is_dir() or None, strict=strict, prune=prune, on_note=notes.append,
                progress=progress,
            )  # fmt: skip
    except KeyboardInterrupt:
        out.note("the documents that were read are in the memory; the same command goes on from there.")
        raise
    finally:
        for note in notes[:SHOWN]:
            out.note(note)
        if len(notes) > SHOWN:
            out.note(f"and {len(notes) - SHOWN:,} more notes like these")
    if opened.embedder is None and vars(done)["new_passages"]:
        out.note("found by their words from now on; for vectors, too: reverie memory index")
    return {"memory": opened.address, "file": file, "format": "documents", **fields_of(done), "notes": notes[:SHOWN]}


def _rows(out: Output, opened: Memory, file: Path, name: str, strict: bool, settings: dict[str, Any]) -> dict[str, Any]:
    from reverie.memory.exchange import import_file

    bad: list[BadRow] = []
    told = 0
    try:
        with shown_progress() as report:

            def progress(what: str, done: int, of: int) -> None:
                nonlocal told
                told = done if of else 0
                report(f"{what} rows", done, of)

            done = import_file(
                opened.store, file, name, strict=strict, on_bad=bad.append, progress=progress, **settings
            )
    except KeyboardInterrupt:
        out.note(f"{told:,} rows are in the memory; the same command goes on from there.")
        raise
    finally:
        tell_bad(out, bad if not strict else [])
    rate = (done.rows - done.resumed) / max(done.seconds, 1e-9)
    payload = {"memory": opened.address, "file": file, "format": name, **fields_of(done)}
    return payload | {"rows_per_s": rate, "bad": [fields_of(row) for row in bad[:SHOWN]]}


@app.callback()
def documents() -> None:
    """The files that were imported: list, show, delete."""


@app.command("list", epilog=examples("reverie memory documents list", "reverie memory documents list --json"))
def list_(memory: MemoryOption = None, as_json: JsonOption = False) -> None:
    """List the files that were imported, with how much the memory has of each."""
    with Output(as_json) as out, opened_memory(memory) as opened:
        found = opened.documents.list()
        told = [fields_of(one) for one in found]
        out.result({"memory": opened.address, "documents": told}, lambda console: _show_list(console, told))


@app.command(
    epilog=examples("reverie memory documents show notes.md", "reverie memory documents show '#3' --limit 5 --json")
)
def show(
    document: _Named,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most passages.")] = 20,
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a document: where it lies, when it was read, and its passages in order."""
    with Output(as_json) as out, opened_memory(memory) as opened:
        found = opened.documents.find(document)
        passages = opened.documents.passages(found.id)
        payload = fields_of(found) | {"shown": [fields_of(node) for node in passages[:limit]]}
        out.result(payload, lambda console: _show_document(console, payload))


@app.command(
    epilog=examples("reverie memory documents delete notes.md", "reverie memory documents delete '#3' --yes --json")
)
def delete(
    document: _Named,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")] = False,
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget a document: its passages, their vectors and links, and the facts that no other document says."""
    with Output(as_json) as out, opened_memory(memory) as opened:
        found = opened.documents.find(document)
        confirm(f"Delete {found.source} ({found.passages:,} passages, {found.facts:,} facts)?", yes, "deleted")
        passages, facts = opened.documents.delete(found.id)
        payload = {"source": found.source, "deleted_passages": passages, "deleted_facts": facts}
        out.result(payload, lambda console: say(console, f"{passages:,} passages and {facts:,} facts deleted"))


def _reader_settings(format: str, languages: Sequence[str] | None) -> dict[str, Any]:
    if not languages:
        return {}
    if format != "conceptnet":
        raise UsageError(f"--language is for conceptnet, not for {format}.")
    return {"languages": tuple(languages)}


def _show_documents(console: Console, payload: dict[str, Any]) -> None:
    count = sum(payload[name] for name in ("new", "changed", "unchanged"))
    if count == 1 and payload["unchanged"]:
        say(console, f"{payload['file']} is as it was imported: nothing to do")
    else:
        said = ", ".join(f"{payload[name]:,} {name}" for name in ("new", "changed", "unchanged") if payload[name])
        passages = f"{payload['new_passages']:,} new passages"
        for name, word in (("kept_passages", "as they were"), ("removed_passages", "removed")):
            passages += f", {payload[name]:,} {word}" if payload[name] else ""
        say(console, f"{count:,} document{'s' * (count != 1)} of {payload['file']}: {said or 'none'}; {passages}")
    if payload["failed"]:
        say(console, f"{len(payload['failed']):,} files could not be read")
    if payload["pruned"]:
        say(console, f"{payload['pruned']:,} whose files are gone were forgotten")
    console.print(f"{payload['seconds']:.1f} s, in {payload['memory']}", style="dim", highlight=False, markup=False)


def _show_list(console: Console, found: Sequence[dict[str, Any]]) -> None:
    if not found:
        say(console, "No file was imported yet. Import one: reverie memory import FILE")
    for one in found:
        say(console, f"#{one['id']:<4} {shorten(one['title'], 40):<40}  {_amount(one)}  {one['source']}")


def _show_document(console: Console, one: dict[str, Any]) -> None:
    say(console, f"#{one['id']} {one['title']}")
    say(console, f"  {one['source']}, {one['kind']}, {one['size']:,} bytes, read {_date(one['time'])}: {_amount(one)}")
    for number, passage in enumerate(one["shown"], 1):
        say(console, f"  {number:>4}  {shorten(passage['name'], 60)}: {shorten(passage['text'], 160)}")
    if len(one["shown"]) < one["passages"]:
        more = one["passages"] - len(one["shown"])
        console.print(f"  and {more:,} more passages; see --limit", style="dim", highlight=False)


def _amount(one: dict[str, Any]) -> str:
    return f"{one['facts']:,} facts" if one["facts"] else f"{one['passages']:,} passages"


def _date(moment: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
