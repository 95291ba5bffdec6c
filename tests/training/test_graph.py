from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from reverie.cli.train import app
from reverie.errors import ConfigError, DataError
from reverie.model.graph_attention import GraphAttention, GraphAttentionConfig
from reverie.training import LoopConfig, check_objective, train
from reverie.training.graph import (
    Answers,
    GraphData,
    LinkObjective,
    both_ways,
    filtered_rank,
    link_ranks,
    rank_figures,
)
from reverie.training.recipes import GraphRecipe
from reverie.training.triples import TripleGraph, Triples, read_triples

SMALL = GraphAttentionConfig(num_relations=0, hidden_size=16, num_layers=3, num_heads=2, question_size=8, spread=True)
LOOP = LoopConfig(
    steps=100, lr=1e-2, weight_decay=0.0, warmup_steps=10, precision="fp32", eval_every=0, checkpoint_every=0,
    num_threads=1, tensorboard=False,
)  # fmt: skip


def families(count: int = 60) -> Triples:
    """parent, sibling, and uncle, which is the sibling of a parent: a rule of two steps. Uncles are partly hidden."""
    rows, uncles = [], []
    for family in range(count):
        child, cousin, parent, uncle = (4 * family + place for place in range(4))
        rows += [(child, 0, parent), (cousin, 0, uncle), (parent, 1, uncle)]
        uncles += [(child, 2, uncle), (cousin, 2, parent)]
        rows.append(((4 * family + 7) % (4 * count), 3, child))  # known to somebody elsewhere
    hidden = len(uncles) // 4
    return Triples(
        tuple(map(str, range(4 * count))),
        ("parent", "sibling", "uncle", "knows"),
        np.array(rows + uncles[2 * hidden :]),
        np.array(uncles[:hidden]),
        np.array(uncles[hidden : 2 * hidden]),
    )


def link_data(**changes: object) -> GraphData:
    data = GraphData(batch_size=16, hops=3, nodes=20, eval_nodes=30, eval_questions=0, model=SMALL)
    return replace(data, **changes)  # type: ignore[arg-type]


def test_a_rule_of_two_steps_is_learned_and_holds_for_hidden_triples(tmp_path: Path) -> None:
    objective = LinkObjective(link_data(), families())
    figures = train(objective, LOOP, tmp_path, progress=False).metrics
    assert figures["valid_mrr"] > 0.9
    assert figures["valid_recalled"] == 1.0
    network = GraphAttention.load(tmp_path / "export" / "graph")
    asked = both_ways(objective.triples.test, 4)
    ranks, _ = link_ranks(network.eval(), objective.graph, objective.triples, asked, 3, 30)
    assert rank_figures(ranks)["mrr"] > 0.9


def test_the_edge_that_is_asked_for_is_hidden_with_its_traces() -> None:
    triples = families(6)
    graph = TripleGraph(triples.train, len(triples.nodes), 4)
    rest = np.delete(triples.train, 5, axis=0)
    without = TripleGraph(rest, len(triples.nodes), 4)
    source = triples.train[5, :1]
    hidden, never = graph.around(source, 3, 50, [5]), without.around(source, 3, 50)
    assert hidden.nodes.tolist() == never.nodes.tolist()
    torch.testing.assert_close(hidden.batch.nodes, never.batch.nodes)
    assert hidden.batch.num_edges == never.batch.num_edges
    shown = graph.around(source, 3, 50)
    assert shown.batch.num_edges > hidden.batch.num_edges


def test_a_neighbourhood_is_the_induced_graph_within_the_hops() -> None:
    rng = np.random.default_rng(0)
    rows = np.unique(
        np.stack((rng.integers(40, size=90), rng.integers(3, size=90), rng.integers(40, size=90)), 1), axis=0
    )
    graph = TripleGraph(rows, 40, 3)
    joined = {(int(a), int(b)) for s, _, o in rows for a, b in ((s, o), (o, s))}
    sources = np.array([0, 7, 7, 39])
    near = graph.around(sources, 2, 1000)
    for number, source in enumerate(sources):
        depth = {int(source): 0}
        for hop in (1, 2):
            for a, b in joined:
                if depth.get(a) == hop - 1:
                    depth.setdefault(b, hop)
        own = near.batch.graph.numpy() == number
        assert dict(zip(near.nodes[own].tolist(), near.batch.depths.numpy()[own].tolist(), strict=True)) == depth
        inside = near.batch.graph[near.batch.edges[0]].numpy() == number
        ends = near.nodes[near.batch.edges.numpy()[:, inside]]
        found = sorted(
            zip(ends[0].tolist(), near.batch.relations.numpy()[inside].tolist(), ends[1].tolist(), strict=True)
        )
        assert found == sorted(tuple(row) for row in rows.tolist() if row[0] in depth and row[2] in depth)
    few = graph.around(sources, 2, 5)
    assert np.bincount(few.batch.graph.numpy()).max() <= 5
    assert (few.rows_of(np.arange(4), sources, 40) >= 0).all()
    assert (few.batch.start_nodes[few.rows_of(np.arange(4), sources, 40)] == 1).all()


