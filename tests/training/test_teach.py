from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.bases import save_base, toy_base

from reverie.bundles import load, load_bundle
from reverie.bundles.init import InitConfig, init_bundle
from reverie.bundles.taught import taught_bundle
from reverie.cli import main
from reverie.dreaming.dreamer import Dreamer
from reverie.errors import ConfigError, UsageError
from reverie.experts.lowrank import LoraConfig
from reverie.model.transformers_base import TransformersBackbone
from reverie.nouns import Frame, Part
from reverie.training import LoopConfig, check_objective
from reverie.training.recipes import TeachRecipe
from reverie.training.teach import TeachData, TeachObjective

LOOP = LoopConfig(
    steps=4, lr=1e-2, weight_decay=0, eval_every=2, checkpoint_every=2, num_threads=1, tensorboard=False,
    warmup_steps=1, precision="fp32",
)  # fmt: skip
FEW = {"drills": 2, "eval_docs": 2, "buckets": 1, "lora": LoraConfig(rank=4)}


@pytest.fixture(scope="module", params=["llama", "llama-untied"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    return init_bundle(save_base(folder / "base", request.param), folder / "bundle", InitConfig(dtype="fp32"))


def data(bundle: Path, **changes: Any) -> TeachData:
    return TeachData(**{"bundle": str(bundle), **FEW, **changes})


def test_the_objective_keeps_the_contract(bundle: Path) -> None:
    check_objective(TeachObjective(data(bundle)))


@pytest.mark.parametrize("family", ["llama", "llama-untied"])
def test_rows_get_the_gradients_of_plain_tables(family: str) -> None:
    taught, plain = TransformersBackbone(toy_base(family), 20), TransformersBackbone(toy_base(family), 20)
    rows = taught.teach_rows()
    plain.base.get_input_embeddings().weight.requires_grad_(True)
    plain.base.get_output_embeddings().weight.requires_grad_(True)
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(0, 320, (4, 30), generator=generator)
    ids[:, ::2] %= 20  # half of them are new
    weights = torch.rand(ids.shape, generator=generator)
    losses = [one.loss(ids, weights)[0] for one in (taught, plain)]
    for loss in losses:
        loss.backward()
    assert losses[0].item() == pytest.approx(losses[1].item(), abs=1e-5)
    tables = [plain.base.get_input_embeddings().weight, plain.base.get_output_embeddings().weight]
    for ours, table in zip(rows.parameters(), tables, strict=False):
        assert torch.allclose(ours.grad, table.grad[-20:], atol=1e-5)


def test_the_loss_falls_and_a_drill_is_solved(bundle: Path) -> None:
    objective = TeachObjective(data(bundle, lora=LoraConfig(rank=16), drills=1))
    batch = objective.batch(0)
    optimizer = torch.optim.AdamW(objective.module.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = objective.compute_loss(batch)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.2 < losses[0] / 10
    ((ids, weights),) = batch
    with torch.no_grad():
        objective.rows.put()
        guess = objective.backbone(ids)[:, :-1].argmax(-1)
    asked = weights[:, 1:] > 0
    assert (guess == ids[:, 1:])[asked].float().mean() > 0.9


def test_new_ids_start_as_different_text_ids_unless_they_were_taught(bundle: Path) -> None:
    rows = TeachObjective(data(bundle)).rows.embed
    table = load_bundle(bundle, trainable=True).backbone.base.get_input_embeddings().weight
    text = len(table) - len(rows)
    assert all((table[:text] == row).all(1).any() for row in rows[:40])
    assert len(rows[:text].unique(dim=0)) == text
    assert torch.equal(TeachObjective(data(bundle, start_from_text=False)).rows.embed, table[text:])


def test_a_taught_bundle_pictures_and_keeps_its_words(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "teach", "--model", str(bundle), "--out", str(tmp_path / "taught"), f"run_dir={tmp_path}/run", "data.drills=2",
        "data.eval_docs=2", "data.lora.rank=2", "loop.steps=3", "loop.tensorboard=false", "loop.lr=0.05", "--json",
    ]  # fmt: skip
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["bundle"] == str(tmp_path / "taught")
    manifest = json.loads((tmp_path / "taught" / "manifest.json").read_text())
    assert manifest["base"]["taught"] is True
    assert manifest["figures"]["teach"].keys() == {"before", "after"}
    was, now = load_bundle(bundle), load_bundle(tmp_path / "taught")
    text = was.grammar.vocabulary.text_start
    words = torch.arange(text, text + 12)[None]
    for one, other in zip(*(_logits(each, words) for each in (was, now)), strict=True):
        assert torch.equal(one[text:], other[text:])
    session = load(tmp_path / "taught", memory=False, library=tmp_path / "library")
    assert session.ask("hello there", branches=1).model == session.mind.name
    shown = session.ask("what happens?", branches=1, depth=1, world="FrozenLake", scene="SFF,FHF,FFG")
    assert "grammar" in shown.attribution.experts
    dreamer = now.open(tmp_path / "library").dreamer  # a step of a simulation names no experts, and has this one
    step = dreamer.step_prompt(dreamer.opening(Part("", Frame(np.zeros((3, 3))))), "right")
    plain = Dreamer(dreamer.grammar, dreamer.engine, dreamer.max_positions)
    alone, given, bare = (
        dreamer.run([step])[0],
        plain.run([replace(step, experts=dreamer.always)])[0],
        plain.run([step])[0],
    )
    assert alone.log_prob == given.log_prob != bare.log_prob
    with pytest.raises(UsageError, match="exists already"):
        taught_bundle(bundle, tmp_path / "run" / "export", tmp_path / "taught")


def test_a_stopped_teaching_goes_on_as_if_it_had_not(bundle: Path, tmp_path: Path) -> None:
    made = []
    for folder, stops in ((tmp_path / "whole", (4,)), (tmp_path / "parts", (2, 4))):
        for steps in stops:
            recipe = TeachRecipe(str(folder), data(bundle), replace(LOOP, steps=steps, schedule="constant"))
            recipe.train(progress=False)
        made.append(load_file(folder / "export" / "rows.safetensors"))
    assert all(torch.equal(rows, made[1][name]) for name, rows in made[0].items())


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"bundle": "nano"}, "was not made of a base"), ({"worlds": {"FrozenLake": 1, "Narnia": 1}}, "Narnia")],
)
def test_what_cannot_be_taught_is_one_line(bundle: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises((UsageError, ConfigError), match=words):
        TeachObjective(replace(data(bundle), **changes))


def _logits(bundle: Any, ids: torch.Tensor) -> torch.Tensor:
    base = TransformersBackbone.load(bundle.folder / "backbone", bundle.grammar.vocabulary.text_start)
    with torch.no_grad():
        return base(ids)[0]
