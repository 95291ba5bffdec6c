"""`bench memory` on a small graph: what it measures, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from reverie.cli import main
from reverie.errors import ConfigError, UsageError
from reverie_bench import BenchConfig, run_benchmark
from reverie_bench.memory import random_edges

SMALL = ("nodes=300", "edges=1500", "queries=20", "peer_queries=1", "writes=3", "compiling=false")


def test_it_measures_ours_beside_the_others() -> None:
    for library in ("networkx", "igraph", "rustworkx", "scipy"):
        pytest.importorskip(library)
    report = run_benchmark("memory", BenchConfig(options=SMALL))
    assert report.n == 20
    figures = report.figures
    assert figures["edges"] > 1450  # a pair that is drawn twice with one relation is one edge
    assert figures["pagerank_overlap_share"] > 0.9
    assert figures["mb_per_million_edges"] < 100
    assert min(figures[name] for name in ("two_hop_ms", "pagerank_ms", "open_s", "write_to_recall_ms")) > 0
    assert set(report.baselines) == {"first_reached", "networkx", "igraph", "rustworkx", "scipy"}
    for name in ("networkx", "igraph", "rustworkx", "scipy"):
        assert report.baselines[name]["two_hop_equal"] > 0.9  # they answer the same question
        assert report.baselines[name]["pagerank_overlap_share"] > 0.95


def test_it_measures_the_facts_of_a_file(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    path = tmp_path / "facts.jsonl"
    lines = [{"subject": f"thing {i}", "relation": "IsA", "object": f"thing {i // 2}"} for i in range(1, 60)]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    report = run_benchmark(
        "memory", BenchConfig(data=path, options=("queries=2", "peers=[scipy]", "writes=1", "compiling=false"))
    )
    assert report.figures["edges"] == 59
    assert report.figures["pagerank_overlap_share"] == 1.0


def test_random_degrees_follow_a_power_law() -> None:
    subjects, objects, weights = random_edges(2000, 20_000, np.random.default_rng(0))
    degrees = np.bincount(np.concatenate((subjects, objects)), minlength=2001)[1:]
    assert (subjects != objects).all()
    assert 0 < weights.min() <= weights.max() <= 1
    assert degrees.max() > 10 * np.median(degrees)
    assert len(degrees) == 2000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("nodes=1",), "needs 2 nodes"),
        (("edges=0",), "1 of everything"),
        (("peers=[neo4j]",), "got neo4j"),
        (("node=5",), "Did you mean 'nodes'"),
        (("nodes=many",), "must be a whole number"),
        (("nodes",), "Write key=value"),
    ],
)
def test_wrong_options_are_refused(options: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run_benchmark("memory", BenchConfig(options=options))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.jsonl"):
        run_benchmark("memory", BenchConfig(data=tmp_path / "nowhere.jsonl", options=SMALL))


def test_a_benchmark_without_options_refuses_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "startup", "nodes=5"]) == 2
    assert "the benchmark startup has no settings of its own, got nodes=5" in capsys.readouterr().err
    assert main(["bench", "startup", "--edges", "5"]) == 2
    assert "got edges=5" in capsys.readouterr().err


def test_the_command_line_takes_flags_and_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("scipy")
    arguments = [
        "--nodes",
        "50",
        "--edges",
        "200",
        "queries=2",
        "peers=[scipy]",
        "writes=1",
        "compiling=false",
        "--json",
    ]
    assert main(["bench", "memory", *arguments]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["settings"]["options"] == ["nodes=50", "edges=200", *arguments[4:-1]]
    assert report["n"] == 2
