"""How facts and nodes are told to people, as ``reverie.memory.told`` has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reverie.cli.output import Output
from reverie.errors import shorten

if TYPE_CHECKING:
    from rich.console import Console

    from reverie.data import BadRow

_NEAREST = 3  # of what is told where nothing answers
SHOWN = 20  # malformed rows that are named, and sources that are counted


def tell_bad(out: Output, bad: Sequence[BadRow]) -> None:
    for row in bad[:SHOWN]:
        out.note(f"skipped line {row.line}: {row.problem}")
    if len(bad) > SHOWN:
        out.note(f"skipped {len(bad) - SHOWN:,} more malformed rows")


def say(console: Console, words: str) -> None:
    console.print(words, markup=False, highlight=False)


def in_words(fact: dict[str, Any]) -> str:
    return f"{shorten(fact['subject'], 60)} → {fact['relation']} → {shorten(fact['object'], 80)}"


def when(fact: dict[str, Any]) -> str:
    """The period of a fact, with what parts it from the words before it; "" where nobody said."""
    from reverie.data.facts.dates import told_period

    period = told_period(fact["valid_from"], fact["valid_to"])
    return period and f", {period}"


def said_by(fact: dict[str, Any]) -> str:
    return " ".join(filter(None, (fact["source"], fact["origin"] and f"({shorten(fact['origin'], 30)})")))


def show_import(console: Console, payload: dict[str, Any]) -> None:
    say(
        console,
        f"{payload['rows']:,} rows of {payload['file']}: {payload['new_facts']:,} new facts, "
        f"{payload['changed_facts']:,} changed, {payload['new_nodes']:,} new nodes"
        + (f"; {payload['ended_facts']:,} that it says no longer have ended" if payload["ended_facts"] else "")
        + (f"; {payload['bad_rows']:,} malformed rows skipped" if payload["bad_rows"] else "")
        + (f"; {payload['resumed']:,} rows were there from an earlier run" if payload["resumed"] else ""),
    )
    console.print(
        f"{payload['seconds']:.1f} s, {payload['rows_per_s']:,.0f} rows a second, in {payload['memory']}",
        style="dim",
        highlight=False,
        markup=False,
    )


def show_recalled(console: Console, payload: dict[str, Any]) -> None:
    """What is told, with the probability that it holds the answer; of a question that nothing answers, the nearest."""
    if not payload["answered"]:
        say(console, "The memory has nothing to say about this.")
    if payload["told"] and not payload["answered"]:
        console.print("nearest to it, and hardly an answer:", style="dim", highlight=False)
    facts, nodes = ({one["id"]: one for one in payload[name]} for name in ("facts", "nodes"))
    for told in payload["told"] if payload["answered"] else payload["told"][:_NEAREST]:
        _show_told(console, facts.get(told.get("fact")) or nodes[told["node"]], told["probability"])
    if not payload["answered"]:
        return
    for chain in payload["chains"]:
        if len(chain["facts"]) > 1:
            say(console, f"{chain['score']:.2f}  chain: {'; '.join(in_words(fact) for fact in chain['facts'])}")
    console.print(f"{payload['seconds'] * 1000:.0f} ms", style="dim", highlight=False)


def _show_told(console: Console, one: dict[str, Any], probability: float) -> None:
    if "relation" in one:
        say(console, f"{probability:.2f}  {in_words(one)}{when(one)}  [{said_by(one)}]")
        console.print(f"      {shorten(one['reason'], 160)}", style="dim", markup=False, highlight=False)
    else:
        said = f"{one['kind']} '{shorten(one['name'], 60)}': {shorten(one['text'], 160)}"
        say(console, f"{probability:.2f}  {said}" + (f"  [{one['source']}]" if one.get("source") else ""))


def show_nodes(console: Console, nodes: Sequence[dict[str, Any]]) -> None:
    for node in nodes:
        console.print(f"[bold]#{node['id']}[/] {node['kind']} ", end="", highlight=False)
        say(console, node["name"] + (f"  also {', '.join(node['aliases'])}" if node["aliases"] else ""))
        if node["text"]:
            say(console, f"  {shorten(node['text'], 400)}")
        for title, key in (("from it", "out"), ("to it", "in"), ("said before", "history")):
            if node[key]:
                console.print(f"  {title}", style="cyan")
            for fact in node[key]:
                told = f"{in_words(fact)}{when(fact)}  {fact['confidence']:.2f}  {said_by(fact)}"
                say(console, f"    {fact['id']:>6}  {told}")
        shown = len(node["out"]) + len(node["in"])
        if shown < node["num_facts"]:
            console.print(f"  and {node['num_facts'] - shown:,} more; see --limit", style="dim", highlight=False)


def show_history(console: Console, payload: dict[str, Any]) -> None:
    """A little timeline: what holds now is marked."""
    many = f"one value at a time ({payload['why']})" if payload["one_at_a_time"] else "many values at a time"
    say(console, f"{payload['subject']} — {payload['relation']}: {many}")
    width = max((len(when(fact)) for fact in payload["facts"]), default=0)
    for fact in payload["facts"]:
        mark = "●" if fact["holds"] else "○"
        said = f"{fact['confidence']:.2f}  {said_by(fact)}" + (f"  {fact['reason']}" if fact["reason"] else "")
        say(console, f"  {mark} {when(fact)[2:] or 'always':<{width}} {shorten(fact['object'], 60)}  {said}")
    for fact in payload["said_before"]:
        console.print(
            f"  · said before: {shorten(fact['object'], 60)}{when(fact)}  {fact['confidence']:.2f}  {said_by(fact)}",
            style="dim",
            markup=False,
            highlight=False,
        )


def show_relations(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    for row in rows:
        held = "one value at a time" if row["one_at_a_time"] else "many"
        why = {"usual": "where dated, as usual"}.get(row["why"], row["why"])
        count = f"{row['facts']:>9,}  " if "facts" in row else ""
        say(console, f"{count}{row['relation']}: {held}" + (f" ({why})" if why else ""))


def show_stats(console: Console, payload: dict[str, Any]) -> None:
    for name, value in payload.items():
        if isinstance(value, dict):
            said = ", ".join(f"{shorten(str(key), 40)} {count:,}" for key, count in list(value.items())[:SHOWN])
            said += f" and {len(value) - SHOWN:,} more" if len(value) > SHOWN else ""
        else:
            said = (
                f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
            )
        say(console, f"{name.replace('_', ' '):<17}{said}")
