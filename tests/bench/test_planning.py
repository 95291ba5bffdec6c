"""How plans are judged, on maps small enough to see."""

from __future__ import annotations

import numpy as np
import pytest

from reverie.worlds import make_world
from reverie.worlds.frozenlake import ACTIONS, random_map, shortest_plan
from reverie_bench.frozenlake_planning import blind_plan, judge, steps_to_goal, track

LAKE = ("SFF", "FHF", "FFG")
LETTERS = {name[0].upper(): name for name in ACTIONS}


def plan(letters: str) -> list[str]:
    return [LETTERS[letter] for letter in letters]


@pytest.mark.parametrize(
    ("letters", "exact", "success", "released", "progress"),
    [
        ("RRDD", True, True, True, 1.0),
        ("RDRD", False, False, True, 0.25),  # through the hole: the released check does not look
        ("RLRRDD", False, True, False, 0.25),  # a detour
        ("RRDDD", False, True, True, 1.0),  # one action too many, and the released check looks at the first four
        ("LRRDD", False, True, False, 0.0),  # against the edge at once
        ("RRD", False, False, False, 0.75),  # stops before the goal
        ("", False, False, False, 0.0),
    ],
)
def test_a_plan_is_judged_four_ways(letters: str, exact: bool, success: bool, released: bool, progress: float) -> None:
    verdict = judge(LAKE, plan(letters))
    assert (verdict.exact, verdict.success, verdict.released) == (exact, success, released)
    assert verdict.progress == pytest.approx(progress)


def test_a_shortest_way_longer_than_the_straight_one_fails_the_released_check_when_walked_straight() -> None:
    lake = ("SHG", "FFF")
    verdict = judge(lake, plan("RR"))
    assert not verdict.released
    assert not verdict.exact
    assert judge(lake, plan("DRRU")).exact


def test_rules_do_not_look_at_holes() -> None:
    assert blind_plan(("FFG", "FHF", "SFF"), rows_first=True) == plan("UURR")
    assert blind_plan(("FFG", "FHF", "SFF"), rows_first=False) == plan("RRUU")
    assert judge(("SHF", "FFF", "FFG"), blind_plan(("SHF", "FFF", "FFG"), rows_first=True)).exact
    wrong = judge(("SHF", "FFF", "FFG"), blind_plan(("SHF", "FFF", "FFG"), rows_first=False))
    assert wrong.released
    assert not wrong.exact


def test_distances_are_those_of_shortest_plans() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        desc = random_map(int(rng.integers(2, 7)), rng)
        shortest = shortest_plan(desc)
        assert shortest is not None
        assert judge(desc, [ACTIONS[action] for action in shortest]).exact
        start = next((row, line.index("S")) for row, line in enumerate(desc) if "S" in line)
        assert steps_to_goal(desc)[start] == len(shortest)


def test_success_is_what_gymnasium_rewards() -> None:
    rng, world = np.random.default_rng(1), make_world("FrozenLake")
    for _ in range(30):
        desc = random_map(3, rng)
        actions = rng.integers(4, size=6).tolist()
        world.reset(options={"desc": list(desc)})
        rewards = 0.0
        for action in actions:
            _, reward, terminated, _, _ = world.step(action)
            rewards += float(reward)
            if terminated:
                break
        assert judge(desc, [ACTIONS[action] for action in actions]).success == bool(rewards)


def test_the_track_is_read_from_the_recipe() -> None:
    assert track({"data": {"parity": True}}) == "parity"
    assert track({"stages": {"first": {"steps": 3}}, "data": {"parity": False}}) == "open"
    assert track({}) == "unsaid"
