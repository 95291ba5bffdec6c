from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.toys import toy_bundle

from reverie.errors import BundleError, ConfigError, DataError
from reverie.experts.lowrank import LoraConfig
from reverie.nouns import Dream
from reverie.training import LoopConfig, check_objective
from reverie.training.preferences import Pair, PreferenceData, PreferenceObjective, RewardModel, read_pairs
from reverie.training.recipes import PreferenceRecipe
from reverie.training.reward import RewardData, RewardObjective
from reverie.training.reward_tasks import engine_of
from reverie.training.rewards import RewardParts, Task, check_reward, make_reward

LOOP = LoopConfig(steps=60, lr=3e-3, warmup_steps=2, eval_every=0, checkpoint_every=0, tensorboard=False, num_threads=1)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_bundle(tmp_path_factory.mktemp("toy"))


def write(path: Path, rows: Sequence[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def likes(path: Path) -> Path:
    """People like answers that say yes."""
    rows = [
        {"question": f"does the {thing} fall {how}?", "better": f"Yes, the {thing} falls.", "worse": "No, nothing."}
        for thing in ("egg", "ball", "cup", "book", "apple", "spoon", "glass", "box")
        for how in ("down", "off", "now", "here", "again")
    ]
    return write(path, rows)


def test_pairs_come_from_corrections_and_from_good_and_wrong_answers(tmp_path: Path) -> None:
    path = write(
        tmp_path / "feedback.jsonl",
        [
            {"question": "Why?", "answer": "So.", "feedback": "wrong", "correction": "Because."},
            {"question": "Why?", "answer": "It fell.", "feedback": "good"},
            {"question": "Who?", "answer": "He.", "feedback": "good"},
            {"question": "How?", "better": "Fast.", "worse": "Slow."},
        ],
    )
    assert read_pairs(path) == [
        Pair("Why?", "Because.", "So."),
        Pair("How?", "Fast.", "Slow."),
        Pair("Why?", "It fell.", "So."),
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": "Why?", "answer": "So.", "feedback": "bad"}, "line 1: feedback is good or wrong"),
        ({"question": "Why?", "better": "So."}, "line 1: worse is a text"),
        ({"question": "", "better": "So.", "worse": "No."}, "line 1: question is a text"),
        ({"question": "Why?", "answer": "So.", "feedback": "good"}, "compares no two answers"),
    ],
)
def test_feedback_that_tells_nothing_is_told(tmp_path: Path, row: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_pairs(write(tmp_path / "feedback.jsonl", [row]))


def test_the_objective_keeps_the_contract(bundle: Path, tmp_path: Path) -> None:
    check_objective(PreferenceObjective(PreferenceData(str(likes(tmp_path / "likes.jsonl")), str(bundle))))
    with pytest.raises(ConfigError, match=r"data\.feedback"):
        PreferenceData()


def test_it_learns_what_people_like_and_rewards_dreams_by_it(bundle: Path, tmp_path: Path) -> None:
    data = PreferenceData(str(likes(tmp_path / "likes.jsonl")), str(bundle))
    result = PreferenceRecipe(str(tmp_path / "run"), data, LOOP).train(progress=False)
    assert result.metrics["accuracy"] >= 0.9
    judge = tmp_path / "run" / "export"
    asked = write(tmp_path / "asked.jsonl", [{"question": f"does the egg fall {number}?"} for number in range(30)])
    settings = RewardData(
        bundle=str(bundle), world="", questions=str(asked), reward="thumbs", judge=str(judge), shown_steps=0, groups=2,
        branches=2, most_ids=20, eval_tasks=2, lora=LoraConfig(rank=2),
    )  # fmt: skip
    objective = RewardObjective(settings)
    yes, no = (Dream((), -1.0, 0, said, 4) for said in ("Yes, the egg falls.", "No, nothing."))
    better, worse, silent = objective.reward.score(Task("does the egg fall?"), [yes, no, Dream((), -1.0, 0, "", 1)])
    assert better.value > worse.value > silent.value == 0
    check_objective(objective)
    base = objective.adapted
    parts = RewardParts(None, None, engine_of(base), base.prompter, str(judge), objective.base)
    check_reward("thumbs", parts)
    with pytest.raises(BundleError, match="another base"):
        RewardModel.load(judge, "0" * 64)
    with pytest.raises(ConfigError, match="reward model"):
        make_reward("thumbs", RewardParts())
