from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from reverie.errors import ConfigError, UsageError
from reverie.model.graph_attention import Encoded, GraphAttention, GraphAttentionConfig, GraphBatch
from reverie.model.path_policy import PathPolicy, PathPolicyConfig

EDGES = [(0, 1), (0, 2), (1, 3), (2, 3), (3, 4), (0, 1), (4, 4)]  # one edge given twice, one that leads nowhere


def encoded(edges: list[tuple[int, int]] = EDGES, num_nodes: int = 6) -> Encoded:
    generator = torch.Generator().manual_seed(0)
    config = GraphAttentionConfig(num_relations=2, node_size=3, question_size=4, hidden_size=8, num_layers=2)
    batch = GraphBatch(
        nodes=torch.randn(num_nodes, 3, generator=generator),
        start_nodes=torch.zeros(num_nodes),
        depths=torch.zeros(num_nodes, dtype=torch.int64),
        graph=torch.zeros(num_nodes, dtype=torch.int64),
        edges=torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T,
        relations=torch.arange(len(edges)) % 2,
        edge_features=torch.zeros(len(edges), 0),
        num_graphs=1,
    )
    with torch.no_grad():
        made: Encoded = GraphAttention(config, generator)(batch, torch.randn(1, 4, generator=generator))
    return made


def policy(max_steps: int = 3) -> PathPolicy:
    return PathPolicy(PathPolicyConfig(8, hidden_size=8, max_steps=max_steps), torch.Generator().manual_seed(1))


def simple_paths(start: int, max_steps: int) -> list[tuple[int, ...]]:
    """Every simple path by its edges, found without the policy."""
    found: list[tuple[int, ...]] = []
    frontier: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((), (start,))]
    while frontier:
        edges, nodes = frontier.pop()
        found.append(edges)
        if len(edges) == max_steps:
            continue
        for number, (a, b) in enumerate(EDGES):
            for u, v in ((a, b), (b, a)):
                if u == nodes[-1] and v not in nodes:
                    frontier.append(((*edges, number), (*nodes, v)))
    return found


def padded(paths: list[tuple[int, ...]], length: int) -> Tensor:
    return torch.tensor([[*path, *(-1,) * (length - len(path))] for path in paths])


@pytest.mark.parametrize("start", [0, 3, 5])
def test_the_probabilities_of_all_simple_paths_sum_to_one(start: int) -> None:
    net, graph = policy(), encoded()
    paths = simple_paths(start, 3)
    log_probs = net.log_probs(graph, torch.full((len(paths),), start), padded(paths, 3))
    torch.testing.assert_close(log_probs.exp().sum(), torch.tensor(1.0))


def test_a_wide_beam_finds_all_paths_in_order() -> None:
    net, graph = policy(), encoded()
    found = net.beam(graph, torch.tensor([0, 5, 3]), 100)
    for row, start in enumerate((0, 5, 3)):
        own = found.starts == row
        paths = [tuple(edge for edge in edges if edge >= 0) for edges in found.edges[own].tolist()]
        assert sorted(paths) == sorted(simple_paths(start, 3))
        totals = found.log_probs[own]
        assert (totals.diff() <= 1e-6).all()
        given = net.log_probs(graph, torch.full((len(paths),), start), padded(paths, 3))
        torch.testing.assert_close(totals, given.detach())
    assert (net.beam(graph, torch.tensor([0, 3]), 1).starts == torch.tensor([0, 1])).all()


def test_samples_follow_the_probabilities_and_repeat_with_the_seed() -> None:
    net, graph = policy(2), encoded()
    starts = torch.zeros(4000, dtype=torch.int64)
    drawn = net.sample(graph, starts, torch.Generator().manual_seed(0))
    again = net.sample(graph, starts, torch.Generator().manual_seed(0))
    assert torch.equal(drawn.edges, again.edges)
    torch.testing.assert_close(drawn.log_probs, net.log_probs(graph, starts, drawn.edges[:, :2]))
    counts: dict[tuple[int, ...], int] = {}
    for row in drawn.edges.tolist():
        path = tuple(edge for edge in row if edge >= 0)
        counts[path] = counts.get(path, 0) + 1
    paths = simple_paths(0, 2)
    assert set(counts) <= set(paths)
    shares = torch.tensor([counts.get(path, 0) / 4000 for path in paths])
    wanted = net.log_probs(graph, starts[: len(paths)], padded(paths, 2)).exp()
    assert (shares - wanted).abs().max() < 0.04


def test_reinforce_raises_the_reward() -> None:
    net, graph = policy(), encoded()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
    generator = torch.Generator().manual_seed(0)
    starts = torch.zeros(48, dtype=torch.int64)
    for _ in range(45):
        paths = net.sample(graph, starts, generator)
        reward = (paths.nodes[:, -1] == 4).float()
        loss = -((reward - reward.mean()) * paths.log_probs).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    last = net.sample(graph, starts, generator).nodes[:, -1]
    assert (last == 4).float().mean() > 0.9


def test_imitation_learns_a_path_and_when_to_stop() -> None:
    net, graph = policy(), encoded()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
    starts, paths = torch.tensor([0, 4]), torch.tensor([[1, 3, -1], [4, -1, -1]])
    for _ in range(50):
        loss = -net.log_probs(graph, starts, paths).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    best = net.beam(graph, starts, 1)
    assert torch.equal(best.edges[:, :3], paths)
    assert best.nodes[:, -1].tolist() == [3, 3]
    assert all(p.grad is not None for p in net.parameters())


def test_without_edges_there_is_only_stopping() -> None:
    found = policy().beam(encoded([], 1), torch.tensor([0]), 4)
    assert found.edges.tolist() == [[-1]]
    assert found.log_probs.tolist() == [0.0]
    assert len(policy().sample(encoded(), torch.zeros(0, dtype=torch.int64), torch.Generator()).log_probs) == 0


def test_paths_that_cannot_be_walked_are_refused() -> None:
    net, graph = policy(), encoded()
    for edges in ([2, -1, -1], [0, 5, -1], [6, -1, -1], [0, 2, 4, 6]):  # elsewhere, back, in place, too long
        with pytest.raises(UsageError, match="cannot be walked"):
            net.log_probs(graph, torch.tensor([0]), torch.tensor([edges]))
    with pytest.raises(UsageError, match="must start at a node"):
        net.beam(graph, torch.tensor([6]), 2)
    with pytest.raises(UsageError, match="at least 1 wide"):
        net.beam(graph, torch.tensor([0]), 0)
    with pytest.raises(ConfigError):
        PathPolicyConfig(max_steps=0)


def test_save_and_load_give_the_same_policy(tmp_path: Path) -> None:
    net = policy()
    net.save(tmp_path)
    again = PathPolicy.load(tmp_path)
    assert again.config == net.config
    for a, b in itertools.zip_longest(net.parameters(), again.parameters()):
        assert torch.equal(a, b)
