from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from peft import LoraConfig as PeftConfig
from peft import inject_adapter_in_model
from tests.bases import BASES, toy_base, toy_transformers_base
from torch import Tensor, nn

from reverie.errors import ConfigError
from reverie.experts.fused import attended, normed
from reverie.experts.lowrank import LoraConfig, attach
from reverie.experts.tuning import save_memory
from reverie.model.backbone import gated
from reverie.model.head_loss import head_loss
from reverie.model.transformers_base import TransformersBackbone

RANK = 3
SETTINGS = LoraConfig(rank=RANK, alpha=6.0)


def tuned(family: str, settings: LoraConfig = SETTINGS, **changes: Any) -> tuple[TransformersBackbone, nn.Module]:
    """A base whose changes are something already."""
    base = TransformersBackbone(toy_base(family, **changes), 20)
    module, _ = attach(base, settings, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    for name, parameter in module.named_parameters():
        if name.endswith("up"):
            parameter.data.normal_(0, 0.1, generator=generator)
    return base, module


def example(length: int = 24) -> tuple[Tensor, Tensor]:
    """Ids, and weights that leave some out."""
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(0, 320, (3, length), generator=generator)
    weights = torch.rand(3, length, generator=generator) * (torch.rand(3, length, generator=generator) < 0.6)
    return ids, weights


def gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.grad for name, parameter in module.named_parameters() if parameter.grad is not None}


@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set", "ignore:Unsupported layer type")  # of PEFT
@pytest.mark.parametrize("family", [*BASES])
def test_loss_and_gradients_are_those_of_peft(family: str) -> None:
    settings = replace(SETTINGS, targets=("in_proj",)) if family == "mamba" else SETTINGS  # PEFT refuses its others
    base, module = tuned(family, settings)
    changes = {name.replace("/", "."): change for name, change in module.named_children()}
    plain = copy.deepcopy(toy_base(family)).float()
    fan_in = family == "gpt2"
    config = PeftConfig(r=RANK, lora_alpha=6, target_modules=[*changes], fan_in_fan_out=fan_in)
    inject_adapter_in_model(config, plain)
    for name, change in changes.items():
        layer: Any = plain.get_submodule(name)
        layer.lora_A["default"].weight.data.copy_(change.down)
        layer.lora_B["default"].weight.data.copy_(change.up)
    ids, weights = example()
    loss, nats = base.loss(ids, weights)
    loss.backward()
    logits = base.ids.rotate_logits(plain(base.ids.to_base_ids(ids), use_cache=False).logits)[:, :-1]
    each = nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(3, -1)
    theirs = (each * weights[:, 1:]).sum() / weights[:, 1:].sum()
    theirs.backward()
    assert loss.item() == pytest.approx(theirs.item(), abs=1e-5)
    assert torch.allclose(nats[:, 1:], torch.where(weights[:, 1:] > 0, each, 0.0), atol=1e-4)
    for name, change in changes.items():
        layer = plain.get_submodule(name)
        for ours, factor in ((change.down, layer.lora_A), (change.up, layer.lora_B)):
            wanted = factor["default"].weight.grad
            if wanted is not None:
                assert ours.grad is not None
                assert (ours.grad - wanted).abs().max() <= 1e-5 * max(1.0, wanted.abs().max().item())


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2", "opt"])
def test_states_that_are_computed_again_give_the_same_gradients(family: str) -> None:
    found = []
    for saving in (False, True):
        base, module = tuned(family)
        if saving:
            save_memory(base.base)
        base.loss(*example())[0].backward()
        found.append(gradients(module))
    assert found[0].keys() == found[1].keys() != set()
    assert all(torch.allclose(found[0][name], found[1][name], atol=1e-6) for name in found[0])


def test_only_some_linears_of_a_group_may_be_changed() -> None:
    base, module = tuned("llama-untied", LoraConfig(rank=2, targets=("k_proj", "v_proj", "up_proj")))
    base.loss(*example())[0].backward()
    assert all(grad.abs().sum() > 0 for grad in gradients(module).values())
    assert len(gradients(module)) == 2 * 3 * 2


def test_dropout_is_of_training_alone() -> None:
    base, module = tuned("llama", LoraConfig(rank=2, dropout=0.5))
    ids, weights = example()
    module.eval()
    assert base.loss(ids, weights)[0] == base.loss(ids, weights)[0]
    module.train()
    assert base.loss(ids, weights)[0] != base.loss(ids, weights)[0]


def test_a_base_in_bf16_is_trained_in_bf16() -> None:
    base, module = tuned("llama")
    exact = base.loss(*example())[0]
    base.base.to(torch.bfloat16)
    loss, _ = base.loss(*example())
    loss.backward()
    assert loss.item() == pytest.approx(exact.item(), rel=0.05)
    assert all(grad.dtype == torch.float32 for grad in gradients(module).values())


def test_a_float32_base_is_multiplied_in_bf16_under_autocast() -> None:
    base, _ = tuned("llama")
    exact = base.loss(*example())[0]
    with torch.autocast("cpu", torch.bfloat16):
        loss = base.loss(*example())[0]
    assert loss != exact
    assert loss.item() == pytest.approx(exact.item(), rel=0.05)


def test_layers_that_nobody_knows_are_one_line() -> None:
    with pytest.raises(ConfigError, match="Sequential"):
        save_memory(nn.Sequential(nn.Linear(2, 2)))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: normed(x, torch.linspace(0.5, 2, 24, dtype=torch.float64), 1e-5),
        gated,
        lambda x: attended(x, torch.rand(5, 6).double(), torch.rand(5, 6).double(), 2, 1),
    ],
)
def test_hand_written_ways_back_are_right(function: Any) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 24, dtype=torch.float64, requires_grad=True)
    state = torch.get_rng_state()

    def fixed(x: Tensor) -> Tensor:
        torch.set_rng_state(state)
        return function(x)

    assert torch.autograd.gradcheck(fixed, x, eps=1e-6, atol=1e-4, rtol=1e-3)


def test_the_loss_of_a_table_is_cross_entropy_in_any_number_of_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(50, 8, generator=generator)
    targets, shares = torch.randint(0, 50, (13,), generator=generator), torch.rand(13, generator=generator)
    found = []
    for chunk in (50 * 4, 50 * 100):
        monkeypatch.setattr("reverie.model.head_loss._CHUNK", chunk)
        hidden = torch.randn(13, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
        loss, nats = head_loss(hidden, targets, shares, table)
        loss.backward()
        found.append((loss.detach(), nats, hidden.grad))
    hidden = torch.randn(13, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
    each = nn.functional.cross_entropy(hidden @ table.t(), targets, reduction="none")
    (each * shares).sum().backward()
    for loss, nats, grad in found:
        assert torch.allclose(nats, each, atol=1e-5)
        assert torch.allclose(loss, (each * shares).sum(), atol=1e-5)
        assert torch.allclose(grad, hidden.grad, atol=1e-6)


def test_nothing_wanted_is_no_loss() -> None:
    base = toy_transformers_base("llama")
    ids, _ = example()
    assert base.loss(ids, torch.zeros(ids.shape))[0] == 0
