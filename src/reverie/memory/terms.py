"""What words are looked up by: stems without case and accents; scripts without spaces in pairs of letters.

SQLite's index of words holds these and nothing else, so that a question and a passage are always cut the same way.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from reverie.memory.relation_patterns import stem

__all__ = ["is_unspaced", "spaced_terms", "terms"]

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_TERM = re.compile(rf"[{_UNSPACED}]+|(?:(?![{_UNSPACED}])[^\W_])+")
_OF_PAIRS = re.compile(f"[{_UNSPACED}]")
_GENITIVE = re.compile(r"['’`]s\b")
_stem = lru_cache(maxsize=65_536)(stem)


def terms(text: str) -> list[str]:
    """東京タワー → 東京, 京タ, タワ, ワー; Müller's eggs → muller, egg."""
    if not text.isascii():
        plain = unicodedata.normalize("NFKC", text)
        plain = "".join(
            letter
            for letter in unicodedata.normalize("NFD", plain)
            if not unicodedata.combining(letter) or letter in "゛゜\u3099\u309a"
        )
        text = unicodedata.normalize("NFC", plain)
    found: list[str] = []
    for word in _TERM.findall(_GENITIVE.sub("", text.casefold())):
        if is_unspaced(word):
            found += [word[at : at + 2] for at in range(len(word) - 1)] or [word]
        else:
            found.append(_stem(word))
    return found


def is_unspaced(word: str) -> bool:
    """Whether a word or term is of a script without spaces."""
    return word[0] >= "\u0e00" and _OF_PAIRS.match(word) is not None


def spaced_terms(text: str | None) -> str:
    """``terms`` with spaces between; a function of SQL in every SQLite connection."""
    return " ".join(terms(text or ""))
