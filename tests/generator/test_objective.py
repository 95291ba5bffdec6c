from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.data.pictures import Collection
from reverie.errors import ConfigError, TrainingError
from reverie.generator.caption_tokenizer import CaptionTokenizer
from reverie.generator.config import PRESETS
from reverie.generator.losses import LossWeights
from reverie.generator.objective import GeneratorData, GeneratorObjective
from reverie.generator.store import Augment, PictureStore, all_grey
from reverie.training import check_objective
from toy_collections import toy_collection

TOY = PRESETS.get("toy-16")


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return toy_collection(tmp_path_factory.mktemp("collection") / "toy")


def objective(collection: Collection, **settings: object) -> GeneratorObjective:
    tokenizer = CaptionTokenizer.train(collection.captions, TOY.vocabulary)
    data = GeneratorData(batch_size=8, **settings)  # type: ignore[arg-type]
    return GeneratorObjective(data, replace(TOY, grey=True), collection, tokenizer, steps=10)


@pytest.mark.parametrize("settings", [{}, {"adversarial_from": 0.0, "between": 0.3}])
def test_it_keeps_the_contract_of_an_objective(collection: Collection, settings: dict[str, object]) -> None:
    check_objective(objective(collection, **settings))


def test_the_critic_joins_late(collection: Collection) -> None:
    made = objective(collection, adversarial_from=0.5)
    early, late = (made.compute_loss(made.batch(step)) for step in (4, 5))
    assert "unreal" not in early
    assert {"unreal", "unlike", "judge"} <= late.keys()


def test_terms_of_weight_zero_do_not_count(collection: Collection) -> None:
    alone = LossWeights(pixels=0, caption=0, match=1, edge=0, spectrum=0, adversarial=0, critic=0, style=0)
    made = objective(collection, weights=alone)
    parts = made.compute_loss(made.batch(0))
    assert torch.isclose(parts["loss"], parts["match"])


def test_every_picture_is_met_once_an_epoch_in_an_order_that_changes(collection: Collection) -> None:
    made = objective(collection)
    epochs = [[row for step in range(3) for row in made._rows(3 * epoch + step).tolist()] for epoch in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(24))
    assert epochs[0] != epochs[1]


def test_a_collection_smaller_than_a_batch_is_repeated(tmp_path: Path) -> None:
    made = objective(toy_collection(tmp_path / "few", num_train=3, num_val=0))
    assert made.batch(0)["pictures"].shape == (8, 16, 16, 3)
    with torch.no_grad():
        assert made.evaluate(0)["psnr"] > 0  # on the training pictures, for want of others


def test_pictures_are_read_once_within_the_budget_and_again_beyond_it(collection: Collection) -> None:
    whole, none = PictureStore(collection, 16), PictureStore(collection, 16, most_bytes=0)
    assert np.array_equal(whole.original(3), none.original(3))
    rng = [np.random.default_rng(5) for _ in range(2)]
    varied = [store.varied(3, Augment(), own) for store, own in zip((whole, none), rng)]
    assert np.array_equal(*varied)
    assert (len(whole._kept), len(none._kept)) == (1, 0)
    assert all_grey(collection)


def test_nothing_to_train_on_is_said(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no picture to train on"):
        objective(toy_collection(tmp_path / "none", num_train=0, num_val=2))


@pytest.mark.parametrize(
    "make", [lambda: GeneratorData(noise=-1.0), lambda: GeneratorData(between=2.0), lambda: Augment(crop=1.0)]
)
def test_settings_out_of_range_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigError):
        make()
