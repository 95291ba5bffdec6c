"""Bounds hold as often as they say, and agree with the tests that they come from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from reverie.growth import certificate
from reverie.growth.bounds import least_gain, least_share, most_lost, most_share
from reverie.growth.trial import holm


@pytest.mark.parametrize(("hits", "count"), [(0, 10), (3, 10), (10, 10), (1, 48)])
def test_shares_are_clopper_and_pearsons(hits: int, count: int) -> None:
    exact = binomtest(hits, count)
    assert least_share(hits, count, 0.05) == pytest.approx(exact.proportion_ci(0.90).low, abs=1e-9)
    assert most_share(hits, count, 0.05) == pytest.approx(exact.proportion_ci(0.90).high, abs=1e-9)


def test_a_gain_is_sure_where_mcnemar_says_so() -> None:
    for gained, lost in [(5, 0), (4, 0), (9, 2), (9, 1), (30, 20), (30, 12)]:
        sure = binomtest(gained, gained + lost, alternative="greater").pvalue < 0.05
        assert (least_gain(gained, lost, 60, 0.05) > 0) == sure
    assert least_gain(0, 0, 20, 0.05) <= 0
    assert least_gain(0, 0, 0, 0.05) == -1


def test_nothing_is_lost_where_nobody_is_reached() -> None:
    assert most_lost(0, 0, 48, 0.05) == 0
    assert most_lost(0, 1, 48, 0.05) == pytest.approx(0.95 / 48)
    assert most_lost(5, 40, 40, 0.05) > 5 / 40


def test_bounds_hold_as_often_as_they_say() -> None:
    hits = np.random.default_rng(0).binomial(40, 0.3, 2000)
    assert np.mean([most_share(int(one), 40, 0.05) >= 0.3 for one in hits]) >= 0.94


def test_holm_gives_the_last_test_the_whole_level() -> None:
    def at(need: float):  # type: ignore[no-untyped-def]  # passes at levels of at least ``need``
        return lambda level: certificate.Test(str(need), 1, 0, 0, need, level, "at most")

    def passed(*needs: float) -> list[bool]:
        return [test.passed for test in holm([at(one) for one in needs[:-1]], 0.05, [], lambda _: at(needs[-1]))]

    assert passed(0.001, 0.02, 0.05) == [True, True, True]
    assert passed(0.03, 0.03) == [False, False]  # as Bonferroni: none below half of the level
    assert passed(0.001, 0.03, 0.03) == [True, False, False]
