"""What kind of thing a question asks for, by its words, and whether a text has one that the question does not say."""

from __future__ import annotations

import re
from collections.abc import Collection

from reverie.memory.linking import STOP
from reverie.memory.terms import terms

__all__ = ["asked_type", "has_type"]

_LENGTH = r"(?:metres?|meters?|km|kilomet\w+|feet|foot|ft|miles?|inch\w*|yards?|cm|mm|m|fathoms?|leagues?)\b"
_DURATION = r"(?:seconds?|minutes?|hours?|days?|nights?|weeks?|fortnights?|months?|years?|decades?|centur\w+)\b"
_WEIGHT = r"(?:kg|kilo\w*|grams?|tons?|tonnes?|pounds?|ounces?|lbs?|stone)\b"
_MONEY = r"(?:euros?|dollars?|pounds?|pence|cents?|crowns?|coins?|marks|francs)\b"
_SOME = (
    r"(?:\d[\d.,]*|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|sixty|"
    r"seventy|eighty|ninety|hundreds?|thousands?|dozens?|half)"
)
_YEAR = r"\b(?:1[0-9]\d\d|20\d\d)\b(?! ?(?:metres?|meters?|people|souls|tons?|kg|feet))"
_MONTH = (
    r"\b(?:january|february|march|april|june|july|august|september|october|november|december)\b"
    r"|\b\d{1,2}(?:th|st|nd|rd)? century\b"
)
_QUESTIONS = tuple(
    (kind, re.compile(asked, re.IGNORECASE))
    for kind, asked in (
        ("money", r"\bhow much\b.*\bcost|\bwhat\b.*\b(?:price|cost)\b|\bhow expensive\b"),
        ("weight", r"\bhow heavy\b|\bwhat\b.*\bweigh|\bhow much\b.*\bweigh"),
        ("duration", r"\bhow long\b.*\b(?:take|last|wait|lie|live|stay|rest|before|until|till)\w*\b|\bhow old\b"),
        ("length", r"\bhow (?:tall|high|deep|wide|far|broad|thick)\b|\bwhat\b.*\b(?:height|length|width|depth)\b"),
        ("measure", r"\bhow (?:long|big|large|fast)\b"),
        ("time", r"\bwhen\b|\b(?:what|which) (?:year|date|day|month|century|decade)\b"),
        ("number", r"\bhow (?:many|much|often)\b|\bwhat (?:is )?(?:the )?(?:number|population|age|size)\b"),
        ("person", r"\bwho(?:m|se)?\b"),
        ("name", r"\bwhere\b|\b(?:which|what) (?:city|town|country|place|river|hall|village|region)\b"),
    )
)
_HAS = {
    "money": re.compile(rf"{_SOME} {_MONEY}|[$€£] ?\d", re.IGNORECASE),
    "weight": re.compile(rf"{_SOME} ?{_WEIGHT}", re.IGNORECASE),
    "duration": re.compile(rf"{_SOME} ?{_DURATION}", re.IGNORECASE),
    "length": re.compile(rf"{_SOME} ?{_LENGTH}", re.IGNORECASE),
    "measure": re.compile(rf"{_SOME} ?(?:{_LENGTH}|{_DURATION}|{_WEIGHT})", re.IGNORECASE),
    "time": re.compile(f"{_YEAR}|{_MONTH}", re.IGNORECASE),
    "number": re.compile(rf"\b{_SOME}\b", re.IGNORECASE),
}
_NAME = re.compile(r"(?<![.!?:] )(?<!^)(?<!\n)\b[A-ZÀ-ÖØ-Þ][\w'’-]+(?: [A-ZÀ-ÖØ-Þ][\w'’-]+)*")
_FULL_NAME = re.compile(r"\b[A-ZÀ-ÖØ-Þ][\w'’-]+ (?:(?:van|von|de|der|la|bin|al|[A-Z]\.) )*[A-ZÀ-ÖØ-Þ][\w'’-]+")


def asked_type(question: str) -> str | None:
    """The kind of thing that is asked for: person, name, time, number, length …; None where the words do not say."""
    return next((kind for kind, asked in _QUESTIONS if asked.search(question)), None)


def has_type(kind: str, text: str, said: Collection[str]) -> bool:
    """Whether ``text`` has a thing of that kind besides the terms ``said``."""
    if kind in _HAS:
        return any(not said or not set(terms(found.group())) <= set(said) for found in _HAS[kind].finditer(text))
    found = _FULL_NAME.findall(text) if kind == "person" else _NAME.findall(f"· {text}")
    return any(not {term for term in terms(name) if term not in STOP} <= set(said) for name in found)
