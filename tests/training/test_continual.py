"""Replay, elastic weight consolidation, mixtures of experts and warm starts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.bases import save_base
from tests.toy_experts import toy_adapter

from reverie.bundles.init import InitConfig, init_bundle
from reverie.errors import ConfigError, DataError, ExpertError
from reverie.experts.contract import Adapter
from reverie.experts.files import save_adapter
from reverie.experts.lowrank import LoraConfig
from reverie.experts.mixing import mixed, read_mixed
from reverie.training import check_objective
from reverie.training.adapted import Adapted, documents_of
from reverie.training.consolidation import Consolidation, fisher_of, load_fisher, save_fisher
from reverie.training.continual import ContinualData, ContinualObjective, Replayed
from reverie.training.warm import WarmConfig, warm_start

ROWS = [("Who leads Alma?", "Jane"), ("What is Rova?", "a car"), ("Where is Arden?", "down")]
OTHERS = [("Who sings?", "Bob"), ("What flies?", "a bee")]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("base")
    return init_bundle(save_base(home / "llama"), home / "bundle", InitConfig(dtype="fp32"))


@pytest.fixture
def adapted(bundle: Path) -> Adapted:
    return Adapted(bundle, LoraConfig(rank=4))


def taught(adapted: Adapted, rows: list[tuple[str, str]], steps: int = 40, **data: float) -> ContinualObjective:
    objective = ContinualObjective(adapted, rows, data=ContinualData(**data))  # type: ignore[arg-type]
    learn(adapted, objective, steps)
    return objective


def learn(adapted: Adapted, objective: ContinualObjective, steps: int) -> None:
    optimizer = torch.optim.AdamW(adapted.module.parameters(), lr=1e-2, weight_decay=0.0)
    for step in range(steps):
        objective.compute_loss(objective.batch(step))["loss"].backward()
        torch.nn.utils.clip_grad_norm_(adapted.module.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()


def loss(adapted: Adapted, rows: list[tuple[str, str]]) -> float:
    return adapted.figures(documents_of(adapted.prompter, rows))["loss"]


def test_the_objective_keeps_the_contract(adapted: Adapted) -> None:
    old = [Replayed(*row, surprise=1.0) for row in OTHERS]
    fisher = fisher_of(adapted, documents_of(adapted.prompter, OTHERS))
    check_objective(ContinualObjective(adapted, ROWS, old, fisher, ContinualData(fisher_rows=1)))
    with pytest.raises(DataError, match="no new lesson"):
        ContinualObjective(adapted, [])
    with pytest.raises(ConfigError, match="replay_share"):
        ContinualData(replay_share=1.0)


def test_new_lessons_come_equally_often_and_old_ones_by_their_surprise(adapted: Adapted) -> None:
    data = ContinualData(batch_size=6, replay_share=0.5, priority=1.0)
    objective = ContinualObjective(adapted, ROWS, [Replayed(*OTHERS[0], 9.0), Replayed(*OTHERS[1], 0.5)], None, data)
    drawn = [tuple(ids) for step in range(40) for ids, _ in objective._drawn(step)]
    counts = {place: drawn.count(tuple(one[0])) for place, one in enumerate([*objective.new, *objective.old])}
    assert [counts[place] for place in range(3)] == [40, 40, 40]
    assert counts[3] > 5 * counts[4] > 0


def test_what_mattered_is_held_where_it_was(adapted: Adapted) -> None:
    first = taught(adapted, ROWS)
    known, start = loss(adapted, ROWS), adapted.adapter()
    fisher = first.importances()
    assert all((one >= 0).all() for one in fisher.values())
    lost = {}
    for weight in (0.0, 3.0):
        adapted.put(start)
        data = ContinualData(consolidation=weight, replay_share=0.0)
        learn(adapted, ContinualObjective(adapted, OTHERS, (), fisher, data), 30)
        lost[weight] = loss(adapted, ROWS) - known
    assert lost[3.0] < 0.7 * lost[0.0]


def test_the_penalty_is_nothing_at_the_anchor_and_grows_with_importance(adapted: Adapted) -> None:
    fisher = {name: torch.ones_like(one) for name, one in adapted.module.named_parameters()}
    held = Consolidation.of(adapted.module, fisher)
    assert held.penalty(adapted.module).item() == 0.0
    with torch.no_grad():
        next(adapted.module.parameters()).add_(0.5)
    count = next(adapted.module.parameters()).numel()
    assert held.penalty(adapted.module).item() == pytest.approx(0.125 * count)
    with pytest.raises(ExpertError, match="do not fit"):
        Consolidation.of(adapted.module, {"nobody": torch.ones(1)})


def test_importances_are_kept_in_a_file(adapted: Adapted, tmp_path: Path) -> None:
    fisher = fisher_of(adapted, documents_of(adapted.prompter, ROWS[:1]))
    save_fisher(fisher, tmp_path / "fisher.safetensors")
    kept = load_fisher(tmp_path / "fisher.safetensors")
    assert kept is not None
    assert all(torch.equal(fisher[name], kept[name]) for name in fisher)
    assert load_fisher(tmp_path / "none.safetensors") is None
    (tmp_path / "bad.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ExpertError, match="are damaged"):
        load_fisher(tmp_path / "bad.safetensors")
    save_fisher({"a": torch.tensor([float("nan")])}, tmp_path / "nan.safetensors")
    with pytest.raises(ExpertError, match="cannot have"):
        load_fisher(tmp_path / "nan.safetensors")


def product(adapter: Adapter, linear: str) -> torch.Tensor:
    return adapter.factors[linear].up @ adapter.factors[linear].down


def test_a_mixture_is_the_weighted_sum_and_at_a_lower_rank_the_nearest_to_it(tmp_path: Path) -> None:
    one, other = toy_adapter(1, rank=2), toy_adapter(2, rank=3)
    linear = next(iter(one.factors))
    exact = 0.7 * product(one, linear) - 0.4 * product(other, linear)
    whole = mixed([(one, 0.7), (other, -0.4)], 5)
    assert torch.allclose(product(whole, linear), exact, atol=1e-5)
    cut = mixed([(one, 0.7), (other, -0.4)], 2)
    assert cut.rank == 2
    u, lengths, v = torch.linalg.svd(exact)
    best = u[:, :2] @ torch.diag(lengths[:2]) @ v[:2]
    assert torch.allclose(product(cut, linear), best, atol=1e-4)
    save_adapter(one, tmp_path / "one")
    assert torch.allclose(product(read_mixed([f"{tmp_path / 'one'}=0.5"], 4), linear), 0.5 * product(one, linear))
    with pytest.raises(ConfigError, match="DIR=WEIGHT"):
        read_mixed([f"{tmp_path / 'one'}=much"], 4)


def test_an_expert_is_put_in_place_and_taken_away(adapted: Adapted) -> None:
    bare = loss(adapted, ROWS)
    taught(adapted, ROWS)
    learned, expert = loss(adapted, ROWS), adapted.adapter()
    adapted.put(None)
    assert loss(adapted, ROWS) == bare > learned
    adapted.put(expert)
    assert loss(adapted, ROWS) == pytest.approx(learned, abs=1e-5)
    with pytest.raises(ExpertError, match=r"same data\.lora"):
        adapted.put(mixed([(expert, 1.0), (expert, 1.0)], 8))


def test_a_warm_start_finds_who_helps_and_nobody_where_none_does(adapted: Adapted) -> None:
    experts = {}
    for name, rows in (("ours", ROWS), ("others", OTHERS)):
        adapted.put(None)
        taught(adapted, rows)
        experts[name] = adapted.adapter()
    found = warm_start(adapted, experts, ROWS)
    assert found is not None
    assert found.weights["ours"] > 0.6 > abs(found.weights.get("others", 0.0))
    assert found.loss < found.bare
    adapted.put(found.adapter)
    assert loss(adapted, ROWS) == pytest.approx(found.loss, abs=1e-4)
    assert warm_start(adapted, experts, ROWS, WarmConfig(helps=99.0)) is None
    assert warm_start(adapted, {}, ROWS) is None
