"""Rows with several weighted experts give what the backbone with these experts merged into it gives."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from reverie.engine import Completion, Engine, Request, Sampling, SlowEngine
from reverie.errors import ExpertError, UnknownNameError, UsageError
from reverie.experts.contract import Adapter, Choice, Factors
from reverie.model import Backbone, BackboneConfig

CONFIG = BackboneConfig(
    vocab_size=60, hidden_size=32, intermediate_size=48, num_layers=2, num_heads=4, max_positions=96
)
LINEARS = {
    f"model.layers.{layer}.{name}": size
    for layer in range(CONFIG.num_layers)
    for name, size in {
        "self_attn.q_proj": (32, 32),
        "self_attn.k_proj": (32, 32),
        "self_attn.v_proj": (32, 32),
        "self_attn.o_proj": (32, 32),
        "mlp.gate_proj": (32, 48),
        "mlp.up_proj": (32, 48),
        "mlp.down_proj": (48, 32),
    }.items()
}
SHORT, LONG = (7, 3), tuple(range(10, 40))
GROWN = (*LONG, 1, 2, 3)
CHOICES: list[Choice] = [
    (),
    (("wide", 1.0),),
    (("narrow", 0.4), ("wide", -0.5)),
    (("mixed", 0.7), ("narrow", 0.3), ("wide", 0.2), ("mlp", 1.5)),
    (("mlp", 1.0),),
]


class Source(dict[str, Adapter]):
    """A toy source of experts: a dict, whose keys change when a value does."""

    def key(self, name: str) -> str:
        return str(id(self.adapter(name)))

    def adapter(self, name: str) -> Adapter:
        if name not in self:
            raise UnknownNameError("expert", name, sorted(self))
        return self[name]


def make_adapter(seed: int, ranks: Sequence[int], only: str = "") -> Adapter:
    """Ranks in turn, linear by linear; 0 leaves a linear alone."""
    rng = torch.Generator().manual_seed(seed)
    factors = {}
    for (linear, (width_in, width_out)), rank in zip(LINEARS.items(), itertools.cycle(ranks), strict=False):
        if rank and only in linear:
            down = torch.randn(rank, width_in, generator=rng) * width_in**-0.5
            factors[linear] = Factors(down, torch.randn(width_out, rank, generator=rng) * 0.2)
    return Adapter(factors)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    rng = torch.Generator().manual_seed(1)
    backbone = Backbone(CONFIG, rng)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=rng) * 0.15)
    return backbone


@pytest.fixture
def source() -> Source:
    return Source(
        wide=make_adapter(1, [8]),
        narrow=make_adapter(2, [1]),
        mixed=make_adapter(3, [3, 0, 16, 5]),
        mlp=make_adapter(4, [4], "mlp"),
    )


@pytest.fixture
def engine(backbone: Backbone, source: Source) -> Engine:
    return Engine(backbone, experts=source)


@pytest.fixture
def reference(backbone: Backbone, source: Source) -> SlowEngine:
    return SlowEngine(backbone, source)


def mixed_requests() -> list[Request]:
    """Every choice behind every prefix, in an order that separates what is alike, some rows ending early."""
    pairs = list(itertools.product([LONG, SHORT, GROWN], CHOICES))
    lengths = itertools.cycle([12, 3, 1, 20])
    return [
        Request(prefix, seed, Sampling(0.8, 20), None, next(lengths), frozenset({4}), choice)
        for seed, (prefix, choice) in enumerate(pairs + pairs[::2])
    ]


def assert_same(ours: Sequence[Completion], truth: Sequence[Completion]) -> None:
    for one, other in zip(ours, truth, strict=True):
        assert one.ids == other.ids
        assert np.allclose(one.log_probs, other.log_probs, atol=1e-4)


def test_any_mixture_of_rows_equals_the_reference(engine: Engine, reference: SlowEngine) -> None:
    truth = reference.generate(mixed_requests())
    assert_same(engine.generate(mixed_requests()), truth)
    assert_same(engine.generate(mixed_requests()), truth)  # now from what was kept


def test_the_experts_matter(engine: Engine) -> None:
    completions = engine.generate([Request(LONG, 1, max_new_ids=12, experts=choice) for choice in CHOICES])
    assert len({completion.ids for completion in completions}) == len(CHOICES)


@pytest.mark.parametrize("max_branches", [1, 3])
def test_the_batch_does_not_change_a_dream(backbone: Backbone, source: Source, max_branches: int) -> None:
    narrow = Engine(backbone, max_branches, cached_ids=1, experts=source, expert_bytes=0)
    assert_same(narrow.generate(mixed_requests()), Engine(backbone, experts=source).generate(mixed_requests()))


def test_the_order_of_a_choice_does_not_matter(engine: Engine) -> None:
    choice = CHOICES[3]
    requests = [Request(LONG, 3, max_new_ids=12, experts=each) for each in (choice, choice[::-1])]
    one, other = engine.generate(requests)
    assert one == other


@pytest.mark.parametrize("choice", CHOICES, ids=len)
def test_score_equals_the_reference(engine: Engine, reference: SlowEngine, choice: Choice) -> None:
    for prefix, following in [(LONG, GROWN), (SHORT, (5,)), (GROWN, LONG)]:
        ours = engine.score(prefix, following, choice)
        assert np.allclose(ours, reference.score(prefix, following, choice), atol=1e-4)


def test_stream_has_experts_too(engine: Engine) -> None:
    request = Request(LONG, 3, max_new_ids=9, experts=CHOICES[2])
    assert tuple(engine.stream(request)) == engine.generate([request])[0].ids


def test_embedding_stays_the_bare_one(backbone: Backbone, engine: Engine) -> None:
    engine.score(LONG, (1,), CHOICES[1])
    assert np.array_equal(engine.embed(LONG), Engine(backbone).embed(LONG))


def test_an_expert_that_changes_is_used_anew(engine: Engine, source: Source, backbone: Backbone) -> None:
    requests = [Request(LONG, 3, max_new_ids=12, experts=CHOICES[1])]
    before = engine.generate(requests)
    source["wide"] = make_adapter(9, [2])
    after = engine.generate(requests)
    assert after != before
    assert_same(after, SlowEngine(backbone, source).generate(requests))


def test_an_expert_that_is_gone_is_missed(engine: Engine, source: Source) -> None:
    requests = [Request(LONG, 3, max_new_ids=2, experts=CHOICES[1])]
    engine.generate(requests)
    del source["wide"]
    with pytest.raises(UnknownNameError, match="wide"):
        engine.generate(requests)


def test_an_engine_without_experts_says_so(backbone: Backbone) -> None:
    for ask in (
        lambda engine: engine.generate([Request(LONG, max_new_ids=3, experts=CHOICES[1])]),
        lambda engine: engine.score(LONG, (1,), CHOICES[1]),
        lambda engine: engine.contributions(LONG, (1,), CHOICES[1]),
    ):
        with pytest.raises(UsageError, match="this engine has no experts, and a request names 'wide'"):
            ask(Engine(backbone))


@pytest.mark.parametrize(
    ("linear", "shape", "message"),
    [
        ("lm_head", (60, 32), "changes lm_head, which is no linear"),
        ("model.layers.2.self_attn.q_proj", (32, 32), r"changes .*layers\.2.* no linear"),
        ("model.layers.1.mlp.up_proj", (32, 48), "changes .* from 48 to 32 values, .* takes 32 to 48"),
    ],
)
def test_an_expert_that_does_not_fit_is_refused(
    engine: Engine, source: Source, linear: str, shape: tuple[int, int], message: str
) -> None:
    source["odd"] = Adapter({linear: Factors(torch.zeros(2, shape[1]), torch.zeros(shape[0], 2))})
    with pytest.raises(ExpertError, match=f"the expert odd {message}"):
        engine.generate([Request(LONG, max_new_ids=3, experts=(("odd", 1.0),))])
    assert engine.generate([Request(LONG, max_new_ids=3)])[0].ids


def test_contributions_are_what_hooks_on_the_backbone_measure(
    backbone: Backbone, engine: Engine, source: Source, reference: SlowEngine
) -> None:
    """Held to the unfolded weights: inputs of every linear of the merged model, times base weights and factors."""
    choice, ids = CHOICES[3], GROWN[:9]
    ours = engine.contributions(LONG, ids, choice)
    assert ours.shape == (9, 4)
    assert ours.dtype == np.float32

    from transformers import LlamaConfig, LlamaForCausalLM

    merged = LlamaForCausalLM(LlamaConfig(**CONFIG.to_transformers(torch.float32))).eval()
    merged.load_state_dict(backbone.state_dict(), strict=False)
    with torch.no_grad():
        for name, weight in choice:
            for linear, factors in source[name].factors.items():
                merged.get_parameter(f"{linear}.weight").add_(factors.up @ factors.down, alpha=weight)
    base, given = torch.zeros(9), torch.zeros(9, 4)

    def measure(linear: str, x: torch.Tensor) -> None:
        x = x[0, len(LONG) - 1 :]
        base.add_((x @ backbone.get_parameter(f"{linear}.weight").t()).square().sum(1))
        for place, (name, weight) in enumerate(choice):
            if linear in source[name].factors:
                factors = source[name].factors[linear]
                given[:, place].add_((weight * x @ factors.down.t() @ factors.up.t()).square().sum(1))

    for linear in LINEARS:
        merged.get_submodule(linear).register_forward_hook(
            lambda module, inputs, output, linear=linear: measure(linear, inputs[0])
        )
    with torch.no_grad():
        merged(torch.tensor([[*LONG, *ids][:-1]]))
    np.testing.assert_allclose(ours, (given / base[:, None]).sqrt().numpy(), rtol=1e-3)


def test_nobody_contributes_nothing(engine: Engine) -> None:
    assert engine.contributions(LONG, (1, 2), ()).shape == (2, 0)
    assert engine.contributions(LONG, (), CHOICES[1]).shape == (0, 1)
