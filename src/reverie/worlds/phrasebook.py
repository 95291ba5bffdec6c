"""How people put what a world was asked about: its phrasebook, by which free questions are read.

A phrasebook holds patterns over words, and says for what was understood which taught questions have to be asked, and
how their answers make one answer. ``dreaming/rephrase.py`` does the reading; a world without a phrasebook is asked in
its taught words alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Asking", "Bindings", "Pattern", "Phrasebook", "Slot"]

Bindings = Mapping[str, str]  # what is named, such as {"thing": "egg", "action": "drop", "form": "happens"}


@dataclass(frozen=True)
class Asking:
    """What is to be asked so that a question is answered.

    Args:
        questions: for each thing that must be known, taught wordings of one question, the usual one first
        word: from an answer to each, None where it is not known, the answer in words; None where they do not make one.
            Without it the first answer stands.
    """

    questions: tuple[tuple[str, ...], ...]
    word: Callable[[Sequence[str | None]], str | None] | None = None


@dataclass(frozen=True)
class Slot:
    """A place in a pattern that words of a list fill: ``binds`` is then one of the ``values``, each with its phrases."""

    binds: str
    values: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Pattern:
    """A piece of a question: words in any inflection, ``(a|b c)`` alternatives, ``[a]`` what may be missing, ``{slot}``
    and ``<macro>``. ``binds``: what it says beside its slots."""

    text: str
    binds: Bindings = field(default_factory=dict)


@dataclass(frozen=True)
class Phrasebook:
    """A question is understood where its words are pieces of these patterns, one after the other, that agree.

    Args:
        slots: by the name that patterns use
        macros: pieces of patterns, by name
        patterns: of a question
        fillers: words and phrases between the pieces that change nothing
        adverbs: words that change nothing wherever they stand
        spelled: words whose misspellings are mended (those of four letters and more)
        ask: from what was named, what to ask the model; a text says why nothing can be asked
    """

    slots: Mapping[str, Slot]
    macros: Mapping[str, str]
    patterns: Sequence[Pattern]
    fillers: Sequence[str]
    adverbs: frozenset[str]
    spelled: frozenset[str]
    ask: Callable[[Bindings], Asking | str]
