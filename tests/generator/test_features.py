"""Feature extractors keep their contract; our own learns to tell pictures apart, and is taught once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.errors import BundleError, ConfigError, ContractError, DataError, PictureError, UsageError
from reverie.generator.features import (
    EXTRACTORS,
    FeatureExtractor,
    Lesson,
    PixelFeatures,
    check_features,
    make_features,
)
from reverie.generator.own_features import FeatureObjective, OwnFeaturesConfig, own_features
from reverie.training.objective import check_objective

TINY = OwnFeaturesConfig(side=16, widths=(8, 16), steps=3, batch_size=8)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """Stripes of 24 widths and directions."""
    rng = np.random.default_rng(0)
    places = np.arange(20)
    rows = []
    for number in range(24):
        wave = np.sin(places[:, None] * np.cos(number) + places * np.sin(number) + rng.uniform(0, 6))
        rows.append(np.repeat((127 + 100 * wave).astype(np.uint8)[..., None], 3, axis=2))
    return np.stack(rows)


def _lesson(pictures: np.ndarray, cache: Path) -> Lesson:
    return Lesson(pictures, TINY, cache)


def test_every_registered_extractor_keeps_the_contract(pictures: np.ndarray, tmp_path: Path) -> None:
    for name in EXTRACTORS:
        extractor = make_features(name, _lesson(pictures, tmp_path))
        assert extractor.name == name
        check_features(extractor)


def test_the_objective_of_our_own_features_keeps_its_contract(pictures: np.ndarray) -> None:
    check_objective(FeatureObjective(pictures, TINY))


def test_own_features_learn_to_find_the_other_view(pictures: np.ndarray, tmp_path: Path) -> None:
    config = replace(TINY, steps=60, batch_size=24, lr=1e-2)
    objective = FeatureObjective(pictures, config)
    before = objective.evaluate(0)["found"]
    objective.module.load_state_dict(own_features(pictures, config, tmp_path).state_dict())
    assert objective.evaluate(60)["found"] > max(0.3, 2 * before)


def test_own_features_have_mean_0_and_deviation_1_over_what_they_were_taught_on(
    pictures: np.ndarray, tmp_path: Path
) -> None:
    rows = own_features(pictures, TINY, tmp_path).features(pictures)
    np.testing.assert_allclose(rows.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(rows.std(0, ddof=1), 1, atol=1e-3)


def test_own_features_are_taught_once_and_come_out_the_same(pictures: np.ndarray, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = own_features(pictures, TINY, tmp_path, lambda what, done, of: told.append((done, of)))
    assert torch.equal(torch.get_rng_state(), before)  # the caller's chance is left alone
    assert told[0] == (0, 3)
    told.clear()
    again = own_features(pictures, TINY, tmp_path, lambda what, done, of: told.append((done, of)))
    anew = own_features(pictures, TINY, tmp_path / "elsewhere")
    assert not told
    for other in (again, anew):
        np.testing.assert_array_equal(first.features(pictures), other.features(pictures))
    own_features(pictures, replace(TINY, seed=1), tmp_path)
    own_features(pictures[:-1], TINY, tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 3


def test_a_damaged_cache_is_made_anew(pictures: np.ndarray, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = own_features(pictures, TINY, tmp_path).features(pictures)
    (file,) = tmp_path.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    np.testing.assert_array_equal(own_features(pictures, TINY, tmp_path).features(pictures), whole)
    assert "damaged" in caplog.text


def test_a_cache_that_cannot_be_written_costs_only_the_cache(
    pictures: np.ndarray, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert own_features(pictures, TINY, tmp_path / "file" / "cache").size == 16
    assert "not kept" in caplog.text


def test_too_few_pictures_are_refused_in_one_line(pictures: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="4 pictures or more, got 3"):
        own_features(pictures[:3], TINY, tmp_path)


def test_ctrl_c_stops_the_teaching(pictures: np.ndarray, tmp_path: Path) -> None:
    import os
    import signal

    def interrupt(_what: str, _done: int, _of: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        own_features(pictures, replace(TINY, steps=50), tmp_path, interrupt)
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize("wrong", [{"side": 18}, {"widths": (12,)}, {"steps": 0}, {"temperature": 0.0}, {"seed": -1}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        replace(TINY, **wrong)  # type: ignore[arg-type]


def test_something_that_is_no_picture_is_refused() -> None:
    with pytest.raises(PictureError, match="uint8"):
        PixelFeatures().features([np.zeros((8, 8, 3), np.float32)])


def test_the_check_names_what_an_extractor_breaks() -> None:
    class Forgetful(PixelFeatures):
        def features(self, pictures: object) -> np.ndarray:
            return np.zeros((len(pictures), 256), np.float32)  # type: ignore[arg-type]

    with pytest.raises(ContractError, match="two different pictures"):
        check_features(Forgetful())


def test_an_extractor_can_be_added(pictures: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EXTRACTORS, "_entries", dict(EXTRACTORS._entries))

    def mine(lesson: Lesson) -> FeatureExtractor:
        return PixelFeatures()

    EXTRACTORS.register("mine", mine)
    assert "mine" in EXTRACTORS
    assert make_features("mine", _lesson(pictures, tmp_path)).size == 256


# networks of transformers --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    import transformers
    from transformers.utils import logging as logs

    logs.disable_progress_bar()
    torch.manual_seed(0)
    vit = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    made = {
        "vit": transformers.ViTModel(transformers.ViTConfig(**vit, image_size=32, patch_size=8)),
        "dinov2": transformers.Dinov2Model(
            transformers.Dinov2Config(
                hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
            )
        ),
        "resnet": transformers.ResNetModel(
            transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 24], depths=[1, 1], layer_type="basic")
        ),
        "clip": transformers.CLIPVisionModelWithProjection(
            transformers.CLIPVisionConfig(**vit, projection_dim=12, image_size=32, patch_size=8)
        ),
    }
    found = {}
    for name, network in made.items():
        found[name] = tmp_path_factory.mktemp(name)
        network.save_pretrained(found[name])
    (found["vit"] / "preprocessor_config.json").write_text(
        '{"size": {"height": 32, "width": 32}, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}'
    )
    return found


@pytest.mark.parametrize(("kind", "size"), [("vit", 16), ("dinov2", 16), ("resnet", 24), ("clip", 12)])
def test_a_hugging_face_folder_becomes_an_extractor(
    kind: str, size: int, folders: dict[str, Path], pictures: np.ndarray, tmp_path: Path
) -> None:
    extractor = make_features(str(folders[kind]), _lesson(pictures, tmp_path))
    check_features(extractor)
    assert extractor.size == size


def test_a_vit_sees_pictures_prepared_as_its_folder_says(folders: dict[str, Path], pictures: np.ndarray) -> None:
    from PIL import Image
    from transformers import ViTModel

    network = ViTModel.from_pretrained(folders["vit"]).eval()
    sized = np.array(Image.fromarray(pictures[0]).resize((32, 32), Image.Resampling.BICUBIC))
    pixels = torch.from_numpy(sized).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        wanted = network(pixel_values=pixels).pooler_output.numpy()
    found = make_features(str(folders["vit"]), Lesson(pictures)).features(pictures[:1])
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_names_and_folders_that_hold_no_network_are_refused_in_one_line(pictures: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown feature extractor 'inception'.*own, pixels"):
        make_features("inception", _lesson(pictures, tmp_path))
    with pytest.raises(UsageError, match="a Hugging Face folder"):
        make_features(str(tmp_path / "missing"), _lesson(pictures, tmp_path))
    with pytest.raises(BundleError, match="no network of pictures") as caught:
        make_features(str(tmp_path), _lesson(pictures, tmp_path))
    assert "\n" not in str(caught.value)
    (tmp_path / "config.json").write_text('{"model_type": "bert", "hidden_size": 8}')
    with pytest.raises(BundleError):
        make_features(str(tmp_path), _lesson(pictures, tmp_path))
