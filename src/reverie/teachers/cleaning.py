"""What a teacher wrote, as data: without control characters, of bounded size, and whether it is a lesson."""

from __future__ import annotations

import re
import unicodedata
import zlib

from reverie.memory.sentences import sentences

__all__ = ["clean", "flaw_of"]

_TAIL, _REPEATS = 1000, 8.0  # bytes of the end that are looked at; a text that shrinks so far says little
_SHORT = 64  # bytes: shorter ones are told by their words
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)?")  # what moves a terminal's cursor
_FEWEST = 4  # words or sentences of which too few differ


def clean(text: str) -> str:
    """``text`` without control characters but tabs and line feeds, halves of letters, and marks that turn the writing
    around."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n")
    return "".join(letter for letter in text if letter in "\t\n" or not _hidden(letter))


def _hidden(letter: str) -> bool:
    kind = unicodedata.category(letter)
    return kind in ("Cc", "Cs") or "\u202a" <= letter <= "\u202e" or "\u2066" <= letter <= "\u2069"


def flaw_of(text: str, most_chars: int) -> str:
    """Why a reply is no lesson; "" for a good one."""
    if not text.strip():
        return "it is empty"
    if len(text) > most_chars:
        return f"it is longer than {most_chars:,} characters"
    return "it repeats itself" if _repeats(text) else ""


def _repeats(text: str) -> bool:
    words, data = text.casefold().split(), text.strip().encode()
    if len(words) >= _FEWEST and len(set(words)) == 1:
        return True
    said = [*sentences(text.casefold())]
    if len(said) >= _FEWEST and len(set(said)) < len(said) / 2:
        return True
    tail = data[-_TAIL:]
    return len(tail) >= _SHORT and len(tail) / len(zlib.compress(tail, 9)) > (_REPEATS if len(tail) > 300 else 4.0)
