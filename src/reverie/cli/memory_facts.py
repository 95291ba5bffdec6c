"""The commands of ``reverie memory`` about single facts and nodes, and how they change."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from reverie.cli.facts import in_words, say, show_history, show_relations, when
from reverie.cli.memory_parts import (
    KindOption,
    MemoryOption,
    confirm,
    find_edges,
    one_node,
    opened_memory,
    span_of,
)
from reverie.cli.options import JsonOption, command_app, examples
from reverie.cli.output import Output
from reverie.errors import UsageError, shorten
from reverie.memory.told import fields_of

app = command_app()
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")]


@app.command(
    epilog=examples(
        'reverie memory add egg HasProperty "breaks when dropped" --source me',
        "reverie memory add Alice AtLocation Paris --from 2024-05 --to 2025",
        "reverie memory add Rome CapitalOf Italy --confidence 0.9 --origin atlas --json",
        'reverie memory add -- "-5 degrees" IsA cold',
    )
)
def add(
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Its nodes are made where they are missing.")],
    relation: Annotated[str, typer.Argument(metavar="RELATION", help="What joins them.")],
    object_: Annotated[str, typer.Argument(metavar="OBJECT", help="What the subject is joined to.")],
    source: Annotated[str, typer.Option("--source", help="Who says so.")] = "user",
    confidence: Annotated[float, typer.Option("--confidence", help="How far to trust it, from 0 to 1.")] = 1.0,
    begins: Annotated[
        str | None,
        typer.Option("--from", "--time", metavar="DATE", help="Since when it holds: 2024, 2024-05, 2024-05-01."),
    ] = None,
    ends: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="Until when, that year, month or day included.")
    ] = None,
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
            first, last = span_of(begins), span_of(ends)
            row = FactRow(
                *(subject, relation, object_, subject_kind, object_kind, source, confidence),
                origin=origin,
                valid_from=first[0] if first else None,
                valid_to=last[1] if last else None,
            )
            checked(row)
        except ValueError as error:
            raise UsageError(f"{error}.") from error
        with opened_memory(memory, create=True) as opened:
            written = opened.write([row])
            fact = opened.store.facts(written.edges.tolist())[0]
        what = "new" if written.new_edges else "changed" if written.changed_edges else "unchanged"
        told: dict[str, Any] = fields_of(fact)
        payload = {"fact": told, "what": what}
        said = f"{in_words(told)}{when(told)}  ({what}, edge {fact.id})"
        out.result(payload, lambda console: say(console, said))


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
    yes: YesOption = False,
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a fact, by its id or its words, or a node with its facts; their history stays readable."""
    if bool(words) == bool(node) or (words and len(words) not in (1, 3)):
        raise UsageError("name an edge's id, or a subject, relation and object, or a node with --node.")
    with Output(as_json) as out, opened_memory(memory) as opened:
        store = opened.store
        if node:
            found = one_node(store, node)
            facts = len(store.edges_of(found.id))
            confirm(f"Delete the node '{shorten(found.name)}' and its {facts} facts?", yes, "deleted")
            payload = {"deleted_facts": store.delete_node(found.id), "deleted_nodes": 1}
        else:
            edges = find_edges(store, words or [])
            lines = "; ".join(in_words(fields_of(fact)) for fact in store.facts(edges))
            confirm(f"Delete {lines}?", yes, "deleted")
            payload = {"deleted_facts": store.delete_edges(edges), "deleted_nodes": 0}
        said = f"{payload['deleted_facts']} facts and {payload['deleted_nodes']} nodes deleted"
        out.result(payload, lambda console: say(console, said))


