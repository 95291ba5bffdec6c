from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reverie.errors import BundleError, ConfigError, UsageError
from reverie.model.graph_attention import Encoded, GraphAttention, GraphAttentionConfig, GraphBatch

CONFIG = GraphAttentionConfig(
    num_relations=3, node_size=4, edge_size=2, question_size=5, hidden_size=8, num_layers=2, num_heads=2,
    num_prefix=3, prefix_size=6,
)  # fmt: skip


def network(config: GraphAttentionConfig = CONFIG) -> GraphAttention:
    made = GraphAttention(config, torch.Generator().manual_seed(1)).double()
    with torch.no_grad():  # biases start at 0, which would hide mistakes
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
    return made


def random_graph(num_nodes: int, num_edges: int, seed: int = 0, config: GraphAttentionConfig = CONFIG) -> GraphBatch:
    generator = torch.Generator().manual_seed(seed)
    depths = torch.arange(num_nodes) // 2
    return GraphBatch(
        nodes=torch.randn(num_nodes, config.node_size, generator=generator).double(),
        start_nodes=(depths == 0).double(),
        depths=depths,
        graph=torch.zeros(num_nodes, dtype=torch.int64),
        edges=torch.randint(max(num_nodes, 1), (2, num_edges), generator=generator),
        relations=torch.randint(config.num_relations, (num_edges,), generator=generator),
        edge_features=torch.rand(num_edges, config.edge_size, generator=generator).double(),
        num_graphs=1,
    )


def questions(count: int) -> Tensor:
    return torch.randn(count, CONFIG.question_size, generator=torch.Generator().manual_seed(3)).double()


def heads(model: GraphAttention, encoded: Encoded) -> tuple[Tensor, Tensor, Tensor]:
    return model.score_links(encoded), model.score_edges(encoded), model.soft_prefix(encoded)


def by_the_book(model: GraphAttention, batch: GraphBatch, question: Tensor) -> tuple[Tensor, Tensor]:
    """One node after another, one message after another, with an ordinary softmax."""
    config = model.config
    size, inner = config.hidden_size, config.attention_size
    asked = model.question(question)
    assert model.node is not None
    h = [
        batch.start_nodes[v] * model.seed(asked[batch.graph[v]]) + model.node(batch.nodes[v])
        for v in range(batch.num_nodes)
    ]
    attention = torch.zeros(config.num_layers, 2, batch.num_edges, config.num_heads, dtype=torch.float64)
    layers: Any = model.layers
    for number, layer in enumerate(layers):
        x = [layer.norm(state) for state in h]
        after = []
        for v in range(batch.num_nodes):
            messages, logits, sent = [], [], []
            for way in (0, 1):
                for e in range(batch.num_edges):
                    u, target = batch.edges[:, e].tolist() if way == 0 else batch.edges[:, e].flip(0).tolist()
                    if target != v or (config.spread and batch.depths[u] > number):
                        continue
                    kind = int(batch.relations[e]) + way * config.num_relations
                    both = torch.relu(layer.relation_embed.weight[kind] + layer.asked(asked[batch.graph[v]]))
                    scale, shift, key = layer.relation(both).split((size, size, config.num_heads * inner))
                    value, sender = layer.sent(x[u]).split((size, config.num_heads * inner))
                    more, more_key = layer.edge(batch.edge_features[e]).split((size, config.num_heads * inner))
                    key = key + sender + layer.heard(x[v]) + more_key
                    compared = torch.nn.functional.leaky_relu(key, 0.2).view(config.num_heads, inner) * layer.compare
                    logits.append(10 * torch.tanh(compared.sum(1) / 10))
                    messages.append((value * (1 + scale) + shift + more).view(config.num_heads, -1))
                    sent.append((way, e))
            heard = torch.zeros(size, dtype=torch.float64)
            if messages:
                shares = torch.stack(logits).softmax(0)  # (messages, heads)
                for (way, e), share in zip(sent, shares, strict=True):
                    attention[number, way, e] = share
                mass = torch.stack(logits).exp().sum(0)
                heard = (
                    (shares.unsqueeze(2) * torch.stack(messages)).sum(0) * torch.log1p(mass).unsqueeze(1)
                ).flatten()
            mixed = torch.nn.functional.gelu(layer.mix(torch.cat((x[v], heard))))
            after.append(h[v] + layer.out(mixed))
        h = after
    return model.norm(torch.stack(h)), attention


@pytest.mark.parametrize("spread", [False, True])
def test_message_passing_equals_plain_loops(spread: bool) -> None:
    model, batch, asked = network(replace(CONFIG, spread=spread)), random_graph(7, 15), questions(1)
    encoded = model(batch, asked, attention=True)
    states, attention = by_the_book(model, batch, asked)
    torch.testing.assert_close(encoded.nodes, states)
    torch.testing.assert_close(encoded.attention, attention)


def test_attention_shares_sum_to_one_at_every_node_that_hears_something() -> None:
    batch = random_graph(9, 20)
    attention = network()(batch, questions(1), attention=True).attention
    sums = torch.zeros(CONFIG.num_layers, 9, CONFIG.num_heads, dtype=torch.float64)
    sums.index_add_(1, batch.edges[1], attention[:, 0]).index_add_(1, batch.edges[0], attention[:, 1])
    hears = torch.bincount(batch.edges.flatten(), minlength=9) > 0
    torch.testing.assert_close(sums[:, hears], torch.ones_like(sums[:, hears]))
    assert network()(batch, questions(1)).attention is None


