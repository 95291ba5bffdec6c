"""The text of ids that come one after another: each character once, as soon as it is sure."""

from __future__ import annotations

from reverie.tokens.base_words import BaseWords

__all__ = ["HALF", "GrowingText"]

HALF = "\ufffd"  # what stands for a character that is not whole
_BEHIND = 8  # ids before a new one that its text may depend on


class GrowingText:
    """Pieces that joined are the text of all ids; none ends within a character.

    Only the last ids are decoded again for a new one, so that a long text costs no more an id than a short one.
    """

    def __init__(self, words: BaseWords):
        self._words = words
        self._told = list[int]()  # ids whose text was given
        self._held = list[int]()  # those after them

    @property
    def held(self) -> bool:
        """Whether ids wait for others, as parts of one character do."""
        return bool(self._held)

    def feed(self, token: int) -> str:
        """What is sure now."""
        self._held.append(token)
        if token in self._words.byte_ids:
            return ""
        text = self._text()
        return "" if text.endswith(HALF) else self._give(text)

    def rest(self) -> str:
        """What was held back, when nothing more comes."""
        return self._give(self._text()) if self._held else ""

    def _text(self) -> str:
        before = self._words.decode(self._told)
        return self._words.decode(self._told + self._held)[len(before) :]

    def _give(self, text: str) -> str:
        self._told = (self._told + self._held)[-_BEHIND:]
        self._held = []
        return text