@app.command(
    epilog=examples(
        "reverie memory merge NYC 'New York City' 'the Big Apple'", "reverie memory merge '#3' '#9' --yes --json"
    )
)
def merge(
    into: Annotated[str, typer.Argument(metavar="INTO", help="The node that stays: its name, or #id.")],
    others: Annotated[list[str], typer.Argument(metavar="OTHER...", help="Their names become its aliases.")],
    yes: YesOption = False,
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make one node of several that mean the same: facts move, names become aliases. See "memory undo"."""
    with Output(as_json) as out, opened_memory(memory) as opened:
        store = opened.store
        stays, gone = one_node(store, into), [one_node(store, other) for other in others]
        if set(gone) <= {stays}:
            raise UsageError(f"'{shorten(into)}' is that node already: there is nothing to merge.")
        facts = sum(len(store.edges_of(node.id)) for node in gone)
        names = ", ".join(f"'{shorten(node.name)}'" for node in gone)
        confirm(f"Merge {names} with {facts} facts into '{shorten(stays.name)}'?", yes, "merged")
        moved = store.merge(stays.id, [node.id for node in gone])
        now = store.node(stays.id) or stays
        payload = {"node": fields_of(now), "moved_facts": moved}
        out.result(
            payload,
            lambda console: say(console, f"#{now.id} {now.name}, also {', '.join(now.aliases)}; {moved} facts moved"),
        )


@app.command(epilog=examples("reverie memory undo", "reverie memory undo --json"))
def undo(memory: MemoryOption = None, as_json: JsonOption = False) -> None:
    """Take the last merge back, and say what was written since and stays as it is."""
    with Output(as_json) as out, opened_memory(memory) as opened:
        done = opened.store.undo_merge()
        into, *others = opened.store.nodes([done.into, *done.nodes])
        payload = {
            "node": fields_of(into),
            "nodes": [fields_of(node) for node in others],
            "facts": done.edges,
            "kept_facts": done.kept,
            "kept_names": done.renamed,
        }
        said = f"{', '.join(node.name for node in others)} stands beside {into.name} again; {done.edges} facts are back"
        if done.kept:
            said += f"; {done.kept} facts were written since and stay as they are"
        if done.renamed:
            said += f"; what was written since of {into.name} itself stays"
        out.result(payload, lambda console: say(console, said))


@app.command(
    epilog=examples("reverie memory history Alice AtLocation", "reverie memory history Alice AtLocation --json")
)
def history(
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="A node's name or alias, or #id.")],
    relation: Annotated[str, typer.Argument(metavar="RELATION", help="What joins it to its values.")],
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """What a subject's relation was, is and will be: each value with its period, its source, and how it stands now."""
    with Output(as_json) as out, opened_memory(memory) as opened:
        from reverie.memory.history import history_of

        node = one_node(opened.store, subject)
        told = history_of(opened.store, opened.times, node.id, relation)
        if not told.facts and not told.before:
            known = ", ".join(told.others[:8]) or "nothing at all"
            raise UsageError(f"nothing is said of '{shorten(relation)}' of {shorten(node.name)}; of {known} it is.")
        payload: dict[str, Any] = {
            "subject": node.name,
            "relation": told.relation,
            "one_at_a_time": told.one,
            "why": told.why,
            "facts": [fields_of(fact) for fact in told.facts],
            "said_before": [fields_of(fact) for fact in told.before],
        }
        out.result(payload, lambda console: show_history(console, payload))


@app.command(epilog=examples("reverie memory relations", "reverie memory relations --json"))
def relations(memory: MemoryOption = None, as_json: JsonOption = False) -> None:
    """List the relations, how many facts each has, and which hold one value at a time, and why."""
    with Output(as_json) as out, opened_memory(memory) as opened:
        opened.times.refresh(opened.store)
        counts = opened.store.count_by_relation()
        rows = [
            {"relation": mode.name, "facts": counts.get(mode.name, 0), "one_at_a_time": mode.one, "why": mode.why}
            for mode in opened.store.relation_modes()
        ]
        rows.sort(key=lambda row: -counts.get(str(row["relation"]), 0))
        out.result({"relations": rows}, lambda console: show_relations(console, rows))


@app.command(epilog=examples("reverie memory relation Price --one", "reverie memory relation AtLocation --many --json"))
def relation(
    name: Annotated[str, typer.Argument(metavar="RELATION", help="As the facts have it.")],
    one: Annotated[
        bool | None, typer.Option("--one/--many", help="A subject has one value at a time, or many.")
    ] = None,
    learned: Annotated[bool, typer.Option("--learned", help="As the facts show: forget what was declared.")] = False,
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Declare whether a relation holds one value at a time: there the newest trusted one ends the one before it."""
    if (one is None) == (not learned):
        raise UsageError("say one of --one, --many and --learned.")
    with Output(as_json) as out, opened_memory(memory) as opened:
        mode = opened.store.declare_relation(name, one)
        payload = {"relation": mode.name, "one_at_a_time": mode.one, "why": mode.why}
        out.result(payload, lambda console: show_relations(console, [payload]))
