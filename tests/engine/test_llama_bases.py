"""A base in Llama layout, read without transformers: the same ids, scores and experts as transformers' own classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bases import BASES, toy_base
from plain_rows import check_equal, plainly, rows
from reverie.engine import Engine, WeightKind, check_decoder, open_decoder
from reverie.engine.contract import Read
from reverie.engine.lora import DENSE_IDS
from reverie.engine.packed import PackedDecoder
from reverie.errors import BundleError
from reverie.experts.contract import Adapter, Choice, Factors
from reverie.model.llama_base import LlamaBase
from reverie.model.transformers_base import TransformersBackbone, extend, load_model

ROPE = {"rope_theta": 500.0}
LLAMA3 = {
    **ROPE,
    "rope_type": "llama3",
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN = {**ROPE, "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "grouped": ("llama", {"rope_parameters": ROPE | {"rope_type": "default"}}),
    "one key head": ("llama", {"num_key_value_heads": 1}),
    "wide heads": ("llama", {"head_dim": 12, "tie_word_embeddings": False}),
    "biases": ("llama-untied", {"mlp_bias": True, "num_key_value_heads": 2}),
    "linear": ("llama", {"rope_parameters": ROPE | {"rope_type": "linear", "factor": 3.0}}),
    "llama3": ("llama", {"rope_parameters": LLAMA3}),
    "yarn": ("llama", {"rope_parameters": YARN}),
    "yarn, mscale": ("llama", {"rope_parameters": YARN | {"mscale": 0.7, "mscale_all_dim": 0.4, "truncate": False}}),
    "mistral": ("mistral", {}),
    "mistral, wide window": ("mistral", {"sliding_window": 512, "tie_word_embeddings": True}),
    "qwen2": ("qwen2", {}),
    "qwen2 untied": ("qwen2", {"tie_word_embeddings": False}),
    "qwen3": ("qwen3", {}),
    "qwen3 tied": ("qwen3", {"tie_word_embeddings": True, "head_dim": 16}),
    "smollm3": ("smollm3", {}),
}
NUM_GRAMMAR = 20
CHOICES: list[Choice] = [(), (("wide", 1.0),), (("narrow", 0.4), ("wide", -0.5)), (("keys", 1.5), ("wide", 0.2))]


@cache
def theirs(kind: str) -> TransformersBackbone:
    """Random weights, biases and norms among them."""
    family, changes = KINDS[kind]
    base, rng = toy_base(family, **changes), torch.Generator().manual_seed(3)
    for name, parameter in base.named_parameters():
        if parameter.dim() == 1:
            parameter.add_(torch.randn(parameter.shape, generator=rng) * 0.2)
        assert parameter.isfinite().all(), name
    return extend(base, 320, NUM_GRAMMAR, rng)


@pytest.fixture(params=KINDS)
def both(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[TransformersBackbone, LlamaBase]:
    backbone = theirs(request.param)
    backbone.save(tmp_path)
    base = LlamaBase.find(tmp_path, NUM_GRAMMAR)
    assert base is not None
    return backbone, base


class Source(dict[str, Adapter]):
    def key(self, name: str) -> str:
        return name

    def adapter(self, name: str) -> Adapter:
        return self[name]


def adapters(backbone: TransformersBackbone) -> Source:
    rng = torch.Generator().manual_seed(5)

    def make(rank: int, only: str) -> Adapter:
        linears = {
            name: module
            for name, module in backbone.base.named_modules()
            if isinstance(module, torch.nn.Linear) and only in name and name != "lm_head"
        }
        return Adapter(
            {
                name: Factors(
                    torch.randn(rank, linear.in_features, generator=rng) * linear.in_features**-0.5,
                    torch.randn(linear.out_features, rank, generator=rng) * 0.2,
                )
                for name, linear in linears.items()
            }
        )

    return Source(wide=make(8, ""), narrow=make(1, "self_attn"), keys=make(3, "k_proj"))


def test_it_keeps_the_contract(both: tuple[TransformersBackbone, LlamaBase]) -> None:
    backbone, base = both
    source = adapters(backbone)
    reference = open_decoder(backbone, source)

    def plain(ids: Sequence[int], choice: Choice) -> torch.Tensor:
        return reference.read([Read(np.array(ids), None, reference.resolve(choice), len(ids))])[0][0]

    decoder = open_decoder(base, source)
    assert isinstance(decoder, PackedDecoder)
    assert len(check_decoder(decoder, plain, CHOICES)) > 10


def test_the_same_ids_and_log_probabilities(both: tuple[TransformersBackbone, LlamaBase]) -> None:
    backbone, base = both
    size = backbone.config.vocab_size
    engine = Engine(base, max_branches=6)
    for _ in range(2):  # the second time from what stayed read
        check_equal(engine.generate(rows(size)), plainly(backbone, rows(size)))


def test_far_positions_turn_alike(both: tuple[TransformersBackbone, LlamaBase]) -> None:
    backbone, base = both
    ids = torch.randint(0, backbone.config.vocab_size, (300,), generator=torch.Generator().manual_seed(1)).tolist()
    scores = Engine(base).score(ids[:3], ids[3:])
    np.testing.assert_allclose(scores, Engine(backbone).score(ids[:3], ids[3:]), atol=2e-3)


def test_what_experts_contribute_and_embeddings(both: tuple[TransformersBackbone, LlamaBase]) -> None:
    backbone, base = both
    source = adapters(backbone)
    ours, reference = Engine(base, experts=source), Engine(backbone, experts=source)
    asked = ((30, 3, 77), (200, 21, 4), CHOICES[3])
    np.testing.assert_allclose(ours.contributions(*asked), reference.contributions(*asked), rtol=1e-3)
    for contextual in (True, False):
        ids = (30, 3, 77, 200)
        np.testing.assert_allclose(ours.embed(ids, contextual), reference.embed(ids, contextual), atol=1e-4)


def test_bf16_weights_are_read_as_they_are(tmp_path: Path) -> None:
    backbone = theirs("grouped")
    TransformersBackbone(backbone.base.bfloat16(), NUM_GRAMMAR).save(tmp_path)
    exact = TransformersBackbone(load_model(tmp_path, dtype=torch.float32).eval(), NUM_GRAMMAR)
    theirs.cache_clear()  # whose base is changed
    base = LlamaBase.find(tmp_path, NUM_GRAMMAR)
    assert base is not None
    check_equal(Engine(base).generate(rows(340)), plainly(exact, rows(340)))


@pytest.mark.parametrize(
    "family", sorted(BASES.keys() - {"llama", "llama-untied", "mistral", "qwen2", "qwen3", "smollm3"})
)
def test_other_bases_are_left_to_transformers(family: str, tmp_path: Path) -> None:
    toy_base(family).save_pretrained(tmp_path)
    assert LlamaBase.find(tmp_path, 0) is None


def test_many_ids_with_experts_are_read_as_few_are(both: tuple[TransformersBackbone, LlamaBase]) -> None:
    backbone, base = both
    source = adapters(backbone)
    ids = torch.randint(0, 340, (DENSE_IDS + 9,), generator=torch.Generator().manual_seed(1)).tolist()
    engine = Engine(base, experts=source)
    few = [engine.score(ids[:-9], ids[-9:], choice) for choice in CHOICES]  # one read, by plain products
    slow = Engine(backbone, experts=source)
    for given, choice in zip(few, CHOICES, strict=True):
        np.testing.assert_allclose(given, slow.score(ids[:-9], ids[-9:], choice), atol=2e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model.norm.weight": None}, r"damaged: model\.norm\.weight is missing"),
        ({"model.norm.weight": torch.ones(31)}, r"model\.norm\.weight is F32 of \[31\], not numbers of \[32\]"),
        ({"model.norm.weight": torch.ones(32, dtype=torch.int32)}, "is I32 of"),
        (
            {"model.norm.weight": torch.full((32,), float("nan"))},
            r"model\.norm\.weight holds values that are not finite",
        ),
    ],
)
def test_damaged_weights_are_refused(change: dict[str, torch.Tensor | None], message: str, tmp_path: Path) -> None:
    toy_base("llama").save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = {name: value for name, value in (load_file(path) | change).items() if value is not None}
    save_file(tensors, path)
    with pytest.raises(BundleError, match=message):
        Engine(LlamaBase.find(tmp_path, 20))  # type: ignore[arg-type]


def test_files_that_are_cut_short_are_refused(tmp_path: Path) -> None:
    toy_base("llama").save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BundleError, match="is damaged or cannot be loaded"):
        LlamaBase.find(tmp_path, 20)
    with pytest.raises(BundleError, match="of its 320 ids 400 would be the grammar's"):
        LlamaBase.find(tmp_path, 400)


@pytest.mark.parametrize("weights", ["bf16", "int8"])
def test_rounded_weights_keep_the_contract_and_stay_close(weights: WeightKind, tmp_path: Path) -> None:
    backbone = theirs("grouped")
    backbone.save(tmp_path)
    base, source = LlamaBase.find(tmp_path, NUM_GRAMMAR), adapters(backbone)
    assert base is not None
    decoder = open_decoder(base, source, weights=weights)

    def plain(ids: Sequence[int], choice: Choice) -> torch.Tensor:
        return decoder.read([Read(np.array(ids), None, decoder.resolve(choice), len(ids))])[0][0]

    check_decoder(decoder, plain, CHOICES, tolerance=0.3 if weights == "bf16" else 0.02)
    ids = list(range(5, 45))
    exact, rounded = Engine(base).score(ids[:3], ids[3:]), Engine(base, weights=weights).score(ids[:3], ids[3:])
    assert 0 < np.abs(exact - rounded).mean() < 0.2
