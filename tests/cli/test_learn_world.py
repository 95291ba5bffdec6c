from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.toys import toy_bundle

import reverie
from reverie.cli.learn_world import learn_world
from reverie.errors import UnknownNameError, WorldError
from reverie.experts.files import base_hash, load_card
from reverie.experts.library import Library

FAST = (
    "data.shown_steps=1", "data.shown_docs=2", "data.groups=1", "data.branches=2", "data.depth=1", "data.most_ids=20",
    "data.eval_tasks=1", "data.max_side=3", "data.lora.rank=2", "loop.steps=2", "loop.tensorboard=false",
)  # fmt: skip


def test_a_world_and_a_reward_end_in_an_expert(tmp_path: Path) -> None:
    bundle = str(toy_bundle(tmp_path))
    result, run_dir = learn_world("frozenlake", "reach-goal", bundle, tmp_path / "run", FAST, progress=False)
    assert result.stopped == "done"
    card = load_card(run_dir / "export")
    assert (card.name, card.domain) == ("reach-goal", "FrozenLake")
    assert "final_reward" in card.before
    Library.open(tmp_path / "library", base_hash(Path(bundle) / "backbone")).add(run_dir / "export")
    session = reverie.load(bundle, library=tmp_path / "library", enable_gpt51_codex_preview=False)
    plan = session.plan("FrozenLake", "SFF,FHF,FFG", expert="reach-goal")
    assert plan.num_steps <= 24  # one dream, no search
    assert plan.found == bool(plan.dream)
    with pytest.raises(UnknownNameError, match="reach-goal"):
        session.plan("FrozenLake", "SFF,FHF,FFG", expert="reach-gaol")
    assert json.loads((run_dir / "recipe.json").read_text())["data"]["world"] == "FrozenLake"


def test_names_that_are_not_known_bring_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="FrozenLake"):
        learn_world("FrozenLaek", output=tmp_path / "run")
    with pytest.raises(UnknownNameError, match="reach-goal"):
        learn_world("FrozenLake", "reach-gaol", output=tmp_path / "run")
    with pytest.raises(WorldError, match="has a goal"):
        learn_world("Everyday", output=tmp_path / "run", progress=False)
