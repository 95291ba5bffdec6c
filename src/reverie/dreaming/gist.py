"""The loose reading of a question that no phrasebook reads to its last word: what do its words mention?

A world says by small pieces what words may speak of, in whatever order (``worlds.phrasebook.Loose``), and which words
change nothing. Whatever is neither of these blocks the reading: a wrong answer is worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reverie.dreaming.english import by_form, words_of
from reverie.worlds.phrasebook import Asking, Bindings, Mention, Refusal

if TYPE_CHECKING:
    from reverie.dreaming.parsing import Parser
    from reverie.worlds.phrasebook import Loose

__all__ = ["Gist", "read_gist"]

_MAX_WORDS = 60
_SENTENCE = re.compile(r"(?<=[.!?;…])\s+|\n+|(?<=[!?])(?=\w)")
_CLAUSE = re.compile(r"\s*(?:[,:;()\"“”]|\s[-–—]+\s|—|\.{2,}|…)\s*")
_LABEL = re.compile(r"(?:^|(?<=[\s,;:]))\(?[a-d1-4][).]\s", re.IGNORECASE)  # (a) of a choice
# as people type them, beside what ``words_of`` knows
_TYPED = by_form(
    """
does = dose doez duz doth dost; has = hath hast; do not = dosnt doesn; break = braek brk; light = lihgt ligt
what is = wats whts wots; what = wht whta waht whatt; how = hw howw; now = nw noww; because = bcoz bcos becuz
happens = hapnd happnd hapend happend hapenz happenz hapens hapuns happuns hapen hapns happns hppens
throw = thru threw thrw thro trow; with = wit; the = th; knife = nife knif kinfe nifes; soap = sope soep
floor = flor flooor florr flr; glass = glas galss glss; cube = cub cubee cueb; egg = eggg
freezer = freezr frezzer freezar friezer
"""
)
_WORD = re.compile(rf"\b(?:{'|'.join(_TYPED)})\b(?!['’]\w)", re.IGNORECASE)
_SIGNS = (
    (r"['’]s\b(?=\s+(?:\w+\s+)?(?:hand|finger|grip))", ""),
    (r"\bhappen's\b", "happens"),
    (r"\b(?:eg\b(?!\.)|egg's\b)", "egg"),
    (r"\bw/", "with "),
    (r"(\d)\s*(?:secs?|s)\b", r"\1 seconds"),
    (r"(\d)\s*mins?\b", r"\1 minutes"),
    (r"\b(?:yes ?/ ?no|y ?/ ?n)\b", "yes or no"),
    (r"\b(why|how|when)s\b", r"\1 is"),
    (r"\b2(?= (?:it|the|a|an|my|me|her|him|them|u|you|us|that|this|get|see|do|be)\b)", "to"),
    (r"\b4(?= (?:it|the|a|an|my|me|her|him|them|u|you|us|that|this)\b)", "for"),
    (r"\b1 ?x\b", "one"),
    (r"_{2,}", " blank "),
    (r"\s\+\s", " and "),
    (r"\s(?:=|->|=>|→)+\s*(?=\?|$)", " result"),
    (r"[°º]\s*[CF]?\b", " degrees "),
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
    text = _WORD.sub(lambda found: _TYPED[found[0].lower()], _LABEL.sub(" ; ", question))
    for written, meant in _SIGNS:
        text = re.sub(written, meant, text, flags=re.IGNORECASE)
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
