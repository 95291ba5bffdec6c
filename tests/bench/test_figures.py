"""What benchmarks count with."""

from __future__ import annotations

import math

import numpy as np
import pytest

from reverie.training.knowing.figures import calibration_error
from reverie.worlds import Question
from reverie_bench.figures import auroc, best_constant, grouped, is_right, share

YES = Question("will it break?", "Yes, it breaks.", "will", "yes", ("Yes.",))
NO = Question("will it melt?", "No, it stays whole.", "will", "no", ("No.",))


@pytest.mark.parametrize(
    ("positives", "negatives", "area"),
    [
        ([0.9, 0.8], [0.1, 0.2], 1.0),
        ([0.1, 0.2], [0.9, 0.8], 0.0),
        ([0.5, 0.5], [0.5], 0.5),
        ([0.8, 0.4], [0.6, 0.4], 0.625),  # wins 1 + 1 + 0 + a tie
        ([0.1, 0.4, 0.35, 0.8][2:], [0.1, 0.4], 0.75),
    ],
)
def test_auroc_is_the_chance_to_rank_above_with_ties_counting_half(
    positives: list[float], negatives: list[float], area: float
) -> None:
    assert auroc(positives, negatives) == pytest.approx(area)


def test_auroc_equals_counting_all_pairs() -> None:
    rng = np.random.default_rng(0)
    high, low = rng.integers(0, 8, 40), rng.integers(0, 6, 60)
    pairs = np.mean([float(a > b) + 0.5 * float(a == b) for a in high for b in low])
    assert auroc(high.tolist(), low.tolist()) == pytest.approx(pairs)


def test_auroc_of_one_kind_is_no_number() -> None:
    assert math.isnan(auroc([], [1.0]))


def test_calibration_error_is_the_weighted_gap() -> None:
    assert calibration_error(np.array([1.0, 1.0, 0.0, 0.0]), np.array([True, True, False, False])) == 0
    assert calibration_error(np.array([0.75, 0.75, 0.75, 0.75]), np.array([True, True, False, False])) == pytest.approx(
        0.25
    )
    assert calibration_error(np.array([1.0, 0.0]), np.array([False, True])) == pytest.approx(1.0)


def test_share_leaves_out_what_was_not_judged() -> None:
    assert share([True, None, False, None]) == 0.5
    assert math.isnan(share([None]))


@pytest.mark.parametrize("said", ["Yes, it breaks.", "yes,  it breaks", "YES"])
def test_case_spaces_and_the_final_period_do_not_matter(said: str) -> None:
    assert is_right(said, YES)


def test_another_answer_is_wrong() -> None:
    assert not is_right("No.", YES)
    assert not is_right("", YES)


def test_the_best_constant_answer_may_be_an_accepted_wording() -> None:
    other = Question("will it pop?", "Yes, it pops.", "will", "yes", ("Yes.",))
    assert best_constant([YES, other, NO]) == pytest.approx(2 / 3)


def test_groups_are_counted_on_their_own() -> None:
    figures = grouped([1, 2, 3], lambda row: "odd" if row % 2 else None, lambda rows: {"sum": sum(rows)})
    assert figures == {"odd": {"n": 2, "sum": 4}}
