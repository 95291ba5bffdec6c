from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.toys import toy_tokenizer

from reverie.errors import ConfigError, PictureError, TrainingError
from reverie.model import Backbone, BackboneConfig
from reverie.tokens import ImageTokenizer, ImageTokenizerConfig
from reverie.tokens.grammar_files import load_grammar
from reverie.training import LoopConfig, check_objective, train
from reverie.training.backbone import BackboneData, BackboneObjective
from reverie.training.recipes import BackboneRecipe, TokenizerRecipe
from reverie.training.tokenizer import TokenizerData, TokenizerObjective, anchors

TINY = BackboneConfig(vocab_size=0, hidden_size=32, intermediate_size=64, num_layers=2, num_heads=2)
LOOP = LoopConfig(steps=2, eval_every=0, checkpoint_every=0, num_threads=1, tensorboard=False)


def tiny_tokenizer_data(**changes: object) -> TokenizerData:
    settings: dict[str, object] = {
        "worlds": ("FrozenLake",),
        "episodes": 12,
        "batch_size": 32,
        "balance": 0.0,
        "model": ImageTokenizerConfig(stride=16, width=64),
    }
    return TokenizerData(**{**settings, **changes})  # type: ignore[arg-type]


def test_the_tokenizer_learns_a_world_until_every_state_is_read_back(tmp_path: Path) -> None:
    objective = TokenizerObjective(tiny_tokenizer_data())
    loop = LoopConfig(steps=500, lr=4e-3, weight_decay=0, precision="fp32", eval_every=0, tensorboard=False)
    figures = train(objective, loop, tmp_path, progress=False).metrics
    assert figures["collisions"] == 0
    assert figures["frozenlake_state_recovery"] > 0.95
    assert {"frozenlake_psnr", "frozenlake_ssim", "frozenlake_perplexity"} <= set(figures)
    assert ImageTokenizer.load(tmp_path / "export").num_codes == 1000


def test_anchors_give_every_patch_a_code_of_its_own() -> None:
    rng = np.random.default_rng(0)
    patches = torch.from_numpy(rng.integers(0, 256, size=(200, 8, 8, 3), dtype=np.uint8))
    digits = anchors(patches, (8, 5, 5))
    assert len({tuple(row) for row in digits.tolist()}) == 200
    assert (digits.amax(0) < torch.tensor([8, 5, 5])).all()


def test_both_objectives_keep_the_contract(tmp_path: Path) -> None:
    check_objective(TokenizerObjective(tiny_tokenizer_data()))
    toy_tokenizer().save(tmp_path)
    data = BackboneData(
        image_tokenizer=str(tmp_path),
        text_size=300,
        corpus=5,
        worlds={"FrozenLake": 2, "Everyday": 2},
        drills=1,
        episodes=6,
        model=TINY,
    )
    check_objective(BackboneObjective(data))


def test_a_folder_of_pictures_trains_by_epochs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for index in range(4):
        noise = rng.integers(0, 256, size=(50, 70, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{index}.png")
    data = tiny_tokenizer_data(worlds=(), folder=str(tmp_path), side=64, batch_size=8)
    recipe = TokenizerRecipe(str(tmp_path / "run"), epochs=1, data=data, loop=LOOP)
    result = recipe.train(progress=False)
    assert result.step > 2  # epochs, not loop.steps, said how long
    assert result.metrics["folder_psnr"] > 0


def test_bad_folders_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no pictures"):
        TokenizerObjective(tiny_tokenizer_data(worlds=(), folder=str(tmp_path)))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"broken\.png"):
        TokenizerObjective(tiny_tokenizer_data(worlds=(), folder=str(tmp_path)))
    with pytest.raises(ConfigError, match="at least one world"):
        TokenizerData(worlds=())


def test_drills_then_worlds_share_one_vocabulary(tmp_path: Path) -> None:
    """The drilled backbone goes on with the worlds' words: same ids, same sizes."""
    drilled = BackboneRecipe(
        run_dir=str(tmp_path / "drills"),
        data=BackboneData(drill_steps=9, drill_docs=2, text_size=300, model=TINY),
        loop=LOOP,
    )
    assert drilled.train(progress=False).step == 2
    toy_tokenizer().save(tmp_path / "tokenizer")
    walked = BackboneRecipe(
        run_dir=str(tmp_path / "walks"),
        data=BackboneData(
            image_tokenizer=str(tmp_path / "tokenizer"),
            start_from=str(tmp_path / "drills" / "export" / "backbone"),
            worlds={"FrozenLake": 3},
            documents={"FrozenLake": {"parity": True}},
            drills=1,
            eval_docs=4,
            text_size=300,
            corpus=5,
            model=TINY,
        ),
        loop=LOOP,
    )
    figures = walked.train(progress=False).metrics
    assert 0 <= figures["frozenlake_whole"] <= 1
    export = tmp_path / "walks" / "export"
    assert Backbone.load(export / "backbone").config.vocab_size == load_grammar(export).vocabulary.size


def test_a_missing_first_stage_is_named(tmp_path: Path) -> None:
    recipe = BackboneRecipe(data=BackboneData(image_tokenizer=str(tmp_path / "nowhere"), worlds={"FrozenLake": 1}))
    with pytest.raises(ConfigError, match="run the recipe that makes it first"):
        recipe.train()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"worlds": {"FrozenLake": 0}, "drills": 0}, "at least one document a step"),
        ({"worlds": {"FrozenLake": 1}, "documents": {"Pond": {}}}, "settings of Pond, which is not among the worlds"),
    ],
)
def test_what_gives_no_documents_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BackboneData(**settings)


def test_a_setting_that_a_world_lacks_is_named(tmp_path: Path) -> None:
    toy_tokenizer().save(tmp_path)
    data = BackboneData(
        image_tokenizer=str(tmp_path),
        worlds={"Everyday": 1},
        documents={"Everyday": {"mottion": 2}},
        text_size=300,
        corpus=3,
        model=TINY,
    )
    with pytest.raises(ConfigError, match=r"unknown setting 'mottion'\. Did you mean 'motion'"):
        BackboneObjective(data)
