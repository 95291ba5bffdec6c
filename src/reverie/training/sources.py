"""The backbone's first training documents, before any world: those of worlds are in ``worlds/documents.py``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reverie.nouns import Frame, Part
from reverie.tokens.grammar import Grammar
from reverie.tokens.vocabulary import DELTA, RES
from reverie.worlds.contract import Segments
from reverie.worlds.documents import DIRECTIONS

__all__ = ["Drills"]


@dataclass(frozen=True)
class Drills:
    """Looking cells up, on key frames of random codes, before there is anything to understand.

    After the frame come questions whose only answer lies in it: a position is followed by its code, and a position
    with a direction by the code of the cell next to it. Random codes leave no way but to look.
    """

    grammar: Grammar
    max_side: int = 8
    questions: int = 14

    def draw(self, rng: np.random.Generator) -> Segments:
        v, directions = self.grammar.vocabulary, tuple(DIRECTIONS.items())
        rows, cols = rng.integers(2, self.max_side + 1, size=2)
        codes = np.full((rows, cols), rng.integers(v.num_codes))
        if self.grammar.backdrops and rng.random() < 0.5:
            base = self.grammar.backdrops[rng.integers(len(self.grammar.backdrops))].codes
            if base.shape[0] >= rows and base.shape[1] >= cols:
                codes = base[:rows, :cols].copy()
        few = rng.integers(2, v.num_codes, size=4)  # a small palette as often as a large one
        filled = rng.random((rows, cols)) < rng.uniform(0.1, 0.7)
        palette = few if rng.random() < 0.3 else np.arange(v.num_codes)
        codes[filled] = rng.choice(palette, size=int(filled.sum()))
        segments: Segments = [(self.grammar.question_ids("") + self.grammar.what_ids(Part("", Frame(codes))), 0.0)]
        for _ in range(self.questions):
            row, col = int(rng.integers(rows)), int(rng.integers(cols))
            if rng.random() < 0.35:
                segments.append(([DELTA, v.position(row, col)], 0.0))
            else:
                word, (down, right) = directions[int(rng.integers(4))]
                segments.append(([DELTA, v.position(row, col), *self.grammar.action_ids(word), RES], 0.0))
                row, col = min(max(row + down, 0), int(rows) - 1), min(max(col + right, 0), int(cols) - 1)
                if rng.random() < 0.5:
                    segments.append(([v.position(row, col)], 1.0))
            segments.append(([v.code_start + int(codes[row, col])], 1.0))
        return segments
