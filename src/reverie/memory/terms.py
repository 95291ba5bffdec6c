"""What words are looked up by: stems without case and accents; scripts without spaces in pairs of letters.

SQLite's index of words holds these and nothing else, so that a question and a passage are always cut the same way.
"""

from __future__ import annotations

import re
import unicodedata

from reverie.memory.relation_patterns import stem
from reverie.memory.scripts import RUN, is_unspaced

__all__ = ["spaced_terms", "terms"]

_TERM = re.compile(rf"[{RUN}]+|(?:(?![{RUN}])[^\W_])+")
_GENITIVE = re.compile(r"['’`]s\b")


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
            found.append(stem(word))
    return found


def spaced_terms(text: str | None) -> str:
    """``terms`` with spaces between; a function of SQL in every SQLite connection."""
    return " ".join(terms(text or ""))
