from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from reverie.errors import ConfigError, ExpertError, UsageError
from reverie.experts.contract import Adapter, Factors, check_choice
from reverie.experts.prototypes import fit_prototype, prototype_of_weights
from reverie.experts.router import Router, RouterConfig

SIZE, NAMES = 16, ("a", "b", "c", "d", "e")
CENTERS = 4 * torch.randn(6, SIZE, generator=torch.Generator().manual_seed(1))


def rows_of(kind: int, count: int = 40, seed: int = 0) -> Tensor:
    return CENTERS[kind] + torch.randn(count, SIZE, generator=torch.Generator().manual_seed(seed))


def trained(**changes: object) -> Router:
    """A router that knows its five kinds of rows."""
    config = RouterConfig(**changes)  # type: ignore[arg-type]
    router = Router(NAMES, SIZE, config, base="a" * 64, generator=torch.Generator().manual_seed(0))
    features = torch.cat([rows_of(kind) for kind in range(5)])
    wanted = torch.eye(5).repeat_interleave(40, 0)
    router.fit_scale(features)
    router.prototypes = {name: fit_prototype(rows_of(kind), rank=2) for kind, name in enumerate(NAMES)}
    optimizer = torch.optim.Adam(router.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(router.logits(features), wanted).backward()
        optimizer.step()
    return router.eval()


@pytest.fixture(scope="module")
def router() -> Router:
    return trained()


@pytest.mark.parametrize("hidden_size", [0, 32])
def test_rows_get_their_expert_and_strangers_get_nobody(hidden_size: int) -> None:
    router = trained(hidden_size=hidden_size)
    for kind, name in enumerate(NAMES):
        choices = router.route(rows_of(kind, seed=7))
        assert sum(choice == ((name, 1.0),) for choice in choices) >= 38
    assert router.route(rows_of(5, seed=7)) == [()] * 40


def test_a_choice_is_one_that_the_engine_takes(router: Router) -> None:
    open_ = replaced(router, threshold=0.0, prototypes=False)
    for choice in open_.route(torch.cat([rows_of(kind) for kind in range(6)])):
        assert check_choice(choice) == choice
        assert len(choice) == 4
        assert sum(weight for _, weight in choice) == pytest.approx(1)
        assert [weight for _, weight in choice] == sorted((weight for _, weight in choice), reverse=True)


def replaced(router: Router, **changes: object) -> Router:
    other = router.with_prototypes({})
    other.config = replace(router.config, **changes)  # type: ignore[arg-type]
    return other


def test_topk_always_takes_as_many(router: Router) -> None:
    strangers = rows_of(5)
    topk = replaced(router, mode="topk", max_experts=2, prototypes=False)
    assert {len(choice) for choice in topk.route(strangers)} == {2}
    assert {len(choice) for choice in replaced(router, mode="threshold").route(strangers)} == {0}


def test_only_those_among_are_chosen(router: Router) -> None:
    assert router.route(rows_of(0), among=["b", "c"]) == [()] * 40
    assert router.route(rows_of(0), among=["a", "gone"]) == router.route(rows_of(0))


def test_the_capacity_holds_in_training_alone(router: Router) -> None:
    rows = rows_of(0, 40)
    assert sum(len(choice) for choice in router.route(rows, training=False)) >= 38
    assert sum(len(choice) for choice in router.route(rows, training=True)) == 10  # 1.25 · 40 rows / 5 experts
    without = replaced(router, capacity_factor=0.0)
    assert without.route(rows, training=True) == router.route(rows, training=False)


def test_the_capacity_goes_to_the_largest_gates() -> None:
    router = Router(("a", "b"), 4, RouterConfig(max_experts=1))
    gates = torch.tensor([[0.9, 0.0], [0.5, 0.0], [0.8, 0.0], [0.7, 0.4]])
    experts, weights = router.choose(gates, training=True)  # 3 of 4 rows
    assert experts.tolist() == [[0], [-1], [0], [0]]
    assert weights.tolist() == [[1.0], [0.0], [1.0], [1.0]]


def test_a_row_may_have_a_token_each(router: Router) -> None:
    tokens = torch.stack([rows_of(0, 7), rows_of(5, 7)])  # (2, 7, D)
    gates = router.gates(tokens)
    experts, weights = router.choose(gates)
    assert gates.shape == (2, 7, 5)
    assert experts.shape == weights.shape == (2, 7, 4)
    assert (experts[1] == -1).all()
    torch.testing.assert_close(gates[0], router.gates(tokens[0]))


def test_a_later_expert_is_routed_to_and_the_others_stay_as_they_were(router: Router) -> None:
    grown = router.with_prototypes({"f": fit_prototype(rows_of(5), rank=2)})
    assert grown.names == [*NAMES, "f"]
    assert grown.route(rows_of(5, seed=9)).count((("f", 1.0),)) >= 38
    for kind in range(5):
        rows = rows_of(kind, seed=9)
        assert grown.route(rows) == router.route(rows)
        torch.testing.assert_close(grown.gates(rows)[:, :5], router.gates(rows))
    assert router.names == list(NAMES)


def test_what_is_saved_routes_the_same(router: Router, tmp_path: Path) -> None:
    grown = router.with_prototypes({"f": fit_prototype(rows_of(5), rank=2)})
    grown.save(tmp_path)
    again = Router.load(tmp_path, base="a" * 64)
    features = torch.cat([rows_of(kind, seed=3) for kind in range(6)])
    assert torch.equal(again.gates(features), grown.gates(features))
    assert again.names == grown.names
    assert again.config == grown.config
    assert not again.training


def test_another_base_is_refused(router: Router, tmp_path: Path) -> None:
    router.save(tmp_path)
    with pytest.raises(ExpertError, match="was made for the base aaaaaaaaaaaa"):
        Router.load(tmp_path, base="c" * 64)


def test_a_damaged_router_is_refused_in_one_line(router: Router, tmp_path: Path) -> None:
    with pytest.raises(ExpertError, match="config is missing"):
        Router.load(tmp_path)
    router.save(tmp_path)
    whole = json.loads((tmp_path / "config.json").read_text())
    for damage in ({"size": 5}, {"names": ["../a"] * 5}, {"router": {"threshold": 7}}, {"num_learned": 2}):
        (tmp_path / "config.json").write_text(json.dumps(whole | damage))
        with pytest.raises(ExpertError, match=r"\Athe router .* is damaged: [^\n]*\Z"):
            Router.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(whole | {"names": [*NAMES, "f"]}))
    with pytest.raises(ExpertError, match="neither a learned gate nor a prototype"):
        Router.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(whole))
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(ExpertError, match="is damaged"):
        Router.load(tmp_path)


