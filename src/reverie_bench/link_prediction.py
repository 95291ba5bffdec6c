"""Completing triples: the filtered rank of the right node for (subject, relation, ?) and (?, relation, object).

The standard protocol: every test triple is asked both ways, the candidates are all nodes but the other known answers,
and ties share their mean rank. ``--model`` names the export folder of ``reverie train graph``; with a bundle, which
holds no such network, one is trained on the training triples first.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from reverie.errors import BundleError, UsageError, shorten
from reverie.jsonio import read_object
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings, Published

if TYPE_CHECKING:
    from reverie.model.graph_attention import GraphAttention
    from reverie.training.triples import TripleGraph, Triples

TRAIN_STEPS = 1000  # of a network that is trained here; the recipe trains longer


def run(settings: BenchConfig) -> Findings:
    from reverie.training.graph import both_ways, link_ranks, rank_figures
    from reverie.training.triples import TripleGraph, read_triples

    if settings.data is None or not settings.data.is_dir():
        raise UsageError(f"--data must be a folder of train, valid and test triples; got {settings.data}")
    triples = read_triples(settings.data)
    if not len(triples.test):
        raise UsageError(f"{settings.data} holds no test triples to measure on")
    with TemporaryDirectory() as made:
        given = Path(settings.model)
        trained_here = len(given.parts) == 1 and not given.is_dir()  # the name of a bundle
        folder = _train(settings, Path(made)) if trained_here else given
        network, hops, nodes = _open(folder, triples)
    num_relations = len(triples.relations)
    graph = TripleGraph(triples.train, len(triples.nodes), num_relations)
    count = min(settings.limit or len(triples.test), len(triples.test))
    test = triples.test[np.linspace(0, len(triples.test) - 1, count).astype(np.int64)]
    asked = both_ways(test, num_relations)

    def progress(done: int, total: int) -> None:
        settings.progress("ranking", done, total)

    ranks, recalled = link_ranks(network, graph, triples, asked, hops, nodes, progress=progress)
    by: dict[str, Figures] = {}
    for way, part in (("objects_asked", ranks[:count]), ("subjects_asked", ranks[count:])):
        by[way] = rank_figures(part)
    for number, name in enumerate(triples.relations):
        own = asked[:, 1] % num_relations == number
        if own.any():
            by[f"relation {name.lstrip('_')}"] = {"n": int(own.sum())} | rank_figures(ranks[own])
    return Findings(
        n=len(asked),
        figures=rank_figures(ranks) | {"recalled_share": recalled},
        by=by,
        baselines=_baselines(triples, graph, asked, hops, nodes),
        settings={
            "nodes": len(triples.nodes),
            "train": len(triples.train),
            "hops": hops,
            "recalled_nodes": nodes,
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "trained_here": trained_here,
        },
    )


def _open(folder: Path, triples: Triples) -> tuple[GraphAttention, int, int]:
    """The network of an export folder, and how it recalls; its relation numbers must be those of the triples."""
    from reverie.model.graph_attention import GraphAttention
    from reverie.training.graph import LINKS_FILE

    path = folder / LINKS_FILE
    try:
        recall = read_object(path, BundleError, "the links of --model, an export folder of `train graph`,")
        hops, nodes, relations = int(recall["hops"]), int(recall["nodes"]), list(recall["relations"])
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path} is damaged: {shorten(str(error))}") from error
    if relations != list(triples.relations):
        raise UsageError(f"{folder} was trained on other relations, such as {relations[:2]}; give it its own triples")
    return GraphAttention.load(folder / "graph").eval(), hops, nodes


def _train(settings: BenchConfig, folder: Path) -> Path:
    from reverie.training.graph import GraphData
    from reverie.training.recipes import GraphRecipe
    from reverie.training.settings import LoopConfig

    loop = LoopConfig(
        steps=TRAIN_STEPS, lr=3e-3, weight_decay=0.0, schedule="wsd", decay_fraction=0.4, final_lr_fraction=0.02,
        warmup_steps=100, precision="fp32", ema_decay=0.99, eval_every=0, checkpoint_every=0, tensorboard=False,
        curves=False, seed=settings.seed,
    )  # fmt: skip
    settings.progress("training", 0, 1)
    recipe = GraphRecipe(str(folder / "run"), GraphData(triples=str(settings.data), seed=settings.seed), loop)
    recipe.train(progress=False)
    settings.progress("training", 1, 1)
    return folder / "run" / "export"


def _baselines(triples: Triples, graph: TripleGraph, asked: np.ndarray, hops: int, nodes: int) -> dict[str, Figures]:
    """``frequent``: where the relation leads most often. ``joined``: nodes already joined to the given one, then those.
    ``walk``: where a random walker from the given node is likeliest, as nodes are recalled, then those."""
    from reverie.training.graph import Answers, filtered_rank, rank_figures, relation_counts

    everything = np.concatenate((triples.train, triples.valid, triples.test))
    known = Answers(everything, graph.num_relations)
    usual = relation_counts(triples.train, graph.num_nodes, graph.num_relations)
    usual /= usual.max() + 1  # below 1
    ranks: dict[str, list[float]] = {"frequent": [], "joined": [], "walk": []}
    for node, relation, answer in asked:
        others = known.of(node, relation)
        near = graph.around(np.array([node]), hops, nodes)
        joined, walk = usual[relation].copy(), usual[relation].copy()
        joined[graph.targets[graph.starts[node] : graph.starts[node + 1]]] += 1
        walk[near.nodes] = 1 + near.mass
        walk[node] = 0  # where the walker starts is seldom the answer
        for name, scores in (("frequent", usual[relation]), ("joined", joined), ("walk", walk)):
            ranks[name].append(filtered_rank(scores, answer, others))
    return {name: rank_figures(np.array(found)) for name, found in ranks.items()}


BENCHMARK = Benchmark(
    name="link-prediction",
    about="filtered rank of the right node in triples with one end hidden, by attention over a recalled subgraph",
    run=run,
    data="a folder of train, valid and test triples, such as WN18RR; --model an export folder of `train graph`",
    published=(
        Published("ConvE, WN18RR", "mrr", 0.43, "arXiv 1707.01476"),
        Published("RotatE, WN18RR", "mrr", 0.476, "arXiv 1902.10197"),
        Published("NBFNet, WN18RR", "mrr", 0.551, "arXiv 2106.06935"),
    ),
)
