"""The nouns are frozen, checked, and equal where what they say is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from reverie.nouns import Answer, Attribution, Dream, Frame, Part, Signals, Triplet, situation

CALM, MOVED = Frame(np.zeros((2, 3))), Frame(np.ones((2, 3)))


def test_a_frame_is_its_codes_and_nobody_can_change_them() -> None:
    codes = np.zeros((2, 3), np.int32)
    frame = Frame(codes)
    codes[0, 0] = 7
    assert frame == CALM
    assert hash(frame) == hash(CALM)
    assert frame != MOVED
    assert frame.shape == (2, 3)
    with pytest.raises(ValueError, match="read-only"):
        frame.codes[0, 0] = 1


@pytest.mark.parametrize("codes", [np.zeros(3), np.zeros((0, 2)), np.full((1, 1), -1)])
def test_what_is_no_grid_of_codes_is_no_frame(codes: np.ndarray) -> None:
    with pytest.raises(ValueError, match="codes"):
        Frame(codes)


def test_a_part_has_words_or_a_picture_and_its_cells_ascend() -> None:
    with pytest.raises(ValueError, match="words, a frame, or both"):
        Part()
    with pytest.raises(ValueError, match="ascend"):
        Part("push", cells=((1, 0), (0, 0)))


def test_a_chain_goes_on_from_where_it_was() -> None:
    first = Triplet(Part("", CALM), Part("push"), Part("it moves", MOVED))
    again = Triplet(Part("", MOVED), Part("wait"), Part("it stops", CALM))
    assert len(Dream((first, again), -1.0, 0).triplets) == 2
    with pytest.raises(ValueError, match="start from the last result"):
        Dream((first, first), -1.0, 0)


def test_a_claim_needs_words() -> None:
    told = Triplet(Part("a ball"), Part("push"), Part("it moves"))
    assert Dream((told,), -1.0, 0).claim == (situation("a ball", "push"), "it moves")
    assert Dream((Triplet(Part("", CALM), Part("push"), Part("it moves")),), -1.0, 0).claim is None


def test_confidence_and_agreement_are_shares() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Answer("Yes.", True, 1.5, "local")
    with pytest.raises(ValueError, match="between 0 and 1"):
        Signals([-1.0], np.zeros(2), 2.0, -0.1)
    with pytest.raises(ValueError, match="at least one id"):
        Signals([], np.zeros(2), None, -0.1)


def test_an_answer_is_frozen_and_compared_by_what_it_says() -> None:
    answer = Answer("Yes.", True, 0.5, "local", signals=Signals(np.array([-1.0]), np.zeros(2), None, -0.1))
    assert answer == Answer("Yes.", True, 0.5, "local", signals=Signals((-1.0,), np.ones(2), None, -0.1))
    assert answer.attribution == Attribution()
    with pytest.raises(dataclasses.FrozenInstanceError):
        answer.known = False  # type: ignore[misc]
