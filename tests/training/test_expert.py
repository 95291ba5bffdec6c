from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.toys import as_saved, toy_backbone, toy_grammar, toy_tokenizer

from reverie.errors import ConfigError, DataError
from reverie.experts.files import base_hash, load_adapter
from reverie.experts.lowrank import LoraConfig, attach, detach
from reverie.model import Backbone
from reverie.tokens.grammar_files import save_grammar
from reverie.training import LoopConfig, check_objective, train
from reverie.training.expert import ExpertData, ExpertObjective, split_rows
from reverie.training.recipes import ExpertRecipe
from reverie.training.rows import read_rows
from reverie.training.skills import skill_names, skill_questions, skill_source

LOOP = LoopConfig(
    steps=6, lr=5e-3, weight_decay=0, eval_every=2, checkpoint_every=2, num_threads=1, tensorboard=False, warmup_steps=1
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a toy backbone and its grammar."""
    folder = tmp_path_factory.mktemp("base")
    toy_backbone().save(folder / "backbone")
    toy_tokenizer().save(folder / "image_tokenizer")
    save_grammar(toy_grammar(), folder)
    return folder


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "sums.jsonl"
    lines = [{"question": f"What is {a} plus {b}?", "answer": str(a + b)} for a in range(8) for b in range(8)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def data(base: Path, rows: Path, **changes: object) -> ExpertData:
    settings = {"name": "sums", "bundle": str(base), "rows": str(rows), "batch_size": 8, "lora": LoraConfig(rank=2)}
    return ExpertData(**{**settings, **changes})  # type: ignore[arg-type]


def test_an_adapter_starts_as_nothing_and_detaches_without_a_trace() -> None:
    backbone = as_saved(Backbone(toy_backbone().config, torch.Generator().manual_seed(0)))
    ids = torch.arange(1, 30)[None]
    with torch.no_grad():
        before = backbone(ids)
        module, adapter = attach(backbone, LoraConfig(rank=3), torch.Generator().manual_seed(1))
        assert torch.equal(backbone(ids), before)
        for parameter in module.parameters():
            parameter.add_(0.1)
        changed = backbone(ids)
        made = adapter()
        detach(backbone)
        assert not torch.allclose(changed, before)
        assert torch.equal(backbone(ids), before)
        for name, factors in made.factors.items():
            backbone.get_submodule(name).weight += factors.up @ factors.down
        assert torch.allclose(backbone(ids), changed, atol=1e-5)


def test_the_objective_keeps_the_contract(base: Path, rows: Path) -> None:
    check_objective(ExpertObjective(data(base, rows)))


def test_only_the_changes_are_trained_and_the_card_says_what_came_of_it(base: Path, rows: Path, tmp_path: Path) -> None:
    recipe = ExpertRecipe(str(tmp_path / "run"), data(base, rows, description="Adds."), LOOP)
    result = recipe.train(progress=False)
    export = tmp_path / "run" / "export"
    card = json.loads((export / "card.json").read_text())
    assert card["name"] == "sums"
    assert card["base"] == base_hash(base / "backbone")
    assert card["data_size"] == 64
    assert card["before"]["loss"] > card["after"]["loss"] == pytest.approx(result.metrics["loss"], abs=1.0)
    weights = tmp_path / "run" / "checkpoint-000006" / "weights.safetensors"
    assert weights.stat().st_size < (base / "backbone" / "model.safetensors").stat().st_size
    assert {name.rsplit(".", 1)[-1] for name in load_adapter(export).factors} == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"
    }  # fmt: skip


def test_a_stopped_training_goes_on_as_if_it_had_not(base: Path, rows: Path, tmp_path: Path) -> None:
    made = []
    for folder, stops in ((tmp_path / "whole", (6,)), (tmp_path / "parts", (4, 6))):
        for steps in stops:
            objective = ExpertObjective(data(base, rows))
            train(objective, replace(LOOP, steps=steps, schedule="constant"), folder, progress=False)
        made.append(load_adapter(folder / "export"))
    for name, factors in made[0].factors.items():
        assert torch.equal(factors.up, made[1].factors[name].up)


class Fickle(ExpertObjective):
    """Best at step 4, whatever it learns."""

    def evaluate(self, step: int) -> dict[str, float]:
        return {"loss": abs(step - 4) + 1.0}


def test_patience_stops_early_with_the_best_weights(base: Path, rows: Path, tmp_path: Path) -> None:
    loop = LoopConfig(**{**vars(LOOP), "steps": 30, "schedule": "constant"})
    result = train(Fickle(data(base, rows)), replace(loop, patience=2), tmp_path / "early", progress=False)
    assert (result.step, result.metrics["best_step"], result.stopped) == (8, 4, "done")
    train(Fickle(data(base, rows)), replace(loop, steps=4), tmp_path / "four", progress=False)
    early, four = (load_adapter(tmp_path / run / "export").factors for run in ("early", "four"))
    assert all(torch.equal(early[name].up, four[name].up) for name in four)


def test_patience_goes_on_where_it_was_stopped(base: Path, rows: Path, tmp_path: Path) -> None:
    loop = LoopConfig(**{**vars(LOOP), "steps": 6, "schedule": "constant", "patience": 2})
    train(Fickle(data(base, rows)), loop, tmp_path / "run", progress=False)
    resumed = train(Fickle(data(base, rows)), replace(loop, steps=30), tmp_path / "run", progress=False)
    assert (resumed.step, resumed.metrics["best_step"]) == (8, 4)


def test_a_watched_figure_that_is_not_there_is_one_line(base: Path, rows: Path, tmp_path: Path) -> None:
    from reverie.errors import TrainingError

    loop = LoopConfig(**{**vars(LOOP), "patience": 1, "watch": "beauty"})
    with pytest.raises(TrainingError, match=r"'beauty'.*there are answers, loss, rows"):
        train(ExpertObjective(data(base, rows)), loop, tmp_path / "run", progress=False)


def test_rows_are_split_by_their_question_alone() -> None:
    rows = [(f"question {number}", "yes") for number in range(300)]
    kept, tested = split_rows(rows)
    assert 10 < len(tested) < 60
    assert set(split_rows(rows[::2])[1]) <= set(tested)
    assert sorted(kept + tested) == sorted(rows)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"question": "a"}', "line 1"),
        ('{"question": "a", "answer": "b"}\n[1]', "line 2"),
        ('{"question": "a", "answer": 3}', "texts"),
        ('{"question": "a", "answer": " "}', "not empty"),
        ("{", "line 1"),
    ],
)
def test_a_malformed_row_is_named_by_its_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read_rows(path)


def test_a_line_ends_where_json_lines_end(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "a\u2028b", "answer": "c"}\n\n', encoding="utf-8")
    assert read_rows(path) == [("a\u2028b", "c")]


def test_too_few_rows_are_one_line(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "a", "answer": "b"}\n')
    with pytest.raises(DataError, match="too few"):
        ExpertObjective(data(base, path))


@pytest.mark.parametrize(
    "wrong", [{"rows": ""}, {"skill": "causal"}, {"rows": "", "skill": "cooking"}, {"batch_size": 0}]
)
def test_what_makes_no_sense_is_refused(base: Path, rows: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        ExpertData(**{"bundle": str(base), "rows": str(rows), **wrong})  # type: ignore[arg-type]


def test_an_unknown_linear_is_refused_with_the_nearest(base: Path, rows: Path) -> None:
    with pytest.raises(ConfigError, match=r"Did you mean 'q_proj'"):
        ExpertObjective(data(base, rows, lora=LoraConfig(targets=("qproj",))))


@pytest.mark.parametrize("skill", ["spatial", "temporal", "abstract"])
def test_a_skill_draws_documents_of_the_grammar(skill: str) -> None:
    grammar = toy_grammar()
    source = skill_source(skill, grammar, toy_tokenizer(), seed=0)
    rng = np.random.default_rng(0)
    for _ in range(5):
        ids = [token for part, _ in source.draw(rng) for token in part]
        document = grammar.decode(ids)
        assert document.answer
        assert bool(document.triplets) == (skill != "abstract")


def test_every_skill_asks_questions_with_answers() -> None:
    rng = np.random.default_rng(0)
    for skill in [*skill_names()[:-1], "FrozenLake", "Everyday"]:
        asked = skill_questions(skill, 3, rng)
        assert len(asked) == 3
        assert all(question.answer for question, _ in asked)


@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set", "ignore:`is_gradient_checkpointing`")  # of PEFT
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_base_made_elsewhere_gets_an_expert_that_peft_and_a_session_use_alike(
    family: str, rows: Path, tmp_path: Path
) -> None:
    from peft import PeftModel
    from tests.bases import save_base
    from transformers import AutoModelForCausalLM

    from reverie.bundles import load_bundle
    from reverie.bundles.init import InitConfig, init_bundle

    bundle = init_bundle(save_base(tmp_path / "base", family), tmp_path / "bundle", InitConfig(dtype="fp32"))
    made = data(bundle, rows, lora=LoraConfig(rank=2, dropout=0.1), name="adds")
    check_objective(ExpertObjective(made))
    run = tmp_path / "run"
    result = ExpertRecipe(str(run), made, replace(LOOP, lr=0.05, steps=10)).train(progress=False)
    assert result.metrics["loss"] < json.loads((run / "export" / "card.json").read_text())["before"]["loss"]

    opened = load_bundle(bundle)
    library = opened.open_library(tmp_path / "library")
    library.add(run / "export")
    session = opened.session(memory=False, library=tmp_path / "library")
    ids = [7, 8, 9, 10]
    ours = session.engine.score(ids[:1], ids[1:], (("adds", 1.0),))
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(bundle / "backbone"), run / "export")
    turned = opened.backbone.ids.to_base_ids(torch.tensor([ids]))
    theirs = torch.log_softmax(model(turned).logits[0].float(), -1)
    wanted = theirs[range(3), turned[0, 1:]].detach().numpy()
    assert ours == pytest.approx(wanted, abs=2e-4)
    assert session.ask("What is 1 plus 2?", branches=0, experts=("adds",)).attribution.experts["adds"].weight == 1


def test_an_evaluation_is_bounded_by_rows_ids_and_seconds_and_later_ones_judge_the_same(base: Path, rows: Path) -> None:
    objective = ExpertObjective(data(base, rows, eval_seconds=1e-6))
    objective.tests = objective.tests * 10
    first = objective.evaluate(0)
    assert first["rows"] == 16 < len(objective.tests)
    objective.before = first
    assert objective.evaluate(1) == first
    assert len(ExpertObjective(data(base, rows, eval_rows=2)).tests) == 2
    assert len(ExpertObjective(data(base, rows, eval_ids=1)).tests) == 1


def test_what_is_read_before_the_first_step_is_told(base: Path, rows: Path) -> None:
    told: list[str] = []
    ExpertObjective(data(base, rows), lambda what, done, of: told.append(what))
    assert told == [f"preparing  reading {base}", f"preparing  reading {rows}"]


def test_states_are_computed_again_where_that_is_wanted(base: Path, rows: Path, tmp_path: Path) -> None:
    from tests.bases import save_base

    from reverie.bundles.init import InitConfig, init_bundle

    bundle = init_bundle(save_base(tmp_path / "base"), tmp_path / "bundle", InitConfig(dtype="fp32"))
    losses = []
    for again in (False, True):
        objective = ExpertObjective(data(bundle, rows, gradient_checkpointing=again))
        parts = objective.compute_loss(objective.batch(0))
        parts["loss"].backward()
        grads = [parameter.grad for parameter in objective.module.parameters()]
        losses.append((parts["loss"].detach(), grads))
    assert torch.allclose(losses[0][0], losses[1][0])
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(losses[0][1], losses[1][1], strict=True))
    with pytest.raises(ConfigError, match="gradient_checkpointing is for bases made elsewhere"):
        ExpertObjective(data(base, rows, gradient_checkpointing=True))
