"""Evaluators keep their contract, and the arbiter picks by their weighted mean."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
import pytest
from rich.console import Console

from reverie.dreaming import Arbiter, check_evaluator, evaluator_names, make_evaluator, register_evaluator
from reverie.dreaming.arbiter import report
from reverie.dreaming.evaluators import EVALUATORS, Agreement, Context, Likelihood, Rules
from reverie.errors import ContractError, UnknownNameError
from reverie.nouns import Dream, Frame, Part, Triplet
from reverie.worlds import make_world

HERE, THERE = Frame(np.zeros((2, 2))), Frame(np.ones((2, 2)))


def dream(said: str, words: str = "it moves", log_prob: float = -4.0, after: Frame = THERE) -> Dream:
    return Dream((Triplet(Part("", HERE), Part("push"), Part(words, after)),), log_prob, 0, said, num_ids=8)


@pytest.mark.parametrize("name", evaluator_names())
def test_every_evaluator_passes_the_public_check(name: str) -> None:
    assert "scores lie between 0 and 1" in check_evaluator(name)


def test_the_check_finds_a_broken_evaluator(monkeypatch: pytest.MonkeyPatch) -> None:
    class Boastful:
        name, weight = "boastful", 1.0

        def judge(self, dreams: Sequence[Dream], context: Context) -> list[float]:
            return [2.0 for _ in dreams]

    monkeypatch.setattr(EVALUATORS, "_entries", dict(EVALUATORS._entries))
    register_evaluator("boastful", Boastful)
    with pytest.raises(ContractError, match="boastful breaks the contract of an evaluator: scores lie between 0 and 1"):
        check_evaluator("boastful")


def test_an_unknown_evaluator_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'agreement'"):
        make_evaluator("agreemnt")


def test_likelihood_is_the_geometric_mean_of_the_odds() -> None:
    assert Likelihood().judge([dream("A.", log_prob=8 * math.log(0.5))], Context()) == [pytest.approx(0.5)]


def test_agreement_counts_the_branches_that_end_alike() -> None:
    scores = Agreement().judge([dream("A."), dream("A."), dream("B.", "it stops", after=HERE)], Context())
    assert scores == [pytest.approx(0.5), pytest.approx(0.5), pytest.approx(0.0)]
    assert Agreement().judge([dream("A.")], Context()) is None


def test_rules_are_read_from_pictures_where_a_world_is_known() -> None:
    lake = make_world("FrozenLake")
    lake.reset(seed=0)
    before = np.asarray(lake.render())
    lake.step(2)
    pictures = {HERE: before, THERE: np.asarray(lake.render())}
    assert Rules().judge([dream("A.")], Context("", lake, pictures)) == [1.0]
    broken = {HERE: before, THERE: before[:128, :128]}
    assert Rules().judge([dream("A.")], Context("", lake, broken)) == [0.0]
    assert Rules().judge([dream("A.")], Context()) is None


def test_the_arbiter_picks_the_best_weighted_mean_and_says_why() -> None:
    dreams = [dream("B.", "it stops", -2.0, HERE), dream("A."), dream("A.", log_prob=-5.0)]
    scored, verdict = Arbiter().decide(dreams, Context())
    assert verdict.branch == 1
    assert scored[1].score == pytest.approx((math.exp(-0.5) + 0.5) / 2)
    assert verdict.reason.startswith("dream 2 of 3 has the best score, 0.55 (likelihood 0.61, agreement 0.50)")


def test_ties_go_to_the_more_probable_dream() -> None:
    class Fair:
        name, weight = "fair", 1.0

        def judge(self, dreams: Sequence[Dream], context: Context) -> list[float]:
            return [0.5 for _ in dreams]

    _, verdict = Arbiter([Fair()]).decide([dream("A.", log_prob=-9), dream("B.", log_prob=-3)], Context())
    assert verdict.branch == 1
    assert "shares the best score 0.50" in verdict.reason


def test_no_dreams_mean_a_direct_answer() -> None:
    assert Arbiter().decide([], Context())[1].branch == -1


def test_the_report_shows_every_dream_and_marks_the_winner() -> None:
    scored, verdict = Arbiter().decide([dream("A ball bounces."), dream("A ball breaks.", log_prob=-40)], Context())
    console = Console(width=100, file=io.StringIO())
    with console.capture() as printed:
        console.print(report(scored, verdict.branch))
    lines = printed.get().splitlines()
    assert [word in lines[0] for word in ("what it says", "likelihood", "agreement", "score")] == [True] * 4
    assert "★ 1" in lines[1]
    assert "A ball bounces." in lines[1]
