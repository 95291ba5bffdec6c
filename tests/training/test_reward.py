from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.toys import toy_bundle

from reverie.errors import ConfigError, ContractError, TrainingError, UnknownNameError, WorldError
from reverie.experts.files import load_adapter, load_card
from reverie.experts.lowrank import LoraConfig
from reverie.nouns import Dream, Part, Triplet
from reverie.training import LoopConfig, check_objective, train
from reverie.training.policy_gradient import advantages, clipped_loss, kl_to_start, returns
from reverie.training.recipes import RewardRecipe
from reverie.training.reward import RewardData, RewardObjective
from reverie.training.rewards import (
    REWARDS,
    Brevity,
    ReachGoal,
    RewardParts,
    Score,
    Task,
    check_reward,
    make_reward,
    register_reward,
    reward_names,
)
from reverie.worlds import make_world

LOOP = LoopConfig(
    steps=4, lr=5e-3, weight_decay=0, eval_every=2, checkpoint_every=1, num_threads=1, tensorboard=False,
    warmup_steps=1, log_every=1, schedule="constant",
)  # fmt: skip
LAKE = {"desc": ["SFF", "FHF", "FFG"]}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_bundle(tmp_path_factory.mktemp("toy"))


def data(bundle: Path, **changes: object) -> RewardData:
    settings = {
        "bundle": str(bundle), "shown_steps": 1, "shown_docs": 4, "groups": 2, "branches": 3, "depth": 2, "buckets": 2,
        "most_ids": 40, "eval_tasks": 2, "max_side": 4, "updates": 1, "lora": LoraConfig(rank=2),
    }  # fmt: skip
    return RewardData(**{**settings, **changes})  # type: ignore[arg-type]


def dream(*actions: str) -> Dream:
    return Dream(tuple(Triplet(Part("a"), Part(action), Part("b")) for action in actions), -1.0, 0, "", len(actions))


class Told:
    """A reward that a test makes up."""

    name, question = "told", "which way?"

    def __init__(self, values: Sequence[float] | None = None, fails: bool = False):
        self.values, self.fails = values, fails

    def score(self, task: Task, dreams: Sequence[Dream]) -> list[Score]:
        if self.fails:
            raise ZeroDivisionError("by nothing")
        values = self.values or [place / len(dreams) for place in range(len(dreams))]
        return [Score(values[place % len(values)]) for place in range(len(dreams))]


def test_advantages_compare_a_step_with_its_group() -> None:
    assert returns([1, 0, 1], 0.5).tolist() == [1.25, 0.5, 1.0]
    found = advantages([np.array([1.0, 1.0]), np.array([0.0])])
    assert found is not None
    assert found[0][0] > 0 > found[1][0]
    assert np.concatenate(found).mean() == pytest.approx(0)
    assert advantages([np.ones(2), np.ones(3)]) is None
    by_value = advantages([np.array([1.0]), np.array([0.0])], [np.array([1.0]), np.array([0.5])])
    assert by_value is not None
    assert by_value[0].tolist() == [0.0]
    assert by_value[1].tolist() == [-1.0]


def test_the_ratio_is_clipped_only_where_it_would_gain() -> None:
    before, gain = torch.zeros(2), torch.tensor([1.0, -1.0])
    moved = torch.tensor([1.0, 1.0], requires_grad=True)
    loss, clipped = clipped_loss(moved, before, gain, 0.2)
    loss.backward()
    assert clipped.item() == 0.5
    assert moved.grad is not None
    assert moved.grad[0] == 0  # it gained enough
    assert moved.grad[1] > 0  # the bad one is still to be made rarer


def test_the_distance_from_the_start_is_none_there_and_above_0_elsewhere() -> None:
    start = torch.randn(50)
    assert kl_to_start(start, start).item() == 0
    assert kl_to_start(start + 0.3, start).item() > 0
    assert math.isfinite(kl_to_start(start - 500, start).item())


@pytest.mark.parametrize(
    ("actions", "value", "steps"),
    [
        (("right", "right", "down", "down"), 1.0, (1, 1, 1, 1)),
        (("right", "left", "right", "right", "down", "down"), 4 / 6, (1, 0, 1, 1, 1, 1)),
        (("right", "down", "down"), 0.0, (1, -1, 0)),
        (("right", "right"), 0.25, (1, 1)),
        (("right", "fly", "down"), 0.0, (1, -1, 0)),
        ((), 0.0, ()),
    ],
)
def test_reach_goal_follows_the_true_world(actions: tuple[str, ...], value: float, steps: tuple[float, ...]) -> None:
    reward = ReachGoal(RewardParts(make_world("FrozenLake")))
    assert reward.score(Task("", LAKE), [dream(*actions)]) == [Score(value, steps)]


