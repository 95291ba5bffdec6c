"""Captions ↔ ids: our byte-level BPE behind three special ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from reverie.tokens.text import TextTokenizer

__all__ = ["BEGIN", "END", "PAD", "CaptionTokenizer"]

PAD, BEGIN, END = 0, 1, 2
_SPECIAL = 3


class CaptionTokenizer:
    """Any caption round-trips. Ids run from 0 to ``size - 1``; 0 fills up, 1 begins and 2 ends a caption."""

    def __init__(self, text: TextTokenizer):
        self._text = text

    @classmethod
    def train(cls, captions: Iterable[str], size: int) -> CaptionTokenizer:
        """Learn at most ``size`` ids (259 or more: all bytes and the special three) from ``captions``."""
        return cls(TextTokenizer.train(captions, size - _SPECIAL))

    @property
    def size(self) -> int:
        return self._text.size + _SPECIAL

    def encode(self, caption: str, length: int = 0) -> list[int]:
        """[begin, …, end]; with ``length`` cut so that begin and end are still there."""
        ids = [_SPECIAL + one for one in self._text.encode(caption)]
        return [BEGIN, *(ids[: length - 2] if length else ids), END]

    def batch(self, captions: Sequence[str], length: int) -> Tensor:
        """(B, T) with T the longest of them, at most ``length``."""
        rows = [self.encode(caption, length) for caption in captions]
        ids = torch.full((len(rows), max(map(len, rows), default=2)), PAD)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = torch.tensor(row)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The words up to the first end; broken UTF-8 becomes U+FFFD."""
        ids = list(ids)
        ids = ids[: ids.index(END)] if END in ids else ids
        return self._text.decode([one - _SPECIAL for one in ids if one >= _SPECIAL])

    def save(self, folder: Path) -> None:
        self._text.save(folder)

    @classmethod
    def load(cls, folder: Path) -> CaptionTokenizer:
        """Raises BundleError where there is none, or a damaged one."""
        return cls(TextTokenizer.load(folder))
