"""Questions as the model knows them: one line, lower case, with a question mark."""

from __future__ import annotations

import re
import unicodedata

from reverie.errors import UsageError, shorten

__all__ = ["MAX_CHARS", "clean_question", "words_of"]

MAX_CHARS = 2000  # of a question; longer ones are refused before any work

_OPENINGS = frozenset(
    "are can could did do does has have how if is may might should was were what when where which who why will "
    "would".split()
)


def words_of(text: str) -> list[str]:
    """The words and numbers of a text, in lower case."""
    return [found[0] for found in re.finditer(r"[^\W_]+", text.casefold())]


def clean_question(question: str, max_chars: int = MAX_CHARS) -> str:
    """``question`` in NFKC, on one line, lower-cased, ending in "?" where it is one.

    Raises UsageError when nothing is asked, or more than ``max_chars`` characters.
    """
    if len(question) > max_chars:
        raise UsageError(
            f"the question has {len(question)} characters; ask one of at most {max_chars}: {shorten(question[:80], 40)}"
        )
    words = " ".join(unicodedata.normalize("NFKC", question).split()).lower()
    bare = words.rstrip("?!. ")
    if not bare:
        raise UsageError('the question is empty; ask one, such as "What happens when you drop an egg?"')
    asks = words.endswith("?") or bare.split()[0] in _OPENINGS
    return f"{bare}?" if asks else words