def test_the_order_of_nodes_and_edges_does_not_matter() -> None:
    model, batch, asked = network(replace(CONFIG, spread=True)), random_graph(8, 18), questions(1)
    rng = np.random.default_rng(0)
    nodes, edges = torch.from_numpy(rng.permutation(8)), torch.from_numpy(rng.permutation(18))
    place = torch.argsort(nodes)  # where each old node went
    moved = replace(
        batch, nodes=batch.nodes[nodes], start_nodes=batch.start_nodes[nodes], depths=batch.depths[nodes],
        edges=place[batch.edges[:, edges]], relations=batch.relations[edges], edge_features=batch.edge_features[edges],
    )  # fmt: skip
    links, scores, prefix = heads(model, model(batch, asked))
    links_moved, scores_moved, prefix_moved = heads(model, model(moved, asked))
    torch.testing.assert_close(links_moved, links[nodes])
    torch.testing.assert_close(scores_moved, scores[edges])
    torch.testing.assert_close(prefix_moved, prefix)


def test_a_batch_equals_one_by_one_even_with_empty_and_single_node_subgraphs() -> None:
    model = network()
    graphs = [random_graph(6, 11, 1), random_graph(0, 0), random_graph(1, 0), random_graph(5, 9, 2)]
    asked = questions(4)
    joined = model(GraphBatch.join(graphs), asked)
    alone = [model(graph, asked[number : number + 1]) for number, graph in enumerate(graphs)]
    for together, parts in zip(
        heads(model, joined), zip(*(heads(model, one) for one in alone), strict=True), strict=True
    ):
        torch.testing.assert_close(together, torch.cat(parts))
    assert joined.nodes.isfinite().all()
    assert model.soft_prefix(joined).shape == (4, 3, 6)


def test_edges_given_twice_are_heard_as_more_evidence() -> None:
    model, batch, asked = network(), random_graph(4, 3, 5), questions(1)
    twice = replace(
        batch, edges=batch.edges.repeat(1, 2), relations=batch.relations.repeat(2),
        edge_features=batch.edge_features.repeat(2, 1),
    )  # fmt: skip
    once, doubled = model(batch, asked), model(twice, asked)
    scores = model.score_edges(doubled)
    torch.testing.assert_close(scores[:3], scores[3:])
    torch.testing.assert_close(doubled.nodes, by_the_book(model, twice, asked)[0])
    assert not torch.allclose(once.nodes, doubled.nodes)


def test_gradients_are_those_of_finite_differences() -> None:
    config = replace(CONFIG, hidden_size=4, num_layers=2, spread=True)
    model, batch, asked = network(config), random_graph(5, 8, 4, config), questions(1)

    def outcome(nodes: Tensor, features: Tensor, question: Tensor) -> Tensor:
        given = replace(batch, nodes=nodes, edge_features=features)
        return torch.cat([part.flatten() for part in heads(model, model(given, question))])

    inputs = [tensor.clone().requires_grad_() for tensor in (batch.nodes, batch.edge_features, asked)]
    assert torch.autograd.gradcheck(outcome, inputs)
    outcome(batch.nodes, batch.edge_features, asked).sum().backward()
    unused = {"relation_questions.weight"}
    assert {name for name, p in model.named_parameters() if p.grad is None} == unused


def test_save_and_load_give_the_same_network(tmp_path: Path) -> None:
    model = GraphAttention(CONFIG, torch.Generator().manual_seed(0))
    model.save(tmp_path)
    again = GraphAttention.load(tmp_path)
    assert again.config == CONFIG
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))


def test_damaged_folders_are_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="missing"):
        GraphAttention.load(tmp_path)
    GraphAttention(CONFIG, torch.Generator().manual_seed(0)).save(tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BundleError, match="damaged"):
        GraphAttention.load(tmp_path)
    weights.write_bytes(whole)
    (tmp_path / "config.json").write_text('{"num_relations": 3, "colour": 1}')
    with pytest.raises(BundleError, match="another network"):
        GraphAttention.load(tmp_path)


def test_what_does_not_fit_is_refused() -> None:
    model, batch = network(), random_graph(4, 5)
    with pytest.raises(UsageError, match=r"relations must lie in \[0, 3\)"):
        model(replace(batch, relations=batch.relations + 3), questions(1))
    with pytest.raises(UsageError, match="question must have shape"):
        model(batch, questions(2))
    with pytest.raises(UsageError, match=r"edges must lie in \[0, 4\)"):
        model(replace(batch, edges=batch.edges - 9), questions(1))
    plain = network(replace(CONFIG, num_prefix=0, prefix_size=0))
    encoded = plain(batch, questions(1))
    with pytest.raises(UsageError, match="soft tokens"):
        plain.soft_prefix(encoded)
    with pytest.raises(UsageError, match="at least one"):
        GraphBatch.join([])
    wrong: Any
    for wrong in ({"num_heads": 3}, {"num_layers": 0}, {"num_prefix": 0}, {"hidden_size": 1.5}):
        with pytest.raises(ConfigError):
            replace(CONFIG, **wrong)
    with pytest.raises(ConfigError, match="at least 1 relation"):
        GraphAttention(replace(CONFIG, num_relations=0))
