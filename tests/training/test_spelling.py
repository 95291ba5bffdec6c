"""A base learns to spell: its rows of ids that never occurred, and nothing else."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.toys import mute_nano

from reverie.bundles import load_bundle
from reverie.bundles.respelled import respelled_bundle
from reverie.errors import ConfigError, TrainingError, UsageError
from reverie.experts import Router, base_hash
from reverie.export import check_folder
from reverie.model import Backbone
from reverie.tokens.grammar_files import load_grammar
from reverie.training import LoopConfig, check_objective, train
from reverie.training.spelling import SpellingData, SpellingObjective, unspelled_ids

NEW = 40  # ids that the mute base never met


@pytest.fixture(scope="module")
def mute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mute_nano(tmp_path_factory.mktemp("mute") / "bundle", NEW)


@cache
def objective(folder: Path) -> SpellingObjective:
    return SpellingObjective(settings(folder))


def settings(folder: Path, **more: Any) -> SpellingData:
    few: dict[str, Any] = {"known_docs": 24, "eval_docs": 8, "batch_size": 256, "episodes": 20, "drills": 0}
    return SpellingData(**{"bundle": str(folder), "worlds": {"FrozenLake": 1}, "skills": ("spatial",), **few, **more})


def test_ids_that_never_occurred_are_found_by_their_direction(mute: Path) -> None:
    found = unspelled_ids(Backbone.load(mute / "backbone"), load_grammar(mute))
    assert set(range(NEW)) <= set(found.tolist())
    assert 124 not in found.tolist()  # no text has it


def test_it_keeps_the_contract_of_an_objective(mute: Path) -> None:
    check_objective(objective(mute))


def test_new_rows_come_apart_and_stay_out_of_what_is_known(mute: Path, tmp_path: Path) -> None:
    taught = objective(mute)
    before = taught.evaluate(0)
    train(taught, LoopConfig(steps=80, lr=1e-2, warmup_steps=0, precision="fp32", eval_every=0), str(tmp_path))
    after = taught.evaluate(80)
    assert after["loss"] < before["loss"] / 4
    assert after["overruled"] <= before["overruled"]
    assert after["alike"] < 0.98

    made = respelled_bundle(mute, tmp_path / "export", tmp_path / "bundle")
    assert check_folder(made) == ("bundle", [])
    old, new = Backbone.load(mute / "backbone").state_dict(), Backbone.load(made / "backbone").state_dict()
    differ = [name for name in old if not torch.equal(old[name], new[name])]
    assert differ == ["model.embed_tokens.weight"]
    rows = (old[differ[0]] != new[differ[0]]).any(1).nonzero().flatten()
    assert torch.isin(rows, taught.ids).all()
    assert len(rows) == len(taught.ids)
    assert Router.load(made / "router", base_hash(made / "backbone")).names
    bundle = load_bundle(made)
    assert "rows of ids that it never met" in bundle.open_library().card("spatial").notes
    with pytest.raises(UsageError, match="exists already"):
        respelled_bundle(mute, tmp_path / "export", made)


def test_a_bundle_is_made_of_new_rows_alone(mute: Path, tmp_path: Path) -> None:
    backbone = Backbone.load(mute / "backbone")
    with torch.no_grad():
        backbone.model.norm.weight[0] += 1
    backbone.save(tmp_path / "export" / "backbone")
    with pytest.raises(TrainingError, match="changes more than rows"):
        respelled_bundle(mute, tmp_path / "export", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"spread": 0.0}, "spread is above 0"),
        ({"margin": -1.0}, "margin and stay are at least 0"),
        ({"known_docs": 0}, "at least 1"),
        ({"worlds": {}, "skills": ()}, "at least one document a step"),
    ],
)
def test_wrong_settings_are_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        settings(Path("nano"), **more)
