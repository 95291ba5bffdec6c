"""Gates choose experts row by row, and what is not chosen is neither computed nor felt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reverie.errors import BundleError, ConfigError, ContractError, UnknownNameError, UsageError
from reverie.model.encoders import (
    SenseSizes,
    Words,
    check_graph_encoder,
    check_text_encoder,
    graph_encoders,
    text_encoders,
)
from reverie.model.graph_attention import GraphBatch
from reverie.model.mixture import EncoderMixture, EncoderMixtureConfig, Gates, balance_loss, pick_rows
from reverie.model.orchestrator import Orchestrator, OrchestratorConfig, Sensed
from reverie.model.vision import VisionConfig

SIZES = SenseSizes(size=16, node_size=6, asked_size=5, num_relations=2, word_size=12, num_tokens=3)


class Counting(nn.Module):
    """Twice what it is given, and how many rows it was given."""

    size = 4

    def __init__(self) -> None:
        super().__init__()
        self.rows = 0

    def forward(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        return 2 * x


def mixture(
    gates: list[list[float]], config: EncoderMixtureConfig | None = None
) -> tuple[EncoderMixture, list[Counting], Tensor]:
    """A mixture whose gates for features ``one_hot(row)`` are those given."""
    wanted = torch.tensor(gates)
    experts = [Counting() for _ in gates[0]]
    made = EncoderMixture(experts, len(gates), 8, config or EncoderMixtureConfig(bias=False)).eval()
    with torch.no_grad():
        made.gates.query.weight.zero_()
        made.gates.query.weight[: len(gates)] = torch.eye(len(gates)) * 32**0.5
        made.gates.keys.zero_()
        made.gates.keys[:, : len(gates)] = torch.logit(wanted).T
    return made, experts, torch.eye(len(gates))


def test_each_row_has_its_experts_and_may_have_none() -> None:
    made, experts, features = mixture([[0.9, 0.1], [0.2, 0.1], [0.5, 0.6]])
    x = torch.randn(3, 2, 4)
    mixed = made([x, x], features)
    torch.testing.assert_close(mixed.gates, torch.tensor([[0.9, 0.1], [0.2, 0.1], [0.5, 0.6]]))
    assert mixed.chosen.tolist() == [[True, False], [False, False], [True, True]]
    assert [one.rows for one in experts] == [2, 1]
    torch.testing.assert_close(mixed.weights, torch.tensor([[0.9] * 2 + [0] * 2, [0] * 4, [0.5] * 2 + [0.6] * 2]))
    assert mixed.expert.tolist() == [0, 0, 1, 1]
    alone = made([x[2:], x[2:]], features[2:])
    torch.testing.assert_close(alone.states[0], mixed.states[2])


def test_an_expert_nobody_wants_is_not_computed() -> None:
    made, experts, features = mixture([[0.9, 0.1], [0.8, 0.2]])
    mixed = made([torch.randn(2, 3, 4)] * 2, features)
    assert [one.rows for one in experts] == [2, 0]
    assert mixed.states.shape == (2, 3, 8)
    made, experts, features = mixture([[0.1]])
    mixed = made([torch.randn(1, 3, 4)], features)
    assert mixed.states.shape == (1, 0, 8)
    assert not mixed.chosen.any()


def test_no_more_than_max_experts_look() -> None:
    made, _, features = mixture([[0.9, 0.4, 0.7]], EncoderMixtureConfig(bias=False, max_experts=2))
    assert made([torch.randn(1, 1, 4)] * 3, features).chosen.tolist() == [[True, False, True]]


def test_in_training_a_shut_gate_can_open() -> None:
    made, experts, features = mixture([[0.9, 0.1]], EncoderMixtureConfig(bias=False, dropout=0.0))
    made.train()
    mixed = made([torch.randn(1, 1, 4)] * 2, features)
    mixed.weights.sum().backward()
    assert [one.rows for one in experts] == [1, 1]
    assert made.gates.keys.grad is not None
    assert made.gates.keys.grad[1].abs().sum() > 0


def test_dropout_leaves_experts_out_but_never_the_only_one() -> None:
    gates = torch.ones(200, 2)
    several = Gates(3, 2, EncoderMixtureConfig(dropout=0.5)).train()
    torch.manual_seed(0)
    assert 0.3 < (several.weights(gates) == 0).float().mean() < 0.7
    single = Gates(3, 1, EncoderMixtureConfig(dropout=0.5)).train()
    assert (single.weights(gates[:, :1]) == 1).all()


def test_without_gates_every_expert_counts_in_full() -> None:
    gates = Gates(3, 2, EncoderMixtureConfig(gated=False)).eval()
    assert (gates.weights(gates(torch.randn(4, 3))) == 1).all()


def test_balance_is_none_where_all_are_used_alike() -> None:
    assert balance_loss(torch.full((5, 3), 0.4)).item() == pytest.approx(0)
    assert balance_loss(torch.tensor([[1.0, 0.0]])).item() == pytest.approx(1)
    assert balance_loss(torch.rand(5, 1)).item() == 0


def facts(count: int, seed: int = 0) -> GraphBatch:
    generator = torch.Generator().manual_seed(seed + count)
    nodes = count + 1 if count else 0
    return GraphBatch(
        nodes=torch.randn(nodes, 6, generator=generator),
        start_nodes=torch.zeros(nodes),
        depths=torch.zeros(nodes, dtype=torch.int64),
        graph=torch.zeros(nodes, dtype=torch.int64),
        edges=torch.stack((torch.arange(count), torch.arange(1, count + 1))),
        relations=torch.zeros(count, dtype=torch.int64),
        edge_features=torch.rand(count, 1, generator=generator),
        num_graphs=1,
    )


def test_rows_of_graphs_are_picked_whole() -> None:
    parts = [facts(2), facts(0), facts(3), facts(1)]
    picked = pick_rows((GraphBatch.join(parts), None), torch.tensor([1, 3]))
    wanted = GraphBatch.join([parts[1], parts[3]])
    for name, value in wanted.tensors().items():
        assert torch.equal(torch.as_tensor(getattr(picked[0], name)), torch.as_tensor(value)), name
    assert picked[1] is None


@pytest.mark.parametrize("name", graph_encoders.names())
def test_graph_encoders_keep_the_contract(name: str) -> None:
    torch.manual_seed(0)
    assert len(check_graph_encoder(graph_encoders.get(name)(SIZES), SIZES)) == 5


@pytest.mark.parametrize("name", text_encoders.names())
def test_text_encoders_keep_the_contract(name: str) -> None:
    torch.manual_seed(0)
    assert len(check_text_encoder(text_encoders.get(name)(SIZES), SIZES)) == 4


def test_an_encoder_that_peeks_at_other_rows_is_caught() -> None:
    class Peeking(nn.Module):
        size = 12

        def forward(self, words: Tensor, states: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
            return states - states.mean(), there

    with pytest.raises(ContractError, match="rows beside it"):
        check_text_encoder(Peeking(), SIZES)


CONFIG = OrchestratorConfig(
    vision=(VisionConfig("lite", side=32, size=16), VisionConfig("lite", side=32, size=8)),
    senses=replace(SIZES, asked_size=0),
    size=16,
    num_heads=2,
    num_states=2,
    num_layers=2,
    answer_size=7,
    prefix_size=12,
)


@pytest.fixture
def network() -> Orchestrator:
    return Orchestrator(CONFIG, 5, generator=torch.Generator().manual_seed(0)).eval()


def sensed(network: Orchestrator, rows: int = 3) -> Sensed:
    rng = np.random.default_rng(0)
    generator = torch.Generator().manual_seed(0)
    there = torch.arange(4) < torch.arange(1, rows + 1)[:, None]
    words = [torch.randn(rows, 4, 12, generator=generator) for _ in range(2)]
    return Sensed(
        torch.randn(rows, 5, generator=generator),
        network.prepare(list(rng.integers(256, size=(rows, 32, 32, 3), dtype=np.uint8))),
        GraphBatch.join([facts(2), facts(0), facts(3)][:rows]),
        Words(words[0], words[1], there),
    )


def test_three_modalities_become_one_state(network: Orchestrator) -> None:
    joined = network(sensed(network))
    assert joined.states.shape == (3, 2, 16)
    assert set(joined.mixed) == {"vision", "graph", "text"}
    assert network.choose(joined, torch.randn(9, 7)).shape == (3, 9)
    assert network.soft_prefix(joined).shape == (3, 2, 12)
    assert joined.shown is not None
    masses = [joined.shown[:3].exp().sum(), joined.shown[3:].exp().sum()]
    torch.testing.assert_close(torch.stack(masses), torch.ones(2))


def test_a_row_depends_on_no_other(network: Orchestrator) -> None:
    whole = sensed(network)
    rows = torch.tensor([2])
    one = Sensed(
        whole.asked[rows], pick_rows(whole.pictures, rows), facts(3),
        Words(whole.words.embedded[rows], whole.words.states[rows], whole.words.there[rows]),  # type: ignore[union-attr]
    )  # fmt: skip
    torch.testing.assert_close(network(one).states[0], network(whole).states[2], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("modality", ["vision", "graph", "text"])
def test_a_shut_modality_leaves_no_trace(network: Orchestrator, modality: str) -> None:
    with torch.no_grad():
        network.mixtures[modality].gates.bias.fill_(-50)  # type: ignore[union-attr, operator]
    given = sensed(network)
    other = Sensed(
        given.asked,
        network.prepare([np.zeros((32, 32, 3), np.uint8)] * 3) if modality == "vision" else given.pictures,
        GraphBatch.join([facts(2, 9), facts(0), facts(3, 9)]) if modality == "graph" else given.facts,
        Words(*(2 * x for x in (given.words.embedded, given.words.states)), given.words.there)  # type: ignore[union-attr]
        if modality == "text"
        else given.words,
    )
    mixed = network(given)
    assert not mixed.mixed[modality].chosen.any()
    torch.testing.assert_close(mixed.states, network(other).states)


def test_with_everybody_shut_there_is_still_a_state(network: Orchestrator) -> None:
    with torch.no_grad():
        for one in network.mixtures.values():
            one.gates.bias.fill_(-50)  # type: ignore[union-attr, operator]
    assert network(sensed(network)).states.isfinite().all()


def test_everything_learns(network: Orchestrator) -> None:
    network.train()
    joined = network(sensed(network))
    loss = network.choose(joined, torch.randn(9, 7)).square().sum() + network.soft_prefix(joined).square().sum()
    (loss + joined.balance() + joined.open()).backward()
    unused = ("relation", "link_head", "edge_head", "bias")  # of messages that no fact here sends, and of other uses
    idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not [name for name in idle if not any(part in name for part in unused)]


def test_it_saves_and_loads_the_same(network: Orchestrator, tmp_path: Path) -> None:
    network.fit_features(torch.randn(9, 5), torch.randn(9, 6), torch.randn(9, 7))
    network.save(tmp_path)
    again = Orchestrator.load(tmp_path)
    torch.testing.assert_close(again(sensed(again)).states, network(sensed(network)).states)
    (tmp_path / "model.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes()[:-9])
    with pytest.raises(BundleError, match="no perception network"):
        Orchestrator.load(tmp_path)
    Orchestrator(replace(CONFIG, num_states=3), 5).save(tmp_path / "other")
    (tmp_path / "model.safetensors").write_bytes((tmp_path / "other" / "model.safetensors").read_bytes())
    with pytest.raises(BundleError, match="another perception network"):
        Orchestrator.load(tmp_path)
    with pytest.raises(BundleError, match="no perception network"):
        Orchestrator.load(tmp_path / "absent")


def test_frozen_encoders_are_not_saved(tmp_path: Path) -> None:
    from safetensors.torch import load_file
    from transformers import ResNetConfig, ResNetModel

    from reverie.logs import quiet_transformers

    with quiet_transformers():
        config = ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic")
        ResNetModel(config).save_pretrained(tmp_path / "resnet")
    given = replace(CONFIG, vision=(VisionConfig("resnet", source=str(tmp_path / "resnet")),), graph=(), text=())
    network = Orchestrator(given, 5, generator=torch.Generator().manual_seed(0)).eval()
    network.save(tmp_path / "perception")
    assert not [name for name in load_file(tmp_path / "perception" / "model.safetensors") if ".net." in name]
    again = Orchestrator.load(tmp_path / "perception")
    seen = Sensed(torch.ones(1, 5), network.prepare([np.full((32, 32, 3), 9, np.uint8)]))
    torch.testing.assert_close(again(seen).states, network(seen).states)


def test_what_cannot_be_is_refused_in_one_line(network: Orchestrator) -> None:
    with pytest.raises(ConfigError, match="at least one expert"):
        OrchestratorConfig(vision=(), graph=(), text=())
    with pytest.raises(ConfigError, match="num_heads divides size"):
        OrchestratorConfig(size=30)
    with pytest.raises(ConfigError, match=r"threshold lies in \[0, 1\]"):
        EncoderMixtureConfig(threshold=2)
    with pytest.raises(ConfigError, match="at least one expert"):
        EncoderMixture([], 3, 8, EncoderMixtureConfig())
    with pytest.raises(UnknownNameError, match="graph encoder"):
        graph_encoders.get("attentive")
    with pytest.raises(UnknownNameError, match="text encoder"):
        text_encoders.get("letters")
    given = sensed(network)
    for lacking, said in (({"pictures": ()}, "2 vision"), ({"facts": None}, "no facts"), ({"words": None}, "no words")):
        with pytest.raises(UsageError, match=said):
            network(replace(given, **lacking))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="takes as many inputs"):
        network.mixtures["text"]([], given.asked)
    bare = Orchestrator(replace(CONFIG, answer_size=0, prefix_size=0, vision=()), 5).eval()
    joined = bare(replace(given, pictures=()))
    assert joined.shown is None
    for use in (lambda: bare.choose(joined, torch.ones(1, 7)), lambda: bare.soft_prefix(joined),
                lambda: bare.ground(torch.zeros(1, 16), facts(1))):  # fmt: skip
        with pytest.raises(UsageError, match="this network"):
            use()
