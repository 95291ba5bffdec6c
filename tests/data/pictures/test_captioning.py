"""Captioners: every kind of vision-language model answers, from a folder without the network; bad ones are a line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from reverie.data.pictures.captioning import CaptionerConfig, load_captioner
from reverie.data.pictures.collection import Collection
from reverie.data.pictures.prepare import PrepareConfig, prepare
from reverie.errors import BundleError, ConfigError
from toy_captioners import toy_captioner
from toy_pictures import drawing, photo, save

KINDS = ("blip", "blip2", "llava", "encoder-decoder")
PICTURES = [drawing(1), photo(2, 40, 60), drawing(3, 20, 90)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for kind in KINDS:
        toy_captioner(kind, folder / kind)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_says_something_about_each_picture(models: Path, kind: str) -> None:
    captioner = load_captioner(CaptionerConfig(str(models / kind), max_tokens=6, device="cpu"))
    said = captioner.describe(PICTURES)
    assert len(said) == 3
    assert all(0 < len(words.split()) <= 6 for words in said), said
    assert "[" not in "".join(said)
    assert captioner.describe(PICTURES) == said
    assert captioner.describe(PICTURES[1:2]) == said[1:2]
    assert captioner.describe([]) == []


@pytest.mark.parametrize("kind", ["blip", "blip2", "llava"])
def test_a_prompt_is_asked_and_not_repeated(models: Path, kind: str) -> None:
    captioner = load_captioner(CaptionerConfig(str(models / kind), "an engraving of", max_tokens=6, device="cpu"))
    said = captioner.describe(PICTURES)
    assert not [words for words in said if words.startswith("an engraving of")]
    assert all(len(words.split()) <= 7 for words in said)


def test_a_captioner_fills_the_gaps_of_a_collection(models: Path, tmp_path: Path) -> None:
    for seed in range(3):
        save(drawing(seed), tmp_path / "in" / f"{seed}.png")
    (tmp_path / "in" / "1.txt").write_text("A given caption.")
    captioner = load_captioner(CaptionerConfig(str(models / "blip"), max_tokens=6, batch_size=2, device="cpu"))
    settings = PrepareConfig(style="engraving", size=32, workers=1)
    statistics = prepare(tmp_path / "in", tmp_path / "out", settings, captioner)
    captions = Collection.open(tmp_path / "out").captions
    assert captions[1] == "A given caption."
    assert captions[0].startswith("An engraving depicting ")
    assert statistics["captions"]["captioner"] == 2
    assert json.loads((tmp_path / "out" / "prepare.json").read_text())["settings"]["captioner"] == captioner.name


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _another_family(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "gpt2"}')


def _without_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()


@pytest.mark.parametrize("damage", [_empty, _cut_weights, _pickled, _another_family, _without_tokenizer])
def test_a_folder_that_is_no_captioner_is_one_line(models: Path, tmp_path: Path, damage: object) -> None:
    shutil.copytree(models / "blip", tmp_path / "model")
    assert callable(damage)
    damage(tmp_path / "model")
    with pytest.raises(BundleError, match="no captioner can be loaded from") as caught:
        load_captioner(CaptionerConfig(str(tmp_path / "model"), device="cpu"))
    assert "\n" not in str(caught.value)


def test_a_file_is_no_captioner(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_text("x")
    with pytest.raises(BundleError, match="is a file"):
        load_captioner(CaptionerConfig(str(tmp_path / "model.gguf")))


def test_a_name_that_the_hub_does_not_have_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BundleError, match="no captioner can be loaded from 'nobody/nothing'"):
        load_captioner(CaptionerConfig("nobody/nothing", device="cpu"))


def test_a_captioner_that_fails_says_that_one_can_go_on(models: Path) -> None:
    captioner = load_captioner(CaptionerConfig(str(models / "blip"), device="cpu"))

    def fail(pictures: object) -> list[str]:
        raise RuntimeError("CUDA out of memory")

    captioner._ask = fail
    with pytest.raises(BundleError, match=r"out of memory.*--caption-batch"):
        captioner.describe(PICTURES)


@pytest.mark.parametrize("wrong", [{"source": " "}, {"batch_size": 0}, {"max_tokens": 0}])
def test_settings_that_cannot_be_are_one_line(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        CaptionerConfig(**{"source": "x", **wrong})  # type: ignore[arg-type]
