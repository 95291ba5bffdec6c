"""Lessons need picture, facts and question; perception learns from them, with answers chosen or said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.bundles import find_bundle
from reverie.engine import Engine
from reverie.errors import BundleError, ConfigError, UsageError
from reverie.memory.attention import word_features
from reverie.memory.perception import Perceiver
from reverie.model.orchestrator import Orchestrator, OrchestratorConfig
from reverie.model.vision import VisionConfig
from reverie.training.objective import check_objective
from reverie.training.perception import PerceptionData, PerceptionObjective, Recorded
from reverie.training.recipes import PerceptionRecipe
from reverie.training.settings import LoopConfig
from reverie.worlds.everyday.lessons import Lessons

MODEL = OrchestratorConfig(
    vision=(VisionConfig("tokens", size=16), VisionConfig("lite", side=32, size=16)), size=16, num_heads=2, num_layers=1
)
DATA = PerceptionData(
    bundle=str(find_bundle("nano")), scenes=60, lessons=80, eval_lessons=10, batch_size=4, model=MODEL, answer_share=0.2
)


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return Recorded(DATA)


@pytest.fixture(scope="module")
def lessons() -> Lessons:
    return Lessons.record(300, seed=0)


def test_it_is_an_objective(recorded: Recorded) -> None:
    check_objective(PerceptionObjective(DATA, recorded))
    check_objective(PerceptionObjective(replace(DATA, answer="say"), recorded))


@pytest.mark.parametrize("modality", ["vision", "graph", "text"])
def test_a_modality_can_be_taken_away(recorded: Recorded, modality: str) -> None:
    objective = PerceptionObjective(replace(DATA, without=(modality,)), recorded)  # type: ignore[arg-type]
    check_objective(objective)
    assert set(objective.join(objective.batch(0))[0].mixed) == {"vision", "graph", "text"} - {modality}


def test_without_text_all_questions_are_alike(recorded: Recorded) -> None:
    batch = PerceptionObjective(replace(DATA, without=("text",)), recorded).batch(0)
    assert (batch["asked"] == batch["asked"][0]).all()


def test_lessons_name_the_thing_in_the_facts_alone(lessons: Lessons) -> None:
    rng = np.random.default_rng(0)
    drawn = [lessons.draw(rng, others=4, told=0.5) for _ in range(200)]
    for one in drawn:
        scene = lessons.scenes[one.scene]
        assert "thing" in one.question
        assert scene.thing.short not in one.question.split()
        assert one.facts[one.deciding].subject == scene.fact[0]
        assert sum(fact.subject == scene.fact[0] for fact in one.facts) == 1
        assert one.told or one.facts[one.deciding].object == scene.fact[1]
        assert 1 <= len(one.facts) <= 5
    assert 0.2 < np.mean([one.told for one in drawn]) < 0.7
    assert np.mean([len(one.facts) for one in drawn]) > 2


def test_no_two_facts_of_a_lesson_tell_the_same(lessons: Lessons) -> None:
    by_thing = {scene.thing.name: scene.thing for scene in lessons.scenes}
    rng = np.random.default_rng(1)
    for one in (lessons.draw(rng, others=4, told=0.0) for _ in range(50)):
        outcomes = [fact.object for fact in one.facts]
        for thing in by_thing.values():
            outcomes = [outcome.replace(thing.the, "it") for outcome in outcomes]
        assert len(set(outcomes)) == len(outcomes)


def test_no_test_scene_is_met_in_training(recorded: Recorded) -> None:
    met = {json.dumps(scene.episode.options) for scene in recorded.train.source.scenes}
    assert not met & {json.dumps(scene.episode.options) for scene in recorded.test.source.scenes}


def test_no_answer_takes_more_than_its_share(recorded: Recorded) -> None:
    answers = [one.answer for one in recorded.train.lessons]
    assert max(answers.count(answer) for answer in answers) <= DATA.answer_share * len(answers)


def test_words_are_known_as_in_use(recorded: Recorded) -> None:
    """Read many at a time here, one at a time by ``word_features``."""
    features = word_features(Engine(recorded.backbone), recorded.grammar)
    for place in (0, 5):
        lesson = recorded.test.lessons[place]
        np.testing.assert_allclose(recorded.test.asked[place].numpy(), features(lesson.question), atol=1e-4)
        graph = recorded.test.graphs[place]
        subject = graph.nodes[graph.edges[0, lesson.deciding]].numpy()
        np.testing.assert_allclose(subject, features(lesson.facts[lesson.deciding].subject), atol=1e-4)


def test_the_backbone_is_frozen(recorded: Recorded) -> None:
    objective = PerceptionObjective(replace(DATA, answer="say"), recorded)
    objective.compute_loss(objective.batch(0))["loss"].backward()
    assert all(parameter.grad is None for parameter in objective.recorded.backbone.parameters())
    assert objective.network.prefix.weight.grad.abs().sum() > 0  # type: ignore[union-attr, operator]


def test_it_learns_what_it_has_seen(recorded: Recorded) -> None:
    objective = PerceptionObjective(DATA, recorded)
    optimizer = torch.optim.AdamW(objective.module.parameters(), lr=5e-3)
    before = float(objective.compute_loss(objective.batch(0))["answer"].detach())
    for _ in range(60):
        loss = objective.compute_loss(objective.batch(0))
        optimizer.zero_grad()
        loss["loss"].backward()
        optimizer.step()
    assert float(loss["answer"].detach()) < before / 4


def test_what_is_trained_is_loaded_again(tmp_path: Path) -> None:
    loop = LoopConfig(steps=2, warmup_steps=1, precision="fp32", tensorboard=False, device="cpu")
    recipe = PerceptionRecipe(str(tmp_path / "run"), DATA, loop)
    result = recipe.train(progress=False)
    assert 0 <= result.metrics["answers_share"] <= 1
    export = tmp_path / "run" / "export"
    objective = PerceptionObjective(DATA)
    perceiver = Perceiver.load(export, Path(DATA.bundle))
    assert list(perceiver.answers) == objective.recorded.answers
    objective.network = Orchestrator.load(export, objective.recorded.tokenizer)
    right, looked = objective.answered()
    assert right.mean() == pytest.approx(result.metrics["answers_share"])
    assert looked.sum(1).mean() == pytest.approx(result.metrics["experts"])
    test = objective.recorded.test
    for number, lesson in enumerate(test.lessons[:4]):
        seen = perceiver.predict(test.pictures[lesson.scene], lesson.question, lesson.facts)
        assert (seen.answers[0][0] == lesson.answer) == right[number]
        assert sum(share for _, share in seen.answers) == pytest.approx(1, abs=1e-4)
        assert {kind for kind, _ in seen.gates["vision"]} == {"tokens", "lite"}
        assert sum(share for _, share in seen.shows) == pytest.approx(1, abs=1e-4)
        assert seen.prefix_embeddings is None
        assert perceiver.predict(test.pictures[lesson.scene], "What is it?").shows == []
    two = perceiver.predict(test.pictures[0], "What happens?", answers=["Nothing.", "It sings."])
    assert {answer for answer, _ in two.answers} == {"Nothing.", "It sings."}
    with pytest.raises(UsageError, match="no answers"):
        perceiver.predict(test.pictures[0], "What happens?", answers=[])
    (export / "perception.json").write_text("[]")
    with pytest.raises(BundleError, match="is damaged"):
        Perceiver.load(export, Path(DATA.bundle))
    assert replace(recipe, loop=replace(loop, steps=3)).train(progress=False).step == 3


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="told lies between 0 and 1"):
        PerceptionData(told=2.0)
    with pytest.raises(ConfigError, match="without holds some of"):
        PerceptionData(without=("smell",))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="at least 1"):
        PerceptionData(lessons=0)
    with pytest.raises(UsageError, match="no bundle 'nowhere'"):
        PerceptionRecipe(data=PerceptionData(bundle="nowhere")).train()


def test_the_recipes_train_from_the_command_line(tmp_path: Path, repository: Path) -> None:
    from typer.testing import CliRunner

    from reverie.cli.app import app

    for name in ("perception", "perception-words"):
        small = ["data.scenes=20", "data.lessons=20", "data.eval_lessons=4", "data.batch_size=2", "loop.steps=2",
                 "data.model.size=16", f"data.bundle={DATA.bundle}", f"run_dir={tmp_path / name}"]  # fmt: skip
        recipe = str(repository / "recipes" / f"{name}.yaml")
        result = CliRunner().invoke(app, ["train", "perception", "--config", recipe, "--json", *small])
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["step"] == 2
        assert (tmp_path / name / "export" / "model.safetensors").is_file()
