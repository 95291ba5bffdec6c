"""What a base may say, as constraints of the engine: its own text, up to a stop text, or lines of a given form."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from reverie.tokens.base_words import BaseWords
from reverie.tokens.growing import HALF

__all__ = ["FormConstraint", "SaidConstraint", "TextMasks"]

LINE_IDS = 32  # most ids of one line of a form, without its label
_LOOK_BACK = 24  # ids in which a stop text is looked for: more than any has


class TextMasks:
    """Which ids may be drawn, shared by all rows of a base: bool (V,) each, in the grammar's numbering."""

    def __init__(self, words: BaseWords, first: int, vocab_size: int):
        self.words, self.first, self._size = words, first, vocab_size
        self._single: dict[int, Tensor] = {}

    def _of(self, *ids: Sequence[int]) -> Tensor:
        mask = torch.zeros(self._size, dtype=torch.bool)
        for some in ids:
            mask[torch.tensor(sorted(some), dtype=torch.int64) + self.first] = True
        return mask

    @cached_property
    def anything(self) -> Tensor:
        """Text, and what ends an answer."""
        return self._of(self.words.text_ids, sorted(self.words.ends))

    @cached_property
    def line(self) -> Tensor:
        """Text without line feeds."""
        last, others = self.words.line_ends
        return self._of(self.words.text_ids) & ~self._of(last, others)

    @cached_property
    def line_end(self) -> Tensor:
        """What ends a line, and nothing more."""
        return self._of(self.words.line_ends[0])

    @cached_property
    def ends(self) -> Tensor:
        return self._of(sorted(self.words.ends))

    def only(self, token: int) -> Tensor:
        if token not in self._single:
            self._single[token] = self._of([token])
        return self._single[token]


class SaidConstraint:
    """Any text of the base, done before one of ``stop``."""

    def __init__(self, masks: TextMasks, stop: Sequence[str] = ()):
        self._masks, self._stop = masks, stop
        self._ids = list[int]()
        self.done = False

    def allowed(self) -> Tensor:
        return self._masks.anything

    def advance(self, token_id: int) -> None:
        self._ids.append(token_id - self._masks.first)
        if self._stop:
            said = self._masks.words.decode(self._ids[-_LOOK_BACK:])
            self.done = any(stop in said for stop in self._stop)


class FormConstraint:
    """One line that holds words, then for each of ``labels`` a line that begins with it and holds words."""

    def __init__(self, masks: TextMasks, labels: Sequence[str], most: int = LINE_IDS):
        self._masks, self._most = masks, most
        self._labels = [_at_line_start(masks.words, label) for label in labels]
        self._script, self._line = list[int](), list[int]()
        self.done = False

    def allowed(self) -> Tensor:
        masks = self._masks
        if self._script:
            return masks.only(self._script[0])
        said = masks.words.decode(self._line)
        if not said.strip() or said.endswith(HALF):
            return masks.line
        ending = masks.line_end if self._labels else masks.line_end | masks.ends
        return ending if len(self._line) >= self._most else masks.line | ending

    def advance(self, token_id: int) -> None:
        token = token_id - self._masks.first
        if self._script:
            del self._script[0]
            return
        self._line.append(token)
        if token in self._masks.words.ends:
            self.done = True
        elif bool(self._masks.line_end[token_id]):
            self._line = []
            if self._labels:
                self._script = list(self._labels.pop(0))
            else:
                self.done = True


def _at_line_start(words: BaseWords, label: str) -> list[int]:
    """The ids of a label behind a line feed: some bases put a space before whatever begins a text."""
    ids, ends = words.encode(f"\n{label}", whole=False), words.line_ends[0]
    place = next((place for place, token in enumerate(ids) if token in ends), -1)
    return ids[place + 1 :] if place >= 0 else words.encode(label, whole=False)