def test_a_node_without_triples_recalls_itself() -> None:
    graph = TripleGraph(np.array([[0, 0, 1]]), 3, 1)
    near = graph.around(np.array([2, 0]), 3, 10, [-1, 0])
    assert near.nodes.tolist() == [2, 0]
    assert near.batch.num_edges == 0


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_filtered_rank_equals_counting_by_hand(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 9))
    scores = np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)), dtype=float)
    answer = data.draw(st.integers(0, n - 1))
    known = np.array(sorted({answer, *data.draw(st.lists(st.integers(0, n - 1)))}))
    others = [scores[node] for node in range(n) if node == answer or node not in known]
    better = sum(score > scores[answer] for score in others)
    equal = sum(score == scores[answer] for score in others)
    places = range(better + 1, better + equal + 1)
    assert filtered_rank(scores, answer, known) == np.mean(places)


def test_scores_that_are_no_numbers_never_help() -> None:
    known = np.array([1])
    assert filtered_rank(np.array([0.0, np.nan, 1.0]), 1, known) >= 3
    assert filtered_rank(np.array([np.nan, 2.0, 1.0]), 1, known) == 2


def test_every_known_answer_is_filtered_in_both_directions() -> None:
    triples = np.array([[0, 0, 1], [0, 0, 2], [3, 0, 1], [0, 1, 1]])
    known = Answers(triples, 2)
    assert known.of(0, 0).tolist() == [1, 2]
    assert known.of(1, 2).tolist() == [0, 3]
    assert known.of(1, 3).tolist() == [0]
    assert known.of(2, 0).tolist() == []


def test_unrecalled_answers_rank_below_recalled_nodes_by_frequency() -> None:
    rows = np.array([[0, 0, 1], [2, 0, 3], [4, 0, 3], [5, 0, 6]])
    triples = Triples(tuple("abcdefg"), ("r",), rows, rows[:0], np.array([[0, 0, 3], [0, 0, 6], [0, 0, 4]]))
    objective = LinkObjective(link_data(), triples)
    ranks, recalled = link_ranks(objective.module.eval(), objective.graph, triples, triples.test, 3, 30)
    # node 1 is known, node 0 is recalled and ranks above; the other two answers are filtered; 2, 4, 5 tie at last
    assert recalled == 0
    assert ranks.tolist() == [2.0, 2.0, 3.0]


def test_links_keep_the_contract_of_an_objective() -> None:
    check_objective(LinkObjective(link_data(), families(8)))


def test_files_of_triples_are_read_in_both_column_orders(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b" / "original").mkdir(parents=True)
    for part in ("train", "valid", "test"):
        (tmp_path / "a" / f"{part}.tsv").write_text("IsA\tcat\tpet\nIsA\tdog\tpet\nHas\tdog\ttail\nHas\tbird\ttail\n")
        (tmp_path / "b" / "original" / f"{part}.txt").write_text(
            "cat\tIsA\tpet\ndog\tIsA\tpet\n\ndog\tHas\ttail\nbird\tHas\ttail\n"
        )
    a, b = read_triples(tmp_path / "a"), read_triples(tmp_path / "b")
    assert a.nodes == b.nodes == ("cat", "pet", "dog", "tail", "bird")
    assert a.train.tolist() == b.test.tolist() == [[0, 0, 1], [2, 0, 1], [2, 1, 3], [4, 1, 3]]


def test_the_recipe_of_links_trains_from_the_command_line(tmp_path: Path, repository: Path) -> None:
    triples = families(8)
    for name in ("train", "valid", "test"):
        rows = getattr(triples, name)
        text = "".join(f"{triples.nodes[s]}\t{triples.relations[r]}\t{triples.nodes[o]}\n" for s, r, o in rows)
        (tmp_path / f"{name}.txt").write_text(text)
    small = ["loop.steps=2", "loop.tensorboard=false", "loop.num_threads=1", f"run_dir={tmp_path / 'run'}"]
    recipe = ["--config", str(repository / "recipes" / "graph-links.yaml")]
    done = CliRunner().invoke(app, ["graph", *recipe, "--json", *small, f"data.triples={tmp_path}"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "run" / "export" / "graph" / "model.safetensors").is_file()


def test_what_cannot_be_trained_on_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no train.txt or train.tsv"):
        read_triples(tmp_path)
    for part in ("train", "valid", "test"):
        (tmp_path / f"{part}.txt").write_text("a\tb\tc\nno tabs\n")
    with pytest.raises(DataError, match="line 2: 1 columns"):
        read_triples(tmp_path)
    with pytest.raises(ConfigError, match="empty"):
        GraphRecipe(str(tmp_path / "run"), GraphData(), LOOP).train(progress=False)
    for wrong in ({"hops": 0}, {"batch_size": 0}):
        with pytest.raises(ConfigError):
            link_data(**wrong)
