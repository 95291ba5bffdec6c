"""Words of names and questions: folded, also where a script puts no spaces between them, and mended by a letter."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz import process
from rapidfuzz.distance import OSA

from reverie.memory.scripts import HAN, HIRAGANA, KATAKANA, OTHERS, RUN

__all__ = ["WORD", "SpelledWords", "Word", "alone_in_its_script", "fold", "key_of", "near_word", "split_words"]

_LETTERS = str.maketrans({"ø": "o", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ı": "i"})
_APOSTROPHES = str.maketrans(dict.fromkeys("'’`ʻʼ"))
WORD = re.compile(r"[^\W_]+(?:['’`ʻʼ][^\W_]+)*")
# Each letter of a script without spaces is a word of its own, so that a name is found within a run of them.
_SPACED = rf"(?:(?![{RUN}])[^\W_])+"
_ANY_WORD = re.compile(rf"{_SPACED}(?:['’`ʻʼ]{_SPACED})*|(?=[{RUN}])[^\W_]")
_SCRIPTS = tuple(re.compile(f"[{letters}]") for letters in (HIRAGANA, KATAKANA, HAN, OTHERS))
_SHORTEST, _LONGEST = 5, 24  # letters of a word that may be mended


@dataclass(frozen=True)
class Word:
    """A folded word of a text and where it stands there."""

    folded: str
    start: int
    end: int
    capital: bool  # starts with a capital or a digit
    mended: bool = False  # whether one of its letters was taken for another


@lru_cache(maxsize=65_536)
def fold(word: str) -> str:
    """Without case, accents, apostrophes and the 's of a genitive."""
    if not word.isascii():
        plain = unicodedata.normalize("NFKD", word)
        word = "".join(letter for letter in plain if not unicodedata.combining(letter))
    word = word.casefold()
    if len(word) > 3 and word.endswith(("'s", "’s")):
        word = word[:-2]
    return word.translate(_APOSTROPHES) if word.isascii() else word.translate(_LETTERS).translate(_APOSTROPHES)


def split_words(text: str) -> list[Word]:
    words: list[Word] = []
    for found in _words(text).finditer(text):
        start, capital = found.start(), not found.group()[0].islower()
        if words and start and text[start - 1] == "-" and words[-1].end == start - 1:
            capital = capital or words[-1].capital  # Kim Ki-young
        words.append(Word(fold(found.group()), start, found.end(), capital))
    return words


def key_of(name: str) -> str:
    return " ".join(map(fold, _words(name).findall(name)))


def alone_in_its_script(words: Sequence[Word], place: int, text: str) -> bool:
    """Whether a letter of a script without spaces stands beside none of its kind, of whose word it would be a part."""
    word = words[place]
    beside = [text[word.start - 1 : word.start], text[word.end : word.end + 1]]
    own = _script(text[word.start : word.end])
    return own is None or own not in map(_script, beside)


class SpelledWords:
    """The words of names, by what may be one letter from them."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._near: defaultdict[str, list[str]] = defaultdict(list)  # by their length and how they begin, or end

    def add(self, words: Iterable[str]) -> None:
        for word in words:
            if word not in self._known:
                self._known.add(word)
                if not _SHORTEST - 1 <= len(word) <= _LONGEST + 1:
                    continue
                for key in _affixes(word, len(word)):
                    self._near[key].append(word)

    def near(self, word: str) -> list[str]:
        """Known words one letter, or two that are swapped, from ``word``; none of words that are short or no words.

        Of two such words either the first or the last letters are the same, so that few are compared.
        """
        if not _SHORTEST <= len(word) <= _LONGEST or not word.isalpha():
            return []
        lengths = range(len(word) - 1, len(word) + 2)
        alike = {one for length in lengths for key in _affixes(word, length) for one in self._near.get(key, ())}
        return [one for one, *_ in process.extract(word, alike, scorer=OSA.distance, score_cutoff=1, limit=None)]


def near_word(word: str, others: Iterable[str]) -> str:
    """The first of ``others`` that is one letter from ``word``; "" where none is, or it is too short to tell."""
    if len(word) < _SHORTEST:
        return ""
    alike = (one for one in others if abs(len(one) - len(word)) < 2 and len(one) >= _SHORTEST)
    return next((one for one in alike if OSA.distance(word, one, score_cutoff=1) <= 1), "")


def _words(text: str) -> re.Pattern[str]:
    """What finds the words of ``text``."""
    return WORD if text.isascii() else _ANY_WORD


def _affixes(word: str, length: int) -> tuple[str, str]:
    """Under which keys words of ``length`` letters stand that begin, or end, as ``word`` does."""
    count = 3 if length >= 8 else 2
    return f"{length}{word[:count]}", f"{length}.{word[-count:]}"


def _script(letter: str) -> int | None:
    return next((number for number, script in enumerate(_SCRIPTS) if script.match(letter)), None)
