from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reverie.errors import ConfigError, DataError, MissingExtraError, TrainingError
from reverie.generator import Generator
from reverie.generator.objective import GeneratorData
from reverie.generator.priors import PriorFitConfig
from reverie.generator.priors.flow import FlowLessons
from reverie.generator.recipe import GeneratorRecipe, train_generator
from reverie.training import LoopConfig
from toy_collections import toy_collection

FLOW = LoopConfig(steps=20, warmup_steps=2, precision="fp32", eval_every=10, checkpoint_every=10, tensorboard=False)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> GeneratorRecipe:
    folder = tmp_path_factory.mktemp("recipe")
    toy_collection(folder / "toy")
    loop = LoopConfig(steps=12, warmup_steps=2, precision="fp32", eval_every=6, log_every=2, tensorboard=False)
    return GeneratorRecipe(
        run_dir=str(folder / "run"),
        preset="toy-16",
        data=GeneratorData(collection=str(folder / "toy"), batch_size=8),
        loop=loop,
        checkpoint_epochs=2,
        fit=PriorFitConfig(mixture_components=4, gaussians=(1, 2), flow=FlowLessons(8, 16, 1, 16), flow_loop=FLOW),
        views=1,
    )


@pytest.fixture(scope="module")
def bundle(recipe: GeneratorRecipe) -> Path:
    found = train_generator(recipe).product
    assert found is not None
    return found


def test_a_recipe_leaves_a_bundle_with_priors_figures_and_sheets(recipe: GeneratorRecipe, bundle: Path) -> None:
    made = Generator.load(bundle)
    assert set(made.priors) == {"normal", "mixture", "flow"}
    assert made.default_prior in ("mixture", "flow")
    assert made.config.grey
    assert made.card["figures"]["psnr"] > 0
    run_dir = Path(recipe.run_dir)
    assert (bundle / "sheet.png").stat().st_size > 0
    assert sorted(path.name for path in (run_dir / "sheets").glob("*.png"))
    assert json.loads((run_dir / "metrics.json").read_text())["figures"] == made.card["figures"]
    steps = [int(path.name.split("-")[1]) for path in run_dir.glob("checkpoint-*")]
    assert all(step % 6 == 0 for step in steps)  # every two epochs of three steps


def test_the_same_seed_gives_the_same_generator(recipe: GeneratorRecipe, bundle: Path, tmp_path: Path) -> None:
    again = train_generator(replace(recipe, run_dir=str(tmp_path / "run"))).product
    assert again is not None
    first, second = (Generator.load(path).sample([3])[0] for path in (bundle, again))
    assert np.array_equal(first.picture, second.picture)


def test_a_run_that_was_stopped_goes_on_as_if_it_never_was(
    recipe: GeneratorRecipe, bundle: Path, tmp_path: Path
) -> None:
    short = replace(recipe, run_dir=str(tmp_path / "run"), loop=replace(recipe.loop, max_minutes=1e-9))
    assert train_generator(short).product is None
    whole = train_generator(replace(short, loop=recipe.loop)).product
    assert whole is not None
    first, second = (Generator.load(path).sample([3])[0] for path in (bundle, whole))
    assert np.array_equal(first.picture, second.picture)


def test_a_run_killed_before_its_priors_needs_no_new_training(
    recipe: GeneratorRecipe, bundle: Path, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(recipe.run_dir, run_dir)
    for left in ("bundle", "flow"):
        shutil.rmtree(run_dir / left)
    (run_dir / "metrics.jsonl").unlink()
    again = train_generator(replace(recipe, run_dir=str(run_dir))).product
    assert again is not None
    assert '"train"' not in (run_dir / "metrics.jsonl").read_text()
    first, second = (Generator.load(path).sample([3])[0] for path in (bundle, again))
    assert np.array_equal(first.picture, second.picture)


def test_a_run_folder_of_other_settings_is_refused(recipe: GeneratorRecipe, bundle: Path) -> None:
    other = replace(recipe, data=replace(recipe.data, batch_size=4))
    with pytest.raises(TrainingError, match=r"data\.batch_size was 8 and is 4 now"):
        train_generator(other)


def test_one_picture_is_said_to_be_too_few_for_a_prior(recipe: GeneratorRecipe, tmp_path: Path) -> None:
    toy_collection(tmp_path / "one", num_train=1, num_val=0)
    data = replace(recipe.data, collection=str(tmp_path / "one"))
    one = replace(recipe, run_dir=str(tmp_path / "run"), data=data, views=0)
    with pytest.raises(TrainingError, match="two pictures or more"):
        train_generator(one)


def test_five_pictures_are_enough(recipe: GeneratorRecipe, tmp_path: Path) -> None:
    toy_collection(tmp_path / "five", num_train=4, num_val=1)
    data = replace(recipe.data, collection=str(tmp_path / "five"))
    made = train_generator(replace(recipe, run_dir=str(tmp_path / "run"), data=data)).product
    assert made is not None
    assert len(Generator.load(made).sample(range(3))) == 3


def test_bad_recipes_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean"):
        GeneratorRecipe(model={"latent_sise": 3})
    with pytest.raises(DataError, match="no folder"):
        train_generator(GeneratorRecipe(run_dir=str(tmp_path / "run"), data=GeneratorData(collection="nowhere")))
    assert not (tmp_path / "run").exists()


def test_what_is_missing_is_said_before_the_training(
    recipe: GeneratorRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"reverie\[train\]"):
        train_generator(replace(recipe, run_dir=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_a_flow_of_other_settings_is_fitted_anew_and_the_networks_stay(
    recipe: GeneratorRecipe, bundle: Path, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(recipe.run_dir, run_dir)
    wider = replace(recipe.fit, flow=replace(recipe.fit.flow, hidden_size=24))
    again = train_generator(replace(recipe, run_dir=str(run_dir), fit=wider)).product
    assert again is not None
    first, second = (Generator.load(path) for path in (bundle, again))
    assert second.prior("flow").config["hidden_size"] == 24
    assert np.array_equal(first.sample([3], "mixture")[0].picture, second.sample([3], "mixture")[0].picture)
