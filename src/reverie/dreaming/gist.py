"""The loose reading of a question that no phrasebook reads to its last word: what do its words mention?

A world says by small pieces what words may speak of, in whatever order (``worlds.phrasebook.Loose``), and which words
change nothing. Whatever is neither of these blocks the reading: a wrong answer is worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reverie.dreaming.english import words_of
from reverie.worlds.phrasebook import Asking, Bindings, Mention, Refusal

if TYPE_CHECKING:
    from reverie.dreaming.parsing import Parser
    from reverie.worlds.phrasebook import Loose

__all__ = ["Gist", "read_gist"]

_MAX_WORDS = 60
_SENTENCE = re.compile(r"(?<=[.!?;…])\s+|\n+|(?<=[!?])(?=\w)")
_CLAUSE = re.compile(r"\s*(?:[,:;()\"“”]|\s[-–—]+\s|—|\.{2,}|…)\s*")
_LABEL = re.compile(r"(?:^|(?<=[\s,;:]))\(?[a-d1-4][).]\s", re.IGNORECASE)  # (a) of a choice
# as people type them
_TYPED = (
    (re.compile(r"['’]s\b(?=\s+(?:\w+\s+)?(?:hand|finger|grip))"), ""),
    (re.compile(r"\b(?:dose|doez|duz)\b", re.I), "does"),
    (re.compile(r"\b(?:brake|brakes|braek|brk)\b", re.I), "break"),
    (re.compile(r"\b(?:hw|howw)\b", re.I), "how"),
    (re.compile(r"\b(?:wats|whts|wots|whats)\b", re.I), "what is"),
    (re.compile(r"\b(?:wht|whta|waht|whatt)\b", re.I), "what"),
    (re.compile(r"\bhapp?(?:e?nd|enz|ens|uns)\b", re.I), "happens"),
    (re.compile(r"\b(?:wil|wll)\b", re.I), "will"),
    (re.compile(r"\b(?:nw|noww)\b", re.I), "now"),
    (re.compile(r"\b(?:lite|lihgt|ligt)\b", re.I), "light"),
    (re.compile(r"\b(?:thru|threw|thrw|thro|trow)\b", re.I), "throw"),
    (re.compile(r"\b(?:hapens|hapen|hapns|happns|happen's|hppens)\b", re.I), "happens"),
    (re.compile(r"\b(do|does|did|is|was|would|could|should|has)nt\b", re.I), r"\1 not"),
    (re.compile(r"\b(?:dosnt|doesn|dont)\b", re.I), "do not"),
    (re.compile(r"\b(?:wont)\b", re.I), "will not"),
    (re.compile(r"\b(?:cant)\b", re.I), "can not"),
    (re.compile(r"\b(?:bcoz|bcos|becuz|coz|cuz)\b", re.I), "because"),
    (re.compile(r"\b(?:flor|flooor|florr|flr)\b", re.I), "floor"),
    (re.compile(r"\b(?:glas|galss|glss)\b", re.I), "glass"),
    (re.compile(r"\b(?:cub|cubee|cueb)\b", re.I), "cube"),
    (re.compile(r"\b(?:eg|egg's|eggg)\b(?!\.)", re.I), "egg"),
    (re.compile(r"\b(?:nife|knif|kinfe|nifes)\b", re.I), "knife"),
    (re.compile(r"\bwit\b", re.I), "with"),
    (re.compile(r"\b(?:teh|hte|th)\b", re.I), "the"),
    (re.compile(r"\bw/", re.I), "with "),
    (re.compile(r"(\d)\s*(?:secs?|s)\b", re.I), r"\1 seconds"),
    (re.compile(r"(\d)\s*mins?\b", re.I), r"\1 minutes"),
    (re.compile(r"\b(?:yes ?/ ?no|y ?/ ?n)\b", re.I), "yes or no"),
    (re.compile(r"\b(why|how|where|when)s\b", re.I), r"\1 is"),
    (re.compile(r"\b2(?= (?:it|the|a|an|my|me|her|him|them|u|you|us|that|this|get|see|do|be)\b)", re.I), "to"),
    (re.compile(r"\b4(?= (?:it|the|a|an|my|me|her|him|them|u|you|us|that|this)\b)", re.I), "for"),
    (re.compile(r"\b(?:doth|dost)\b", re.I), "does"),
    (re.compile(r"\b(?:hath|hast)\b", re.I), "has"),
    (re.compile(r"\b1 ?x\b", re.I), "one"),
    (re.compile(r"\b(?:freezr|frezzer|freezar|friezer)\b", re.I), "freezer"),
    (re.compile(r"\b(?:sope|soep)\b", re.I), "soap"),
    (re.compile(r"_{2,}"), " blank "),
    (re.compile(r"\s\+\s"), " and "),
    (re.compile(r"\s(?:=|->|=>|→)+\s*(?=\?|$)"), " result"),
    (re.compile(r"[°º]\s*[CF]?\b"), " degrees "),
)
_UNREAL = frozenset("dream story movie film cartoon fantasy fiction game imagination nightmare joke tale".split())
_IN = frozenset("in on at during within".split())


@dataclass(frozen=True)
class Gist:
    """What was understood, and what to ask; or the words that stand in the way, or why there is nothing to ask.

    ``read``: each mention that counted with what it says; ``aside``: the words that were left aside.
    """

    named: Bindings
    asking: Asking | None = None
    refusal: Refusal | None = None
    strange: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()

    @property
    def why(self) -> str:
        """One line: what was read as what, and what was left aside."""
        aside = f"; left aside: {' '.join(self.aside)}" if self.aside else ""
        return f"read loosely: {', '.join(self.read)}{aside}"


def read_gist(question: str, loose: Loose, parser: Parser) -> Gist:
    """The loose reading of ``question``; ``parser`` is that of ``loose.words``."""
    mentions = _set_aside(list(_mentions(question, parser)))
    strange = [one.text for one in mentions if not one.says]
    if len(mentions) > _MAX_WORDS or strange or not mentions:
        return Gist({}, strange=tuple(dict.fromkeys(strange)))
    named, asking = loose.understand(mentions)
    read = tuple(f"{one.text} ({_said(one)})" for one in mentions if not _harmless(one))
    aside = tuple(one.text for one in mentions if _harmless(one))
    if isinstance(asking, Asking):
        return Gist(named, asking, read=read, aside=aside)
    return Gist(named, refusal=asking if isinstance(asking, Refusal) else Refusal(asking), read=read, aside=aside)


def _set_aside(mentions: list[Mention]) -> list[Mention]:
    """Words that are in no list, and change nothing where they stand: what a person is like, in what talk it is."""
    for place, one in enumerate(mentions):
        if one.says:
            continue
        before = mentions[place - 1] if place and mentions[place - 1].clause == one.clause else None
        after = [two for two in mentions[place + 1 :] if two.clause == one.clause]
        rest = next((two for two in after if not _classes(two) & {"det", "adjective"}), None)
        a_person = before is not None and "det" in _classes(before) and bool(after) and _classes(after[0]) == {"person"}
        unreal = rest is not None and rest.text in _UNREAL
        in_talk = (
            one.text in _IN
            and not unreal
            and rest is not None
            and bool(_classes(rest))
            and _classes(rest) <= {"idea", "talk"}
        )
        if a_person or in_talk:
            mentions[place] = replace(one, says=({"aside": "talk"},))
    return mentions


def _classes(mention: Mention) -> set[str]:
    return {says["aside"] for says in mention.says if "aside" in says}


def _harmless(mention: Mention) -> bool:
    return all(not says or "aside" in says for says in mention.says)


def _said(mention: Mention) -> str:
    says = next(one for one in mention.says if one and "aside" not in one)
    return ", ".join(key if value == "yes" else value for key, value in says.items())


def _mentions(question: str, parser: Parser) -> Iterator[Mention]:
    start = clause = 0
    text = _LABEL.sub(" ; ", question)
    for written, meant in _TYPED:
        text = written.sub(meant, text)
    for number, sentence in enumerate(one for one in _SENTENCE.split(text) if one.strip()):
        words, clauses = list[str](), list[int]()
        for part in _CLAUSE.split(sentence):
            some = words_of(part)
            words += some
            clauses += [clause] * len(some)
            clause += 1
        for piece in parser.pieces(words):
            said = " ".join(words[piece.start : piece.end])
            yield Mention(said, piece.says, start + piece.start, clauses[piece.start], number)
        start += len(words)
