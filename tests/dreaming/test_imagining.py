"""Simulating and planning: with a dreamer that is right, and with a model that knows nothing."""

from __future__ import annotations

from typing import Any

import pytest

from reverie.dreaming import Reverie
from reverie.errors import UsageError, WorldError
from toys import LakeOracle, toy_session

HARD = ("SFFF", "FHFH", "FFFH", "HFFG")


def right_session(desc: tuple[str, ...], wrong: dict[tuple[int, int], tuple[int, int]] | None = None) -> Reverie:
    return toy_session(dreamer=LakeOracle(desc, wrong))


def test_a_right_dream_agrees_with_the_world() -> None:
    done = right_session(("SFF", "FHF", "FFG")).simulate("FrozenLake", "SFF,FHF,FFG", "RRDD")
    assert done.agrees
    assert done.outcome == done.real_outcome == "goal"
    assert [step.words for step in done.steps] == ["safe", "safe", "safe", "goal"]
    assert all(step.exact for step in done.steps)
    assert done.steps[0].picture.shape == done.start.shape == (192, 192, 3)


def test_a_dream_ends_where_its_words_say_so() -> None:
    done = right_session(("SFF", "FHF", "FFG")).simulate("FrozenLake", "SFF,FHF,FFG", "DRRRR")
    assert [step.words for step in done.steps] == ["safe", "falls"]
    assert done.agrees


def test_a_wrong_dream_is_found_out() -> None:
    done = right_session(("SFF", "FHF", "FFG"), {(1, 1): (1, 0)}).simulate("FrozenLake", "SFF,FHF,FFG", "DR")
    assert (done.outcome, done.real_outcome) == ("safe", "falls")
    assert [step.exact for step in done.steps] == [True, False]
    assert not done.agrees


def test_long_walks_go_on_from_dreamed_key_frames() -> None:
    done = right_session(HARD).simulate("FrozenLake", list(HARD), "RL" * 10)
    assert len(done.steps) == 20
    assert done.agrees


def test_the_best_of_several_branches_is_picked() -> None:
    done = right_session(HARD).simulate("FrozenLake", list(HARD), "RR", branches=3)
    assert len(done.dreams) == 3
    assert done.verdict.branch == 0
    assert done.dreams[0].scores == {"likelihood": pytest.approx(0.98, abs=0.01), "agreement": 1.0, "rules": 1.0}


def test_many_simulations_equal_single_ones() -> None:
    session = toy_session()
    jobs = [("SFF,FHF,FFG", "RR"), ("SFFF,FHFH,FFFH,HFFG", "D")]
    together = session.simulate_many("FrozenLake", jobs)
    alone = [session.simulate("FrozenLake", *job) for job in jobs]
    assert [one.dreams[0].triplets for one in together] == [one.dreams[0].triplets for one in alone]


def test_a_random_model_simulates_nonsense_without_breaking() -> None:
    done = toy_session().simulate("Everyday", '{"thing": "egg", "action": "drop"}', "drop the egg, wait", branches=2)
    assert len(done.steps) == 2
    assert not done.agrees
    assert done.actions == ("drop the egg", "wait")


def test_a_plan_is_shortest_and_reaches_the_goal() -> None:
    session = right_session(HARD)
    found = session.plan("FrozenLake", list(HARD))
    assert found.found
    assert found.reaches_goal
    assert not found.falls
    assert len(found.actions) == 6
    assert found.dream is not None
    assert [triplet.action.text for triplet in found.dream.triplets] == list(found.actions)
    assert found.dream.triplets[-1].result.text == "goal"
    assert isinstance(session.model.dreamer, LakeOracle)
    assert found.num_steps == session.model.dreamer.num_steps <= 64


def test_a_plan_from_a_wrong_dream_falls_in_the_real_world() -> None:
    found = right_session(("SFF", "FHF", "FFG"), {(1, 1): (2, 2)}).plan("FrozenLake", "SFF,FHF,FFG")
    assert len(found.actions) == 2
    assert found.falls
    assert not found.reaches_goal
    assert found.real_outcome == "falls"


def test_an_unsolvable_map_gives_no_plan() -> None:
    desc = ("SHF", "HHF", "FFG")
    found = right_session(desc).plan("FrozenLake", list(desc))
    assert not found.found
    assert found.dream is None
    assert found.num_steps == 4
    assert found.exhausted


@pytest.mark.parametrize("budget", [1, 3, 10])
def test_the_budget_bounds_the_imagined_steps(budget: int) -> None:
    found = right_session(HARD).plan("FrozenLake", list(HARD), budget=budget)
    assert not found.found
    assert not found.exhausted
    assert found.num_steps == budget


def test_a_random_model_plans_without_breaking() -> None:
    plans = toy_session().plan_many("FrozenLake", ["SFF,FHF,FFG", "SFFF,FHFH,FFFH,HFFG"], budget=24)
    assert [plan.found for plan in plans] == [False, False]


def test_planning_needs_goals_and_simulating_needs_branches() -> None:
    session = toy_session()
    with pytest.raises(WorldError, match="Everyday has no goal"):
        session.plan("Everyday", None)
    with pytest.raises(UsageError, match="budget of at least 1"):
        session.plan("FrozenLake", None, budget=0)
    with pytest.raises(UsageError, match="needs at least 1 branch"):
        session.simulate("FrozenLake", None, "R", branches=0)


def test_wrong_types_are_refused_in_one_line() -> None:
    session = toy_session()
    for wrong in ({"world": None}, {"world": "\udcff"}, {"actions": 5}, {"branches": "2"}, {"seed": -1}):
        how: dict[str, Any] = {"world": "FrozenLake", "scene": None, "actions": "R"} | wrong
        with pytest.raises(UsageError):
            session.simulate(**how)
    for wrong in ({"world": 7}, {"budget": 2.5}, {"seed": "1"}):
        how = {"world": "FrozenLake", "scene": None} | wrong
        with pytest.raises(UsageError):
            session.plan(**how)
