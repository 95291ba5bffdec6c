"""Which questions a model is calibrated with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reverie.training.knowing.made_up import made_up_questions
from reverie.training.knowing.near_misses import near_misses, taught_questions
from reverie.training.knowing.questions import KeyedQuestion, read_questions

__all__ = ["gather"]

_OF_WORLDS = 600  # questions, where there is no file


def gather(path: Path | None, limit: int = 0, made_up: int = 0, seed: int = 0) -> list[KeyedQuestion]:
    """The questions of a file, at most ``limit`` of them, and ``made_up`` ones beside them, in a random order; without
    a file those of the packaged worlds. Raises as ``read_questions`` does."""
    rng = np.random.default_rng([seed, 41])
    if path is None:
        count = limit or _OF_WORLDS
        asked = [*taught_questions(count // 2, seed), *near_misses(count - count // 2, seed)]
    else:
        asked = read_questions(path)
    kept = [asked[place] for place in rng.permutation(len(asked))[: limit or len(asked)]]
    kept += made_up_questions(made_up, rng)
    return [kept[place] for place in rng.permutation(len(kept))]
