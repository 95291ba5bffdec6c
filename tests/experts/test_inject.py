"""Experts on models of transformers: equal to PEFT where PEFT can, and to the weighted sum where it cannot."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bases import toy_base, toy_transformers_base
from reverie.engine import Engine, Request
from reverie.errors import ExpertError, UnknownNameError, UsageError
from reverie.experts.contract import Adapter, Choice, Factors
from reverie.experts.files import save_adapter
from reverie.experts.inject import PeftInjection, RoutedInjection, inject, linears_of
from reverie.model.transformers_base import TransformersBackbone

FAMILIES = ["llama", "llama-untied", "mistral", "qwen2", "qwen3", "gemma2", "opt", "gpt2"]
NAMES = ("causal", "spatial", "a.b", "a_2e_b")
CHOICES: list[Choice] = [
    (("causal", 1.0),),
    (),
    (("causal", 0.5), ("spatial", -0.7), ("a.b", 1.3)),
    (("spatial", 1.0),),
    tuple((name, 0.3) for name in NAMES),
]


class ExpertFolder:
    """Experts in a dict."""

    def __init__(self, adapters: Mapping[str, Adapter]):
        self.adapters, self.changes = dict(adapters), 0

    def key(self, name: str) -> str:
        if name not in self.adapters:
            raise UnknownNameError("expert", name, self.adapters)
        return f"{name}/{self.changes}"

    def adapter(self, name: str) -> Adapter:
        return self.adapters[name]


def toy_adapter(model: nn.Module, seed: int, rank: int = 3, keep: int = 1) -> Adapter:
    """Factors for every ``keep``-th linear of the layers, ranks that differ."""
    rng = torch.Generator().manual_seed(seed)
    factors = {}
    for place, (name, (outs, ins)) in enumerate(linears_of(model).items()):
        if place % keep == 0 and "lm_head" not in name:
            own = rank + place % 2
            down, up = (torch.randn(shape, generator=rng) * 0.2 for shape in ((own, ins), (outs, own)))
            factors[name] = Factors(down, up)
    return Adapter(factors)


def experts_of(model: nn.Module) -> ExpertFolder:
    return ExpertFolder({name: toy_adapter(model, place, 2 + place, 1 + place) for place, name in enumerate(NAMES)})


def merged(model: Any, source: ExpertFolder, choice: Choice) -> Any:
    """``model`` with the weighted changes added to its weights."""
    with torch.no_grad():
        for name, weight in choice:
            for linear, factors in source.adapters[name].factors.items():
                change, target = weight * factors.up @ factors.down, model.get_submodule(linear).weight
                target += change if isinstance(model.get_submodule(linear), nn.Linear) else change.t()
    return model


def ids(rows: int) -> Tensor:
    return torch.randint(0, 300, (rows, 11), generator=torch.Generator().manual_seed(3))


@torch.inference_mode()
def logits(model: Any, given: Tensor) -> Tensor:
    found: Tensor = model(input_ids=given).logits
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_is_under_the_weighted_sum_of_its_experts(family: str) -> None:
    model = toy_base(family)
    bare = logits(model, ids(5))
    injection, source = inject(model, experts_of(model)), experts_of(model)
    assert isinstance(injection, PeftInjection if family == "gpt2" else RoutedInjection)
    resolved = [injection.resolve(choice) for choice in CHOICES]
    if injection.per_row:
        with injection.rows(resolved):
            given = logits(model, ids(5))
    else:
        parts = []
        for row, chosen in enumerate(resolved):
            with injection.rows([chosen]):
                parts.append(logits(model, ids(5)[row : row + 1]))
        given = torch.cat(parts)
    wanted = [logits(merged(toy_base(family), source, choice), ids(5))[row] for row, choice in enumerate(CHOICES)]
    assert torch.allclose(given, torch.stack(wanted), atol=1e-4 * float(bare.abs().max()))
    assert not torch.allclose(given[0], bare[0], atol=0.01)
    assert torch.equal(logits(model, ids(5)), bare)  # nobody is active outside
    injection.remove()
    assert torch.equal(logits(model, ids(5)), bare)
    assert {name for name, _ in model.named_modules()} == {name for name, _ in toy_base(family).named_modules()}


@pytest.mark.parametrize("family", ["llama", "llama-untied", "qwen2", "qwen3", "mistral", "gpt2"])
def test_one_expert_is_what_peft_makes_of_its_folder(family: str, tmp_path: Path) -> None:
    import peft

    model = toy_base(family)
    source = ExpertFolder({"one": toy_adapter(model, 5)})
    save_adapter(source.adapters["one"], tmp_path, torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fan_in_fan_out
        theirs = peft.PeftModel.from_pretrained(toy_base(family), tmp_path).eval()
    injection = inject(model, source)
    with injection.rows([injection.resolve((("one", 1.0),))] * 3):
        given = logits(model, ids(3))
    assert torch.allclose(given, logits(theirs, ids(3)), atol=1e-5, rtol=1e-5)


def test_gradients_reach_inputs_and_factors() -> None:
    model = toy_base("llama")
    adapter = toy_adapter(model, 1)
    for factors in adapter.factors.values():
        factors.down.requires_grad_()
        factors.up.requires_grad_()
    injection = inject(model, ExpertFolder({"one": adapter}))
    with injection.rows([injection.resolve((("one", 0.5),)), ()]):
        model(input_ids=ids(2)).logits.square().mean().backward()
    for factors in adapter.factors.values():
        for part in (factors.down, factors.up):
            assert part.grad is not None
            assert float(part.grad.abs().sum()) > 0


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    model = toy_base("llama")
    name = "model.layers.0.self_attn.q_proj"
    unknown = Adapter({"model.layers.9.self_attn.q_proj": Factors(torch.zeros(2, 32), torch.zeros(32, 2))})
    large = Adapter({name: Factors(torch.zeros(2, 64), torch.zeros(64, 2))})
    injection = inject(model, ExpertFolder({"unknown": unknown, "large": large, "good": toy_adapter(model, 0)}))
    for wrong in ("unknown", "large"):
        with pytest.raises(ExpertError, match=f"{wrong}.*layers"), injection.rows([injection.resolve(((wrong, 1.0),))]):
            pass
    with pytest.raises(UnknownNameError, match="Did you mean 'good'"):
        injection.resolve((("goud", 1.0),))
    chosen = injection.resolve((("good", 1.0),))
    with injection.rows([chosen] * 3), pytest.raises(UsageError, match="experts are set for 3 rows"):
        logits(model, ids(4))
    peft_way = inject(toy_base("gpt2"), experts_of(toy_base("gpt2")))
    with pytest.raises(UsageError, match="one mixture"), peft_way.rows([peft_way.resolve(CHOICES[0]), ()]):
        pass


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_an_expert_that_changed_under_its_name_is_used_anew(family: str) -> None:
    model = toy_base(family)
    source = ExpertFolder({"one": toy_adapter(model, 1)})
    injection = inject(model, source)
    with injection.rows([injection.resolve((("one", 1.0),))]):
        before = logits(model, ids(1))
    source.adapters["one"], source.changes = toy_adapter(toy_base(family), 2), 1
    with injection.rows([injection.resolve((("one", 1.0),))]):
        after = logits(model, ids(1))
    wanted = logits(merged(toy_base(family), source, (("one", 1.0),)), ids(1))
    assert not torch.allclose(before, after, atol=1e-3)
    assert torch.allclose(after, wanted, atol=1e-4 * float(wanted.abs().max()))


def test_peft_holds_only_so_many_experts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[inject.__module__], "PEFT_EXPERTS", 2)
    model = toy_base("gpt2")
    injection = inject(model, experts_of(model))
    for name in NAMES:
        with injection.rows([injection.resolve(((name, 1.0),))]):
            given = logits(model, ids(1))
    wanted = logits(merged(toy_base("gpt2"), experts_of(toy_base("gpt2")), ((NAMES[-1], 1.0),)), ids(1))
    assert torch.allclose(given, wanted, atol=1e-4 * float(wanted.abs().max()))
    assert max(len(module.lora_A) for module in model.modules() if hasattr(module, "lora_A")) <= 2


# in the engine ------------------------------------------------------------------------------------------------


def alone(backbone: TransformersBackbone, source: ExpertFolder, request: Request) -> tuple[int, ...]:
    """Greedy ids from merged weights, everything read again for every id."""
    merged(backbone.base, source, request.experts)
    drawn: list[int] = []
    with torch.inference_mode():
        for _ in range(request.max_new_ids):
            drawn.append(int(backbone(torch.tensor([[*request.prefix, *drawn]]))[0, -1].argmax()))
    return tuple(drawn)


@pytest.mark.parametrize("family", ["llama", "qwen3", "mistral-sliding", "gpt2"])
def test_rows_of_one_batch_have_experts_of_their_own(family: str) -> None:
    from reverie.engine import Sampling

    backbone = toy_transformers_base(family)
    source = experts_of(backbone.base)
    engine = Engine(backbone, experts=source)
    prefixes = [(30, 40, 50), (30, 40, 50), (30, 40, 50, 60, 70), (25, 26), (30, 40, 50)]
    requests = [
        Request(prefix, sampling=Sampling(0), max_new_ids=6, experts=choice)
        for prefix, choice in zip(prefixes, CHOICES, strict=True)
    ]
    wanted = [alone(toy_transformers_base(family), source, request) for request in requests]
    for _ in range(2):
        assert [each.ids for each in engine.generate(requests)] == wanted
    for request in requests:
        twin = toy_transformers_base(family)
        merged(twin.base, source, request.experts)
        given = engine.score(request.prefix, [99, 12, 13], request.experts)
        assert np.allclose(given, Engine(twin).score(request.prefix, [99, 12, 13]), atol=1e-3)
        assert np.allclose(engine.embed(request.prefix), Engine(toy_transformers_base(family)).embed(request.prefix))


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_contributions_are_norms_of_what_each_expert_adds(family: str) -> None:
    backbone = toy_transformers_base(family)
    linear = next(name for name in linears_of(backbone.base) if "lm_head" not in name)
    first = toy_adapter(backbone.base, 0).factors[linear]
    source = ExpertFolder(
        {
            "one": Adapter({linear: first}),
            "half": Adapter({linear: Factors(first.down, first.up / 2)}),
            "nothing": Adapter({linear: Factors(first.down, first.up * 0)}),
        }
    )
    engine = Engine(backbone, experts=source)
    shares = engine.contributions((30, 40), (50, 60, 70), (("one", 1.0), ("nothing", 1.0), ("half", 1.0)))
    assert shares.shape == (3, 3)
    assert (shares[:, 0] > 0).all()
    assert np.allclose(shares[:, 1], 0)
    assert np.allclose(shares[:, 2], shares[:, 0] / 2, rtol=1e-5)
    twice = engine.contributions((30, 40), (50, 60, 70), (("half", 2.0),))
    assert np.allclose(twice[:1, 0], engine.contributions((30, 40), (50,), (("one", 1.0),))[:, 0], rtol=1e-5)
    assert engine.contributions((30,), (), (("one", 1.0),)).shape == (0, 1)
