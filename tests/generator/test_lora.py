"""Fine-tuning by low-rank changes: trained, kept, merged, resumed; foreign and damaged ones are refused in one line."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from reverie.errors import BundleError, ConfigError, ExpertError, MissingExtraError, TrainingError
from reverie.files import sha256_of
from reverie.generator.generator import Generator, toy_generator
from reverie.generator.lora import GeneratorLoraConfig, LoraObjective, LoraRecipe, load_with_lora, train_lora
from reverie.generator.lora_merge import merge_factors
from reverie.generator.objective import GeneratorData
from reverie.generator.priors import PriorFitConfig
from reverie.generator.priors.flow import FlowLessons
from reverie.generator.recipe import GeneratorResult
from reverie.training import LoopConfig
from reverie.training.objective import check_objective
from toy_collections import toy_collection

LOOP = LoopConfig(
    steps=6, lr=3e-3, weight_decay=0.0, warmup_steps=0, precision="fp32", eval_every=2, patience=3, tensorboard=False
)
FLOW_LOOP = LoopConfig(steps=2, warmup_steps=0, precision="fp32", eval_every=0, checkpoint_every=0, tensorboard=False)
FIT = PriorFitConfig(mixture_components=4, gaussians=(1,), flow=FlowLessons(4, 16, 1, 8), flow_loop=FLOW_LOOP)
TUNED = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_generator().save(tmp_path_factory.mktemp("base") / "generator")


@pytest.fixture(scope="module")
def recipe(base: Path, tmp_path_factory: pytest.TempPathFactory) -> LoraRecipe:
    folder = tmp_path_factory.mktemp("lora")
    toy_collection(folder / "collection", num_train=6, num_val=4)
    data = GeneratorData(str(folder / "collection"), batch_size=4, adversarial_from=0.0)
    return LoraRecipe(
        str(folder / "run"), str(base), "discs", data, GeneratorLoraConfig(rank=2), LOOP, fit=FIT, views=0
    )


@pytest.fixture(scope="module")
def done(recipe: LoraRecipe) -> GeneratorResult:
    return train_lora(recipe)


@pytest.fixture(scope="module")
def adapter(done: GeneratorResult) -> Path:
    assert done.product is not None
    return done.product


def test_training_leaves_an_adapter_and_the_base_as_it_was(
    recipe: LoraRecipe, done: GeneratorResult, adapter: Path
) -> None:
    assert done.trained.stopped == "done"
    assert done.sheet is not None
    assert done.sheet.exists()
    assert {"loss", "before_loss", "psnr", "before_psnr"} <= done.figures.keys()
    card = json.loads((adapter / "card.json").read_text(encoding="utf-8"))
    assert (card["name"], card["base_name"]) == ("discs", "toy")
    assert card["base"] == sha256_of(Path(recipe.base) / "model.safetensors")
    assert {path.name for path in (adapter / "priors").iterdir()} == {"flow", "mixture"}
    Generator.load(recipe.base)  # holds every file to its SHA-256


def test_training_lowers_the_loss_on_the_new_collection(done: GeneratorResult) -> None:
    assert done.figures["loss"] < done.figures["before_loss"]


def test_merged_weights_paint_and_write_as_peft_does_beside_the_base(base: Path, adapter: Path) -> None:
    from peft import PeftModel

    merged, plain = load_with_lora(base, adapter), Generator.load(base)
    latents, ids = torch.randn(3, 32, generator=torch.Generator().manual_seed(0)), torch.tensor([[1, 9, 30]] * 3)
    beside = PeftModel.from_pretrained(Generator.load(base).network, str(adapter)).get_base_model().eval()
    with torch.no_grad():
        for ask in (lambda one: one.paint(latents), lambda one: one.caption_logits(latents, ids)):
            assert torch.allclose(ask(merged.network), ask(beside), atol=1e-5)
            assert not torch.allclose(ask(merged.network), ask(plain.network), atol=1e-3)


def test_a_fine_tuned_generator_samples_from_its_own_priors_and_saves_as_a_bundle(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    tuned = load_with_lora(base, adapter)
    assert tuned.name == "discs"
    assert tuned.priors["mixture"].noise_size == 1 + 4
    sample = tuned.sample([5])[0]
    assert np.array_equal(sample.picture, load_with_lora(base, adapter).sample([5])[0].picture)
    whole = Generator.load(tuned.save(tmp_path / "whole"))
    assert whole.default_prior == tuned.default_prior
    assert abs(whole.sample([5])[0].picture.astype(int) - sample.picture).mean() < 3  # the bundle is bf16


def test_running_again_changes_nothing(recipe: LoraRecipe, adapter: Path) -> None:
    before = sha256_of(adapter / TUNED)
    again = train_lora(recipe)
    assert again.product == adapter
    assert sha256_of(adapter / TUNED) == before


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(recipe: LoraRecipe, adapter: Path, tmp_path: Path) -> None:
    halting = replace(recipe, run_dir=str(tmp_path / "run"), loop=replace(recipe.loop, max_minutes=1e-9))
    stopped = train_lora(halting)
    assert (stopped.trained.stopped, stopped.trained.step, stopped.product) == ("time", 1, None)
    finished = train_lora(replace(halting, loop=recipe.loop))
    assert finished.product is not None
    assert sha256_of(finished.product / TUNED) == sha256_of(adapter / TUNED)


def test_checkpoints_hold_the_factors_alone(recipe: LoraRecipe, adapter: Path) -> None:
    newest = max(Path(recipe.run_dir).glob("checkpoint-*"))
    names = load_file(newest / "weights.safetensors").keys()
    assert all("lora_" in name or name.startswith("critic.") for name in names)
    assert any("lora_A" in name for name in names)


def test_parts_that_are_not_named_stay_as_they_are(recipe: LoraRecipe, base: Path, tmp_path: Path) -> None:
    some = replace(recipe, lora=GeneratorLoraConfig(rank=1, parts=("picture_decoder",)))
    from reverie.data.pictures import Collection

    objective = LoraObjective(some, Generator.load(base), Collection.open(recipe.data.collection))
    trained = [name for name, one in objective.whole.network.named_parameters() if one.requires_grad]
    assert trained
    assert all(name.startswith("picture_decoder.") for name in trained)
    check_objective(objective)


def test_a_foreign_base_is_refused_and_taken_on_trust(adapter: Path, tmp_path: Path) -> None:
    foreign = toy_generator(seed=1).save(tmp_path / "foreign")
    with pytest.raises(ExpertError, match=r"made for 'toy' \(.*--trust-base") as caught:
        load_with_lora(foreign, adapter)
    assert "\n" not in str(caught.value)
    assert load_with_lora(foreign, adapter, trust_base=True).name == "discs"


def test_an_adapter_without_a_card_needs_trust_and_gets_the_priors_of_the_base(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    for name in ("adapter_config.json", TUNED):
        (tmp_path / "bare").mkdir(exist_ok=True)
        shutil.copy(adapter / name, tmp_path / "bare" / name)
    with pytest.raises(ExpertError, match="does not name"):
        load_with_lora(base, tmp_path / "bare")
    tuned = load_with_lora(base, tmp_path / "bare", trust_base=True)
    assert (tuned.name, tuned.default_prior) == ("bare", "flow")


def test_a_card_of_bare_checksums_is_read_as_before(base: Path, adapter: Path, tmp_path: Path) -> None:
    old = shutil.copytree(adapter, tmp_path / "old")
    card = json.loads((old / "card.json").read_text(encoding="utf-8"))
    card["files"] = {name: said["sha256"] for name, said in card["files"].items()}
    (old / "card.json").write_text(json.dumps(card), encoding="utf-8")
    assert load_with_lora(base, old).name == "discs"
    (old / "sheet.png").write_bytes(b"another")
    with pytest.raises(ExpertError, match=r"sheet\.png differs from what was saved"):
        load_with_lora(base, old)


@pytest.mark.parametrize("name", [TUNED, "adapter_config.json", "priors/mixture/prior.safetensors"])
def test_a_damaged_file_is_one_line(base: Path, adapter: Path, tmp_path: Path, name: str) -> None:
    broken = shutil.copytree(adapter, tmp_path / "broken")
    (broken / name).write_bytes((broken / name).read_bytes()[:-9])
    with pytest.raises(ExpertError, match="is damaged") as caught:
        load_with_lora(base, broken)
    (broken / name).unlink()
    with pytest.raises(ExpertError, match="is missing"):
        load_with_lora(base, broken)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("rename", "has no 'picture_decoder.elsewhere'"),
        ("reshape", "is .* in this base, its factors are"),
        ("drop", "has not two factors"),
        ("nan", "values that are not finite"),
        ("other", "is no LoRA factor"),
    ],
)
def test_factors_that_do_not_fit_are_refused(
    base: Path, adapter: Path, tmp_path: Path, change: str, message: str
) -> None:
    tensors = load_file(adapter / TUNED)
    down, up = (f"base_model.model.picture_decoder.out.lora_{side}.weight" for side in "AB")
    if change == "rename":
        tensors |= {name.replace(".out.", ".elsewhere."): tensors.pop(name) for name in (down, up)}
    elif change == "reshape":
        tensors[down] = tensors[down][:, 1:].contiguous()
    elif change == "nan":
        tensors[down] = torch.full_like(tensors[down], torch.nan)
    else:
        tensors |= {"surprise": tensors.pop(down)} if change == "other" else {}
        tensors.pop(down, None)
    save_file(tensors, tmp_path / TUNED)
    shutil.copy(adapter / "adapter_config.json", tmp_path)
    with pytest.raises(ExpertError, match=message):
        merge_factors(Generator.load(base).network.state_dict(), tmp_path)


def test_what_cannot_be_trained_is_refused_at_once(recipe: LoraRecipe, tmp_path: Path) -> None:
    new = replace(recipe, run_dir=str(tmp_path / "run"))
    with pytest.raises(ConfigError, match="base=FOLDER"):
        train_lora(replace(new, base=""))
    with pytest.raises(BundleError, match="is no generator"):
        train_lora(replace(new, base=str(tmp_path)))
    toy_collection(tmp_path / "one", num_train=1, num_val=0)
    with pytest.raises(TrainingError, match="two pictures or more"):
        train_lora(replace(new, data=replace(recipe.data, collection=str(tmp_path / "one"))))
    with pytest.raises(ConfigError, match="parts are some of"):
        GeneratorLoraConfig(parts=("nothing",))  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_a_run_folder_of_other_settings_is_refused(recipe: LoraRecipe, adapter: Path) -> None:
    with pytest.raises(TrainingError, match=r"lora\.rank was 2 and is 3 now"):
        train_lora(replace(recipe, lora=GeneratorLoraConfig(rank=3)))


def test_without_peft_the_extra_is_named(recipe: LoraRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"reverie\[train\]"):
        train_lora(recipe)