@pytest.mark.parametrize(
    "name", [name for name in reward_names() if name not in ("thumbs", "contrast", "rules", "support")]
)
def test_every_reward_keeps_the_contract(name: str) -> None:
    assert check_reward(name)


def test_a_reward_that_is_no_reward_is_told() -> None:
    class Lucky(Brevity):
        name = "lucky"

        def score(self, task: Task, dreams: Sequence[Dream]) -> list[Score]:
            return [Score(2.0) for _ in dreams]

    register_reward("lucky", Lucky)
    try:
        with pytest.raises(ContractError, match="worth 0 to 1"):
            check_reward("lucky")
    finally:
        del REWARDS._entries["lucky"]
    with pytest.raises(UnknownNameError, match="reach-goal"):
        make_reward("reach-gaol", RewardParts())
    with pytest.raises(WorldError, match="FrozenLake"):
        make_reward("reach-goal", RewardParts(make_world("Everyday")))


def test_the_objective_keeps_the_contract(bundle: Path) -> None:
    check_objective(RewardObjective(data(bundle)))
    check_objective(RewardObjective(data(bundle, shown_steps=0, updates=2, baseline="value"), reward=Told()))


def test_a_run_that_goes_on_ends_in_the_same_weights(bundle: Path, tmp_path: Path) -> None:
    for name, settings in {"one": data(bundle), "two": data(bundle, updates=2, baseline="value")}.items():
        whole, parts = tmp_path / f"{name}-whole", tmp_path / f"{name}-parts"
        train(RewardObjective(settings, reward=Told()), LOOP, whole, progress=False)
        for steps in (2, 3, 4):  # 3 is in the middle of a round of two updates
            train(RewardObjective(settings, reward=Told()), replace(LOOP, steps=steps), parts, progress=False)
        first, second = (load_file(run / "checkpoint-000004" / "weights.safetensors") for run in (whole, parts))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_what_is_rewarded_becomes_likelier(bundle: Path) -> None:
    """After a few steps on one round the dreams that were worth more are likelier beside the others, and the value
    network expects more of them."""
    settings = data(bundle, shown_steps=0, branches=8, updates=9, most_ids=60, kl_weight=0.0, hold_weight=0.0, clip=0.9)
    objective = RewardObjective(settings, reward=Told([0.0, 1.0]))
    optimizer = torch.optim.Adam(objective.module.parameters(), lr=0.02)
    found = []
    for step in range(6):
        parts = objective.compute_loss(objective.batch(step))
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        found.append((parts["policy_loss"].item(), parts["value_loss"].item()))
    assert found[0][0] == pytest.approx(0, abs=1e-5)
    assert found[-1][0] < -0.005
    assert found[-1][1] < found[0][1]


def test_it_ends_in_an_expert_with_a_card(bundle: Path, tmp_path: Path) -> None:
    recipe = RewardRecipe(str(tmp_path / "run"), data(bundle, name="finder"), LOOP)
    result = recipe.train(progress=False)
    assert result.stopped == "done"
    export = tmp_path / "run" / "export"
    assert load_adapter(export).rank == 2
    card = load_card(export)
    assert card.name == "finder"
    assert card.before.keys() == card.after.keys() >= {"final_reward", "exact_share"}
    assert json.loads((export / "reward.json").read_text())["question"] == "which way leads to the goal?"
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {"policy_loss", "value_loss", "kl", "reward"} <= rows[-2].keys()
    going_on = data(bundle, name="again", start=str(export))
    assert RewardObjective(going_on).draw(RewardObjective(going_on).tests, 2, 1.0)


def test_what_a_reward_does_wrong_is_said_in_one_line(bundle: Path) -> None:
    for reward, said in (
        (Told([math.nan]), "not a finite number"),
        (Told(fails=True), "ZeroDivisionError: by nothing"),
    ):
        objective = RewardObjective(data(bundle, shown_steps=0), reward=reward)
        with pytest.raises(TrainingError, match=said):
            objective.compute_loss(objective.batch(0))


def test_it_stops_where_all_dreams_are_worth_the_same(bundle: Path) -> None:
    objective = RewardObjective(data(bundle, shown_steps=0, patience_groups=4), reward=Told([0.5]))
    objective.compute_loss(objective.batch(0))
    with pytest.raises(TrainingError, match="last 4 groups of 3 dreams were each worth the same by told"):
        objective.compute_loss(objective.batch(1))


def test_settings_that_cannot_be_are_told(bundle: Path) -> None:
    with pytest.raises(ConfigError, match="one of them"):
        data(bundle, questions="asked.jsonl")
    with pytest.raises(ConfigError, match="branches"):
        data(bundle, branches=1)
    with pytest.raises(UnknownNameError, match="FrozenLake"):
        RewardObjective(data(bundle, world="FrozenLak"))
