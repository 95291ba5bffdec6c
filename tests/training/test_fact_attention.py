"""The reader learns from facts that contradict what the backbone expects, and its backbone stays as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.bundles import find_bundle
from reverie.errors import ConfigError, UsageError
from reverie.memory.attention import FactAttention
from reverie.model.graph_attention import GraphAttentionConfig
from reverie.training.fact_attention import FactAttentionData, FactAttentionObjective
from reverie.training.objective import check_objective
from reverie.training.recipes import FactAttentionRecipe

DATA = FactAttentionData(
    bundle=str(find_bundle("nano")),
    batch_size=4,
    episodes=30,
    eval_questions=6,
    soft_tokens=2,
    model=GraphAttentionConfig(num_relations=0, hidden_size=16, num_layers=1, num_heads=2),
)


@pytest.fixture(scope="module")
def objective() -> FactAttentionObjective:
    return FactAttentionObjective(DATA)


def test_it_is_an_objective() -> None:
    check_objective(FactAttentionObjective(DATA))


def test_the_backbone_is_frozen(objective: FactAttentionObjective) -> None:
    objective.compute_loss(objective.batch(0))["loss"].backward()
    assert all(parameter.grad is None for parameter in objective.backbone.parameters())
    assert objective.module.prefix_value.weight.grad is not None
    assert objective.module.prefix_value.weight.grad.abs().sum() > 0


def test_lessons_hold_the_fact_that_decides_and_no_rival(objective: FactAttentionObjective) -> None:
    rng = np.random.default_rng(0)
    lessons = [objective.lesson(rng, objective.train) for _ in range(60)]
    deciding = [one for one in lessons if one.deciding >= 0]
    assert 20 < len(deciding) < 60
    for one in deciding:
        fact = one.facts[one.deciding]
        rivals = [f for f in one.facts if f is not fact and (f.subject, f.object) == (fact.subject, fact.object)]
        assert not rivals
        if fact.relation == "Causes":
            assert sum(f.subject == fact.subject for f in one.facts) == 1


def test_what_is_exported_reads_facts(objective: FactAttentionObjective, tmp_path: Path) -> None:
    objective.export(tmp_path)
    reader = FactAttention.load(tmp_path / "reader", objective.features)
    lesson = objective.lesson(np.random.default_rng(5), objective.train)
    with torch.inference_mode():
        _, soft, _ = objective._read(objective._collate([lesson]))
    np.testing.assert_allclose(reader.read(lesson.question, lesson.facts).prefix_embeddings, soft[0].numpy(), atol=1e-5)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="share between 0 and 1"):
        FactAttentionData(properties=2.0)
    with pytest.raises(UsageError, match="no bundle 'nowhere'"):
        FactAttentionRecipe(data=FactAttentionData(bundle="nowhere")).train()
