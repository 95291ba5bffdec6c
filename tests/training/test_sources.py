from __future__ import annotations

import numpy as np
from tests.toys import toy_grammar

from reverie.training.backbone import pad
from reverie.training.sources import Drills


def test_drills_ask_only_what_the_frame_answers() -> None:
    grammar = toy_grammar()
    drills = Drills(grammar)
    segments = drills.draw(np.random.default_rng(5))
    frame = grammar.decode(segments[0][0], partial=True)  # a legal beginning
    assert frame.question == ""
    answers = [ids for ids, weight in segments if weight]
    assert {grammar.vocabulary.kind(ids[0]) for ids in answers} <= {"code", "position"}


def test_padding_adds_nothing_that_counts() -> None:
    ids, weights = pad([([1, 2, 3], [0.0, 1.0, 1.0]), ([1], [1.0])])
    assert ids.shape == (2, 16)
    assert weights.sum() == 3
    assert ids[1, 1:].sum() == 0
