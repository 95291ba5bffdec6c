"""What kind of question it is: one whose answer lies ahead and is dreamed, one that asks back for a cause, or one that
needs no dream. Read from the words alone, so that it is decided before any model is asked, and alike for all of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["Asked", "read_question"]

_HAPPEN = (
    r"(?:happens?|happened|(?:will|would|might|could|may|can|should|did|is going to|are you going to see) happen|"
    r"'s going to happen|do you (?:think|expect|believe) (?:happens|will happen|would happen)|"
    r"comes of it|becomes of it|follows|results?|will you (?:see|notice|get)|do you (?:get|see|have)|"
    r"would you (?:see|notice|get))"
)
_TO = r"(?: (?:then|next|now|later|afterwards|first))?(?: (?:to|with) (?P<to>[^,?]+?))?(?: (?:then|next|afterwards))?"
_IF = r"(?:if|when|whenever|after|once|as soon as|in case|should)"
_AND = (
    r"(?:and |so |but |now |then |well,? |ok(?:ay)?,? |hey,? |please,? |tell me,? |say,? |do you know |"
    r"can you tell me )*"
)
_AHEAD = (
    # what happens to X if …; what would happen after …
    re.compile(rf"{_AND}what(?: do you (?:think|expect|suppose))? {_HAPPEN}{_TO},? {_IF} (?P<action>.+)", re.I),
    # if …, what happens; suppose … what will happen?
    re.compile(
        rf"{_AND}(?:{_IF}|suppose|imagine|assume|say|let's say|given)(?: that)? (?P<action>.+?)"
        rf"[,:;.]? (?:and |then )?what(?: do you (?:think|expect))? {_HAPPEN}{_TO}",
        re.I,
    ),
    # …: what happens?
    re.compile(rf"(?P<action>.{{8,}}?)[,:;] (?:and |then )?(?:what {_HAPPEN}{_TO}|what (?:then|next))", re.I),
    re.compile(rf"{_AND}(?:what if|what about if|how about if) (?P<action>.+)", re.I),
    re.compile(
        rf"{_AND}what (?:is|are|was|were|would be|will be|might be) the (?:likely |probable |most likely )?"
        r"(?:results?|effects?|consequences?|outcomes?)(?: of|,? if|,? when) (?P<action>.+)",
        re.I,
    ),
    re.compile(rf"{_AND}what (?:becomes|will become|would become|became) of (?P<there>.+)", re.I),
    re.compile(rf"{_AND}(?:tell me|describe|predict|guess|say) what {_HAPPEN}{_TO},? {_IF} (?P<action>.+)", re.I),
)
# where what was done stands in the sentence before
_THEN = re.compile(
    rf"{_AND}(?:what {_HAPPEN}{_TO}|what (?:comes )?(?:then|next)|(?:and )?then(?: what)?|what about (?P<about>.+)"
    r"|how does (?:it|that|this) end)",
    re.I,
)
_AUX = r"(?:will|would|does|do|did|can|could|might|may|is|are|should|won't|wouldn't|doesn't|don't|isn't|aren't|can't)"
_WHETHER = (
    re.compile(
        rf"{_AND}(?P<wanted>{_AUX} [^,?]+?),? (?:if|when|after|once|because|in case|as soon as) (?P<action>.+)", re.I
    ),
    re.compile(rf"{_AND}(?:if|when|after|once|suppose) (?P<action>.+?), (?:then )?(?P<wanted>{_AUX} .+)", re.I),
)
_SUBJECT = re.compile(rf"{_AUX} (?P<subject>(?:the|a|an|my|your|his|her|their|our|this|that|some) [a-z-]+)\b", re.I)
_BACK = re.compile(
    rf"{_AND}(?:why (?!not\b)(?!don't (?:you|we)\b).+|how come .+|what (?:caused|causes|made|makes) .+)", re.I
)
_SENTENCE = re.compile(r"[^.!?]+[.!?]*\s*")
_GERUND = re.compile(r"(?:you |someone |somebody )?(?P<verb>[a-z]+ing)\b", re.I)


@dataclass(frozen=True)
class Asked:
    """A question as it was understood.

    ``ahead``: what comes of ``actions``; ``whether``: that, and whether ``wanted`` (as it was asked) comes true;
    ``back``: why something is so; ``plain``: anything else. ``setting``: what was told before.
    """

    kind: Literal["ahead", "whether", "back", "plain"]
    actions: tuple[str, ...] = ()  # sentences
    setting: str = ""
    wanted: str = ""


def read_question(text: str) -> Asked:
    """Which kind of question ``text`` is."""
    sentences = [one.strip() for one in _SENTENCE.findall(" ".join(text.split())) if one.strip()]
    if not sentences:
        return Asked("plain")
    *before, last = sentences
    asked, told = last.rstrip(" ?!."), " ".join(before)
    for pattern in _WHETHER if not re.match(rf"{_AND}what\b", asked, re.I) else ():
        if found := pattern.fullmatch(asked):
            thing = _SUBJECT.match(found["wanted"])
            action = _named(found["action"], thing["subject"] if thing else "")
            return Asked("whether", (_sentence(action),), told, _question(found["wanted"]))
    for pattern in _AHEAD:
        if found := pattern.fullmatch(asked):
            parts = found.groupdict()
            action = parts.get("action") or f"there is {parts['there']}"
            return Asked("ahead", (_sentence(_named(action, parts.get("to") or "")),), told)
    if before and _THEN.fullmatch(asked):
        return Asked("ahead", (_sentence(before[-1]),), " ".join(before[:-1]))
    if _BACK.fullmatch(asked):
        return Asked("back", (), told, _question(asked))
    return Asked("plain")


def _named(clause: str, thing: str) -> str:
    """``clause`` with ``thing`` in the place of the pronoun that stands for it."""
    if not thing or re.fullmatch(r"(?:it|that|this|them|you|me|us|him|her)", thing, re.I):
        return clause
    return re.sub(r"\b(?:it|they|them)\b", lambda _: thing, clause, count=1, flags=re.I)


def _sentence(clause: str) -> str:
    """A clause as a sentence of its own: "leaving ice in the sun" is done by somebody."""
    clause = clause.strip(" ,;:.?!\"'")
    if (found := _GERUND.match(clause)) and found.start("verb") == 0 and " " in clause:
        clause = f"someone is {clause}"
    return f"{clause[:1].upper()}{clause[1:]}."


def _question(clause: str) -> str:
    clause = clause.strip(" ,;:.")
    return f"{clause[:1].upper()}{clause[1:]}?"