@pytest.mark.parametrize(
    "settings",
    [{"mode": "soft"}, {"threshold": 1.1}, {"max_experts": 5}, {"max_experts": 0}, {"capacity_factor": -1}],
)
def test_settings_are_checked(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"a router's {next(iter(settings))}"):
        RouterConfig(**settings)  # type: ignore[arg-type]


def test_what_does_not_fit_is_refused(router: Router) -> None:
    with pytest.raises(UsageError, match="reads 16 features a row, got 15"):
        router.gates(torch.zeros(2, 15))
    with pytest.raises(UsageError, match=r"\(B, D\)"):
        router.route(torch.zeros(2, 3, 16))
    with pytest.raises(UsageError, match="different names"):
        Router(("a", "a"), 4)
    with pytest.raises(ExpertError, match="the prototype of 'f' has 4 features"):
        router.with_prototypes({"f": fit_prototype(torch.randn(20, 4))})


def test_prototypes_of_weights_open_where_a_row_lies_far_along_them() -> None:
    router = Router((), SIZE).eval()
    router.fit_scale(torch.randn(2000, SIZE, generator=torch.Generator().manual_seed(0)))
    down = torch.eye(SIZE)[3:4]
    grown = router.with_prototypes({"w": prototype_of_weights(Adapter({"q": Factors(down, torch.ones(5, 1))}), SIZE)})
    rows = torch.zeros(3, SIZE)
    rows[1, 3], rows[2, 4] = 5.0, 5.0
    assert [len(choice) for choice in grown.route(rows)] == [0, 1, 0]
    mixed = grown.with_prototypes({"d": fit_prototype(rows_of(0), rank=2)})  # both kinds side by side
    assert mixed.route(rows) == grown.route(rows)
    assert all("d" in dict(choice) for choice in mixed.route(rows_of(0)[:5]))


def test_a_router_that_knows_nobody_chooses_nobody() -> None:
    assert Router((), SIZE).eval().route(rows_of(0, 2)) == [(), ()]
    assert Router((), SIZE, RouterConfig(mode="topk")).eval().route(rows_of(0, 2)) == [(), ()]
