"""How an answer is shown to people: its words, how sure it is, who spoke and why, its dreams, what it rests on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reverie.errors import shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.text import Text

    from reverie.dreaming import Session
    from reverie.nouns import Answer, Dream, Fact, Sentence, Verdict

__all__ = [
    "show_answer",
    "show_checks",
    "show_confidence",
    "show_dreams",
    "show_evidence",
    "show_experts",
    "show_sentences",
    "show_winner",
]

SHOWN_FACTS = 5  # of the evidence, and those that the answer cites; --json gives all
_GUESSED = 200  # characters of a guess
_OPENINGS = frozenset("the a an it they yes no there nothing you".split())  # words with a capital for no other reason
_PASSAGE = 160  # characters of one that are shown


def show_answer(console: Console, answer: Answer, said: str = "") -> None:
    """The words, where they were not ``said`` already, and what is to be known about them."""
    from rich.text import Text

    if said != answer.text:
        console.print(Text(answer.text, style="bold" if answer.known else "bold yellow"))
    if answer.guess and not answer.known and answer.guess[1:].rstrip(".") not in answer.text:  # it may be said already
        console.print(Text(f"not sure: {_in_doubt(answer.guess)}", style="yellow"))
    show_confidence(console, answer, f"worded by {answer.backend}, by {answer.model}, {answer.seconds:.1f} s")
    if answer.why:
        console.print(answer.why, style="dim", markup=False, highlight=False)


def _in_doubt(guess: str) -> str:
    """The first sentence of a guess, as one that goes on."""
    first = shorten(re.split(r"(?<=[.!?])\s", guess, maxsplit=1)[0], _GUESSED).rstrip(".")
    return f"{first[0].lower()}{first[1:]}" if first.split()[0].lower().rstrip(",") in _OPENINGS else first


def show_confidence(console: Console, answer: Answer, more: str) -> None:
    """One line: how sure, whether that is enough, and ``more``."""
    sure = "known" if answer.known else "not known"
    console.print(f"confidence {answer.confidence:.2f} ({sure}), {more}", style="dim", markup=False)


def show_checks(console: Console, answer: Answer) -> None:
    """What had to hold before it could be known, in words, what failed first."""
    from rich.text import Text

    if answer.checks:
        console.print("\nChecks:", style="dim")
    for check in sorted(answer.checks, key=lambda one: one.held):
        told = Text("  held    " if check.held else "  failed  ", style="dim" if check.held else "bold yellow")
        console.print(told.append(f"{check.name}: {check.why}", style="dim"))


def show_dreams(console: Console, session: Session, dreams: Sequence[Dream], verdict: Verdict | None) -> None:
    """The winning dream, then the table of all and the verdict; without a verdict the first one, and nobody has won."""
    from reverie.dreaming.arbiter import report

    winner = verdict.branch if verdict else -1
    show_winner(console, session, dreams[max(winner, 0)])
    console.print()
    console.print(report(dreams, winner))
    if verdict:
        console.print(verdict.reason[0].upper() + verdict.reason[1:] + ".", style="dim", markup=False)


def show_winner(console: Console, session: Session, dream: Dream) -> None:
    """A dream in pictures where there are any and the terminal can, one in words as its situation, actions, results."""
    from rich.table import Table
    from rich.text import Text

    from reverie.cli.pictures import show_branch
    from reverie.dreaming.strip import branches_of

    if any(part.frame for triplet in dream.triplets for part in (triplet.what, triplet.result)):
        if console.is_terminal:
            console.print()
        show_branch(console, branches_of([dream], session.decode)[0])
        return
    table = Table.grid(padding=(0, 2))
    for place, triplet in enumerate(dream.triplets):
        rows = {"Situation": triplet.what, "Action": triplet.action, "Result": triplet.result}
        for name, part in list(rows.items())[place > 0 :]:  # a chain goes on where it was
            table.add_row(Text(name, style="dim"), Text(part.text))
    if dream.triplets:
        console.print()
        console.print(table)


def show_experts(console: Console, answer: Answer) -> None:
    """What each expert gave."""
    from rich.text import Text

    if answer.attribution.experts:
        console.print("\nFrom experts:", style="dim")
    for name, gave in answer.attribution.experts.items():
        told = f"weight {gave.weight:.2f}, contribution {gave.contribution:.2f}"
        if gave.left_out:
            told += f"; without it the answer is {gave.left_out.answer:.1f} nats less probable"
        console.print(Text(f"  {name} ").append(f"({told})", style="dim"))


def show_sentences(console: Console, answer: Answer) -> None:
    """What each sentence rests on."""
    from rich.text import Text

    from reverie.dreaming.resting import sentences_of

    console.print("\nSentence by sentence:", style="dim")
    for one in sentences_of(answer):
        console.print(Text(f"  {one.text} ").append(f"({_rests(one)})", style="dim"))


def _rests(one: Sentence) -> str:
    """In a line: a dream and a fact by their numbers, as tables and citations have them."""
    dreams = [f"dream {', '.join(str(place + 1) for place in one.dreams)}"] if one.dreams else []
    facts = [f"[{one.place}]" + (f" by “{' '.join(one.words)}”" if one.words else "") for one in one.facts]
    experts = [f"{name} {share:.0%}" for name, share in one.experts.items()]
    return "; ".join((*experts, *dreams, *facts)) or "nothing: the model's own words"


def show_evidence(console: Console, facts: Sequence[Fact], text: str = "") -> None:
    """The facts that an answer rests on; those that its ``text`` cites come first."""
    from reverie.dreaming.resting import cited

    shown = cited(text)
    numbered = sorted(enumerate(facts, 1), key=lambda one: one[0] not in shown)
    console.print("\nFrom memory:", style="dim")
    for number, fact in numbered[: max(SHOWN_FACTS, len(shown))]:
        console.print(_fact(fact, f"[{number}] "))


def _fact(fact: Fact, mark: str) -> Text:
    from rich.text import Text

    from reverie.data.facts.dates import told_period
    from reverie.nouns import SAYS

    told = f"{fact.subject} — {fact.relation} → {fact.object}"
    if fact.relation == SAYS:
        told = f"{fact.subject}: “{shorten(fact.object, _PASSAGE)}”"
    period = told_period(fact.valid_from, fact.valid_to)
    more = "".join(f"; {words}" for words in (period, fact.reason) if words)
    about = f"({fact.source}, {fact.confidence:.2f}{more})"
    return Text(f"  {mark}{told} ").append(about, style="dim")
