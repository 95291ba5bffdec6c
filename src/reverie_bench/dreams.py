"""How fast dreams come: our engine against transformers' ``generate``, same weights, same prefix, same ids out.

Both read the prefix and then draw the same number of ids greedily, in float32 and turn by turn, so that a busy machine
slows both. Every round gets an engine whose prefix cache is empty; making it is not timed, as loading is not.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.errors import UsageError
from reverie.worlds.frozenlake import random_map
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings

if TYPE_CHECKING:
    from reverie.bundles import Bundle

BRANCHES = (1, 4, 16)
NUM_ROUNDS = 5
NUM_IDS = 128  # drawn by every branch
_SIDE, _STEPS = 6, 8  # of the lake that the prefix shows, and of the walk that tells what a step costs in ids

Rows = list[list[int]]


def run(settings: BenchConfig) -> Findings:
    from reverie.bundles import find_bundle, load_bundle
    from reverie.engine import Engine, Request, Sampling
    from reverie.model import Backbone
    from reverie_bench.matmul_floor import matmul_floor

    bundle = load_bundle(settings.model)
    backbone = bundle.backbone
    if not isinstance(backbone, Backbone):
        raise UsageError(f"{settings.model} has a base made elsewhere, which transformers itself runs: nothing to race")
    peer = _peer(find_bundle(settings.model) / "backbone")
    prefix, ids_a_step = _prefix(bundle, settings.seed)
    num_ids = min(NUM_IDS, backbone.config.max_positions - len(prefix))
    rounds = min(settings.limit or NUM_ROUNDS, NUM_ROUNDS)

    def ours(num_branches: int) -> tuple[float, Rows]:
        engine = Engine(backbone)
        requests = [Request(prefix, branch, Sampling(0.0), None, num_ids) for branch in range(num_branches)]
        return _timed(lambda: [list(completion.ids) for completion in engine.generate(requests)])

    def theirs(num_branches: int) -> tuple[float, Rows]:
        return _timed(lambda: _generate(peer, prefix, num_branches, num_ids))

    figures: Figures = {}
    theirs_figures: Figures = {}
    equal: list[float] = []
    for place, num_branches in enumerate(BRANCHES):
        settings.progress("racing", place, len(BRANCHES))
        for warm in (ours, theirs):
            warm(num_branches)
        pairs = [(ours(num_branches), theirs(num_branches)) for _ in range(rounds)]
        seconds = [statistics.median(pair[side][0] for pair in pairs) for side in (0, 1)]
        figures[f"speedup_{num_branches}"] = seconds[1] / seconds[0]
        for told, taken in ((figures, seconds[0]), (theirs_figures, seconds[1])):
            told[f"ids_per_second_{num_branches}"] = num_branches * num_ids / taken
            told[f"steps_per_second_{num_branches}"] = num_branches * num_ids / ids_a_step / taken
        floor = matmul_floor(backbone.config, num_branches) * num_ids
        figures[f"floor_share_{num_branches}"] = min(floor / seconds[0], 1.0)  # more would be noise of the timer
        equal += [float(np.mean(np.array(a) == np.array(b))) for (_, a), (_, b) in pairs]
    settings.progress("racing", len(BRANCHES), len(BRANCHES))
    return Findings(
        n=rounds * len(BRANCHES),
        figures=figures | {"ids_equal": float(np.mean(equal)), "ids_a_step": ids_a_step},
        baselines={"transformers_generate": theirs_figures},
        settings={"bundle": bundle.name, "prefix_ids": len(prefix), "new_ids": num_ids, "rounds": rounds},
    )


def _prefix(bundle: Bundle, seed: int) -> tuple[tuple[int, ...], float]:
    """The ids of a lake, and how many ids a step of the bundle's own dream of it takes on the mean."""
    rng = np.random.default_rng([seed, 5])
    scene, actions = random_map(_SIDE, rng, holes=0.1), rng.integers(4, size=_STEPS).tolist()
    session, grammar = bundle.session(), bundle.grammar
    triplets = session.simulate("FrozenLake", scene, actions, seed=seed).dreams[0].triplets
    ids = grammar.question_ids("") + grammar.what_ids(triplets[0].what)
    return tuple(ids), float(np.mean([len(grammar.step_ids(triplet)) for triplet in triplets]))


def _peer(folder: Any) -> Any:
    """The same backbone as transformers loads it, in float32."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def _generate(peer: Any, prefix: tuple[int, ...], num_branches: int, num_ids: int) -> Rows:
    import torch

    ids = torch.tensor([prefix] * num_branches)
    with torch.inference_mode():
        drawn = peer.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=num_ids,
            do_sample=False,
            use_cache=True,
            eos_token_id=None,  # no end: all draw the same number of ids
            pad_token_id=0,
        )
    rows: Rows = drawn[:, len(prefix) :].tolist()
    return rows


def _timed(work: Callable[[], Rows]) -> tuple[float, Rows]:
    started = time.perf_counter()
    rows = work()
    return time.perf_counter() - started, rows


BENCHMARK = Benchmark(
    name="dreams",
    about="ids and steps a second at 1, 4 and 16 branches, against transformers' generate and the matrix products",
    run=run,
)
