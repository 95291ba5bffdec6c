"""The backbone computes what transformers' Llama computes, forward and backward, and their folders interchange."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from reverie.errors import BundleError, ConfigError, UsageError
from reverie.model import Backbone, BackboneConfig

CONFIG = BackboneConfig(
    vocab_size=97, hidden_size=32, intermediate_size=48, num_layers=2, num_heads=4, max_positions=320
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def backbone() -> Backbone:
    """Random weights, large enough that every part of the maths shows in the logits."""
    rng = seeded(1)
    backbone = Backbone(CONFIG, rng)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=rng) * 0.2)
    return backbone


@pytest.fixture
def llama(backbone: Backbone, tmp_path: Path) -> LlamaForCausalLM:
    backbone.save(tmp_path / "saved", torch.float32)
    return AutoModelForCausalLM.from_pretrained(tmp_path / "saved")


def random_ids(rows: int, length: int, seed: int = 2) -> torch.Tensor:
    return torch.randint(0, CONFIG.vocab_size, (rows, length), generator=seeded(seed))


@pytest.mark.parametrize("length", [1, 17, 300], ids=["one id", "plain attention", "long attention"])
def test_logits_equal_transformers(backbone: Backbone, llama: LlamaForCausalLM, length: int) -> None:
    ids = random_ids(3, length)
    assert torch.allclose(backbone(ids), llama(ids).logits, atol=1e-4)


@pytest.mark.parametrize("length", [17, 300], ids=["plain attention", "long attention"])
def test_loss_and_gradients_equal_transformers(backbone: Backbone, llama: LlamaForCausalLM, length: int) -> None:
    ids = random_ids(3, length)
    weights = torch.rand(3, length, generator=seeded(3)) * (torch.rand(3, length, generator=seeded(4)) < 0.5)
    loss, nats = backbone.loss(ids, weights)
    plain = F.cross_entropy(llama(ids).logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
    expected = (plain * weights[:, 1:]).sum() / weights[:, 1:].sum()
    assert torch.allclose(loss, expected, atol=1e-5)
    assert torch.allclose(nats[:, 1:], plain * (weights[:, 1:] > 0), atol=1e-4)
    (3 * loss).backward()
    (3 * expected).backward()
    theirs = dict(llama.named_parameters())
    for name, parameter in backbone.named_parameters():
        assert torch.allclose(parameter.grad, theirs[name].grad, atol=1e-5, rtol=1e-3), name


def test_bf16_autocast_rounds_gradients_about_as_little_as_transformers(
    backbone: Backbone, llama: LlamaForCausalLM
) -> None:
    def gradient(model: torch.nn.Module, loss: torch.Tensor) -> torch.Tensor:
        grads = torch.autograd.grad(loss, list(dict(sorted(model.named_parameters())).values()))
        return torch.cat([grad.flatten() / grad.norm() for grad in grads])

    ids = random_ids(4, 40)
    exact = gradient(backbone, backbone.loss(ids, torch.ones(4, 40))[0])
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = backbone.loss(ids, torch.ones(4, 40))[0], llama(ids, labels=ids).loss
    assert ours.dtype == torch.float32
    assert (gradient(backbone, ours) - exact).norm() <= 1.5 * (gradient(llama, theirs) - exact).norm()


def test_logits_under_bf16_autocast_stay_close_to_float32(backbone: Backbone) -> None:
    ids = random_ids(2, 20)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        rough = backbone(ids)
    exact = backbone(ids)
    assert rough.dtype == torch.bfloat16
    assert (rough.float() - exact).norm() <= 0.02 * exact.norm()


def test_loss_without_any_weight_is_zero_and_has_no_gradient(backbone: Backbone) -> None:
    loss, nats = backbone.loss(random_ids(2, 9), torch.zeros(2, 9))
    loss.backward()
    assert loss.item() == 0
    assert not nats.any()
    assert all(not parameter.grad.any() for parameter in backbone.parameters())


def test_loss_needs_no_gradient_to_judge(backbone: Backbone) -> None:
    ids, weights = random_ids(2, 9), torch.ones(2, 9)
    with torch.no_grad():
        judged, _ = backbone.loss(ids, weights)
    assert judged == backbone.loss(ids, weights)[0]


def test_later_ids_do_not_change_earlier_logits(backbone: Backbone) -> None:
    ids = random_ids(1, 30)
    changed = ids.clone()
    changed[:, 20:] = (changed[:, 20:] + 1) % CONFIG.vocab_size
    assert torch.allclose(backbone(ids)[:, :20], backbone(changed)[:, :20], atol=1e-5)
    assert not torch.allclose(backbone(ids)[:, 20:], backbone(changed)[:, 20:], atol=1e-2)


def test_same_seed_same_weights() -> None:
    first, second, other = (Backbone(CONFIG, seeded(seed)).embeddings for seed in (5, 5, 6))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_save_and_load_round_trip(backbone: Backbone, tmp_path: Path) -> None:
    backbone.save(tmp_path, torch.float32)
    loaded = Backbone.load(tmp_path)
    assert loaded.config == CONFIG
    for name, value in backbone.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_saves_bf16_unless_told_otherwise(backbone: Backbone, tmp_path: Path) -> None:
    backbone.save(tmp_path)
    assert {tensor.dtype for tensor in load_file(tmp_path / "model.safetensors").values()} == {torch.bfloat16}
    loaded = Backbone.load(tmp_path)
    assert loaded.embeddings.dtype == torch.float32
    assert torch.equal(loaded.embeddings, backbone.embeddings.bfloat16().float())
    assert AutoModelForCausalLM.from_pretrained(tmp_path).dtype == torch.bfloat16


def test_opens_a_folder_and_a_state_dict_of_transformers(llama: LlamaForCausalLM, tmp_path: Path) -> None:
    llama.save_pretrained(tmp_path / "theirs")
    ids = random_ids(2, 12)
    loaded = Backbone.load(tmp_path / "theirs")
    assert torch.allclose(loaded(ids), llama(ids).logits, atol=1e-4)
    fresh = Backbone(CONFIG, seeded(9))
    fresh.load_state_dict(llama.state_dict())
    assert torch.allclose(fresh(ids), llama(ids).logits, atol=1e-4)


def rewrite_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def edit_tensors(folder: Path, name: str, value: torch.Tensor | None) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors.pop(name, None)
    save_file(tensors if value is None else tensors | {name: value}, path)


NORM = "model.norm.weight"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_short, "damaged or cut short"),
        (lambda folder: (folder / "model.safetensors").unlink(), "missing"),
        (lambda folder: (folder / "config.json").unlink(), "missing"),
        (lambda folder: (folder / "config.json").write_text("{"), "is damaged: Expecting"),
        (lambda folder: (folder / "config.json").write_text("[]"), "no JSON object"),
        (lambda folder: edit_tensors(folder, NORM, None), "lacks 1 tensor"),
        (lambda folder: edit_tensors(folder, "stray", torch.ones(1)), "unknown 1 tensor"),
        (lambda folder: edit_tensors(folder, NORM, torch.ones(7)), "shape"),
        (lambda folder: edit_tensors(folder, NORM, torch.full((32,), float("nan"))), "not finite"),
        (lambda folder: rewrite_config(folder, num_key_value_heads=2), "num_key_value_heads=4"),
        (lambda folder: rewrite_config(folder, model_type="gpt2"), "model_type=llama"),
        (lambda folder: rewrite_config(folder, hidden_size=33), "damaged"),
        (lambda folder: rewrite_config(folder, hidden_size="32"), "damaged"),
    ],
)
def test_damaged_folder_is_refused(backbone: Backbone, tmp_path: Path, damage, message: str) -> None:
    backbone.save(tmp_path, torch.float32)
    damage(tmp_path)
    with pytest.raises(BundleError, match=message):
        Backbone.load(tmp_path)


@pytest.mark.parametrize(
    "setting",
    [{"num_layers": 0}, {"hidden_size": 30}, {"norm_eps": 0.0}, {"vocab_size": -1}, {"num_heads": 2.0}],
    ids=str,
)
def test_impossible_setting_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))):
        BackboneConfig(**{"vocab_size": 10, **setting})


def test_backbone_without_vocabulary_is_refused() -> None:
    with pytest.raises(ConfigError, match="vocabulary"):
        Backbone(BackboneConfig(vocab_size=0))


def test_too_long_a_sequence_is_refused(backbone: Backbone) -> None:
    with pytest.raises(UsageError, match="321 ids are more than the 320 positions"):
        backbone(random_ids(1, 321))
