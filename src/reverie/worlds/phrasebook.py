"""How people put what a world was asked about: its phrasebook, by which free questions are read.

A phrasebook holds patterns over words, and says for what was understood which taught questions have to be asked, and
how their answers make one answer. ``dreaming/rephrase.py`` does the reading; a world without a phrasebook is asked in
its taught words alone. ``read_phrasebook`` reads one from a text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from reverie.errors import ConfigError, shorten

__all__ = [
    "Asking",
    "Bindings",
    "Loose",
    "Mention",
    "Pattern",
    "Phrasebook",
    "Refusal",
    "Slot",
    "ToAsk",
    "read_phrasebook",
]

Bindings = Mapping[str, str]  # what is named, such as {"thing": "egg", "action": "drop", "form": "happens"}


@dataclass(frozen=True)
class Asking:
    """What is to be asked so that a question is answered.

    Args:
        questions: for each thing that must be known, taught wordings of one question, the usual one first
        word: from an answer to each, None where it is not known, the answer in words; None where they do not make one.
            Without it the first answer stands.
        denied: from the same, what the answers say against what the question takes for granted, None where they bear
            it out; None where it takes nothing for granted
    """

    questions: tuple[tuple[str, ...], ...]
    word: Callable[[Sequence[str | None]], str | None] | None = None
    denied: Callable[[Sequence[str | None]], str | None] | None = None

    def worded(self, said: Sequence[str | None]) -> str | None:
        """The answer that these make, without what they deny."""
        return self.word(said) if self.word else said[0]

    def denial(self, said: Sequence[str | None]) -> str | None:
        """What these say against what the question takes for granted."""
        return self.denied(said) if self.denied else None


@dataclass(frozen=True)
class Refusal:
    """Why what was understood cannot be asked, in words without a full stop, and which check says so: "words";
    "scene", which is missing, or "compared", of what cannot be, where nobody else could answer either. ``veto``: no
    other way to understand the question is looked at."""

    why: str
    check: str = "words"
    veto: bool = False


ToAsk = Asking | Refusal | str  # what to ask, or why nothing can be asked


@dataclass(frozen=True)
class Slot:
    """A place in a pattern that words of a list fill: ``binds`` is then one of the ``values``; each has phrases."""

    binds: str
    values: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Pattern:
    """A piece of a question: words in any inflection, ``(a|b c)`` alternatives, ``[a]`` what may be missing, ``{slot}``
    and ``<macro>``. ``binds``: what it says beside its slots."""

    text: str
    binds: Bindings = field(default_factory=dict)


@dataclass(frozen=True)
class Mention:
    """A word or a turn of phrase in a question, and what it may speak of: one of ``says``.

    ``start``: of its words among all of the question; ``clause`` and ``sentence``: in which of them it stands, counted
    from 0.
    """

    text: str
    says: tuple[Bindings, ...]
    start: int
    clause: int
    sentence: int


@dataclass(frozen=True)
class Loose:
    """How a question is read that no pattern reads: by what its words mention, in whatever order.

    Args:
        words: texts of a phrasebook, of which every piece is a mention
        understand: from the mentions, what is named and what to ask
    """

    words: Phrasebook
    understand: Callable[[Sequence[Mention]], tuple[Bindings, ToAsk]]


@dataclass(frozen=True)
class Phrasebook:
    """A question is understood where its words are pieces of these patterns, one after the other, that agree.

    Args:
        slots: by the name that patterns use
        macros: pieces of patterns, by name
        patterns: of a question; those that bind nothing may stand between any others
        adverbs: words that change nothing wherever they stand
        spelled: words whose misspellings are mended (those of four letters and more)
        ask: from what was named, what to ask the model; a text or a ``Refusal`` says why nothing can be asked
        loose: opens a looser reading of what these patterns do not cover, where there is one
    """

    slots: Mapping[str, Slot]
    macros: Mapping[str, str]
    patterns: Sequence[Pattern]
    adverbs: frozenset[str]
    spelled: frozenset[str]
    ask: Callable[[Bindings], ToAsk]
    loose: Callable[[], Loose] | None = None


def read_phrasebook(
    text: str,
    ask: Callable[[Bindings], ToAsk],
    taught: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
    spelled: Sequence[str] = (),
) -> Phrasebook:
    """The phrasebook that ``text`` writes down; ConfigError names what it does not understand.

    Empty lines and those that begin with ``#`` say nothing; ``@`` begins a section. A table holds rows ``name = a; b``,
    a list is ``a; b``; both go on over lines.

        @slot NAME BINDS [like OTHER [VALUE]]   a table: value = phrases; beside those of another slot, or of one row
        @macros                         a table: name = pattern
        @pieces KEY=VALUE …             a list of patterns that say this
        @done KEY=VALUE … [before=P]    what someone does to <x>: also said as done to <x>, or without it; P follows
        @befalls KEY=VALUE …            what <x> does or comes over it
        @asked KEY=VALUE …              yes/no questions about <x>: also asked as "whether <x> …"
        @fillers, @adverbs, @spelled    lists

    ``@done`` and ``@befalls`` use the macros ``lead``, ``tail``, ``conj``, ``agent`` and ``mod``. ``taught``: by slot,
    phrases beside those of its table; ``spelled``: words beside those of the text.
    """
    slots: dict[str, Slot] = {}
    macros: dict[str, str] = {}
    patterns: list[Pattern] = []
    words: dict[str, set[str]] = {"adverbs": set(), "spelled": set(spelled)}
    for kind, head, lines in _sections(text):
        if kind == "slot":
            slots |= _slot(head, lines, slots, taught or {})
        elif kind == "macros":
            macros |= {name: " ".join(said) for name, said in _table(lines).items()}
        elif kind in words:
            words[kind] |= set(" ".join(lines).replace(";", " ").split())
        elif kind in _SECTIONS:
            patterns += _SECTIONS[kind](_list(lines), _named(head))
        else:
            raise ConfigError(
                f"a phrasebook has no section '@{shorten(kind)}'; known: slot, macros, {', '.join(_SECTIONS)}"
            )
    return Phrasebook(slots, macros, patterns, frozenset(words["adverbs"]), frozenset(words["spelled"]), ask)


def _sections(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """(kind, the rest of its head, its lines)"""
    head, lines = "", list[str]()
    for line in [*text.splitlines(), "@"]:
        if line.startswith("@"):
            if head:
                kind, _, rest = head[1:].partition(" ")
                yield kind, rest.strip(), lines
            head, lines = line, []
        elif line.strip() and not line.startswith("#"):
            lines.append(line.strip())


def _list(lines: Sequence[str]) -> list[str]:
    return [one.strip() for one in " ".join(lines).split(";") if one.strip()]


def _table(lines: Sequence[str]) -> dict[str, list[str]]:
    """A row begins with a name and " = "; other lines go on."""
    rows: dict[str, list[str]] = {}
    name = ""
    for line in lines:
        before, equals, after = line.partition(" = ")
        if equals:
            name, line = before.strip(), after
        if not name:
            raise ConfigError(f"a row of a phrasebook is 'name = words', got '{shorten(line)}'")
        rows.setdefault(name, []).append(line)
    return {name: _list(parts) for name, parts in rows.items()}


def _slot(
    head: str, lines: Sequence[str], slots: Mapping[str, Slot], taught: Mapping[str, Mapping[str, Sequence[str]]]
) -> dict[str, Slot]:
    name, binds, _, other, one = (*head.split(maxsplit=4), *[""] * 5)[:5]
    known = slots[other].values if other in slots else {}
    if not binds or (other and (other not in slots or one not in ("", *known))):
        raise ConfigError(
            f"'@slot {shorten(head)}' of a phrasebook binds nothing, or is like what stands nowhere above it"
        )
    values = {value: said for value, said in known.items() if one in ("", value)}
    for source in ({} if other else taught.get(name, {}), _table(lines)):
        for value, phrases in source.items():
            values[value] = (*values.get(value, ()), *phrases)
    return {name: Slot(binds, values)}


def _named(head: str) -> dict[str, str]:
    return {key: value.strip() for key, value in re.findall(r"(\w+)=(.*?)(?=\s\w+=|$)", head)}


def _pieces(said: Sequence[str], named: Bindings) -> list[Pattern]:
    return [Pattern("|".join(said), named)]


def _done(said: Sequence[str], named: Bindings) -> list[Pattern]:
    """Someone does it, it is done to the thing, or "when dropped" alone."""
    binds = {key: value for key, value in named.items() if key != "before"}
    tail = f"{named.get('before', '')} <tail>"
    bare = "|".join(" ".join(words.replace("<x>", " ").split()) for words in said if "<x>" in words)
    whole = Pattern(f"<lead> ({'|'.join(said)}) {tail}", binds)
    if not bare:
        return [whole]
    return [
        whole,
        Pattern(f"[<conj>] <x> [that|which] [<agent>] [<mod>] [get|be] ({bare}) [by <agent>] {tail}", binds),
        Pattern(
            f"[when|if|once|after|upon|on|be|by|get] [<agent>] [be|get|have be] ({bare}) [by <agent>] {tail}", binds
        ),
    ]


def _befalls(said: Sequence[str], named: Bindings) -> list[Pattern]:
    """Also "that has fallen": what comes between a thing and what it does."""
    between = [re.sub(r"^<x> ", "<x> [that|which] [<mod>] ", words) for words in said]
    return [Pattern(f"[<conj>] [<mod>] ({'|'.join(between)}) <tail>", named)]


def _asked(said: Sequence[str], named: Bindings) -> list[Pattern]:
    whether = []
    for words in said:
        asks, x, rest = words.partition(" <x> ")
        if x and " " not in asks:
            whether.append(f"[if|whether|that] <x> [{asks}] {rest}")
    return _pieces([*said, *whether], named)


_SECTIONS: Mapping[str, Callable[[Sequence[str], Bindings], list[Pattern]]] = {
    "pieces": _pieces,
    "done": _done,
    "befalls": _befalls,
    "asked": _asked,
    "fillers": lambda said, named: [Pattern(one) for one in said],
}
