"""Whether words are in another language than the questions of a gap."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from reverie.errors import MissingExtraError

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

__all__ = ["Languages"]

_LETTERS, _WORDS = 14, 3  # fewer tell no language
_LIKELY, _TIMES = 0.15, 20.0  # probability of another language, and how much likelier than all that were asked in


class Languages:
    """The languages and scripts that ``questions`` are asked in."""

    def __init__(self, questions: Sequence[str]):
        self._scripts = {script for question in questions for script in _scripts(question)}
        told = [" ".join(questions), *(one for one in questions if _tells(one))]
        likely = [max(_languages(text).items(), key=lambda one: one[1]) for text in told if _tells(text)]
        self._known = {likely[0][0], *(name for name, sure in likely if sure > 0.9)} if likely else set[str]()

    def foreign(self, *texts: str) -> bool:
        """Whether any is in another language; of few words only their script tells."""
        return any(self._foreign(text) for text in texts)

    def _foreign(self, text: str) -> bool:
        scripts = _scripts(text)
        if self._scripts and scripts and not scripts & self._scripts:
            return True
        if not self._known or not _tells(text):
            return False
        found = _languages(text)
        best = max(found, key=found.__getitem__)
        known = max(found.get(name, 0.0) for name in self._known)
        return best not in self._known and found[best] >= _LIKELY and found[best] >= _TIMES * known


def _tells(text: str) -> bool:
    words = re.findall(r"[^\W\d_]+", text)
    return len(words) >= _WORDS and sum(map(len, words)) >= _LETTERS


def _scripts(text: str) -> set[str]:
    """LATIN, CYRILLIC, CJK …"""
    return {unicodedata.name(letter, " ").partition(" ")[0] for letter in text if letter.isalpha()} - {""}


def _languages(text: str) -> dict[str, float]:
    """Language → probability."""
    return {name: float(probability) for name, probability in _identifier().rank(text)}


@cache
def _identifier() -> LanguageIdentifier:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise MissingExtraError("telling languages apart", "train") from error
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
