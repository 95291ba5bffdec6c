"""What continuous batching is worth: requests that arrive at random moments, against one batch and one after another.

The same requests every time: dreams of a lake of different lengths, each with its own seed. *arriving* gives the
worker each request at its moment, all of them within the first third of the time that one batch takes; *batch* has all
at once; *alone* runs one after another. They take turns, so that a busy machine slows all. ``rounds_equal``: in how
many rounds every request drew the same ids in all three. All go through a worker; making it is not timed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from reverie_bench.contract import BenchConfig, Benchmark, Findings

NUM_REQUESTS = 16
NUM_ROUNDS = 7
NUM_IDS = (48, 128)  # drawn by a request: from, to
ARRIVE_WITHIN = 1 / 3  # of the time that one batch takes

Ids = list[tuple[int, ...]]


def run(settings: BenchConfig) -> Findings:
    from reverie.bundles import load_bundle
    from reverie.engine import Engine, Request, Sampling, Worker

    # No torch in this thread: OpenMP would keep helpers for it, and make those of the workers sleep between products.
    with ThreadPoolExecutor(1) as loader:
        bundle = loader.submit(load_bundle, settings.model).result()
    rng = np.random.default_rng([settings.seed, 16])
    vocab_size = bundle.backbone.config.vocab_size
    prefixes = [tuple(rng.integers(0, vocab_size, length).tolist()) for length in rng.integers(12, 60, 4)]
    requests = [
        Request(prefixes[row % 4], row, Sampling(0.7), max_new_ids=int(rng.integers(*NUM_IDS)))
        for row in range(NUM_REQUESTS)
    ]
    rounds = min(settings.limit or NUM_ROUNDS, NUM_ROUNDS)

    def batch(worker: Worker) -> Ids:
        return [one.ids for one in worker.generate(requests)]

    def alone(worker: Worker) -> Ids:
        return [worker.generate([request])[0].ids for request in requests]

    def arriving(worker: Worker) -> Ids:
        started, handles = time.perf_counter(), []
        for request, moment in zip(requests, moments, strict=True):
            time.sleep(max(0.0, started + moment - time.perf_counter()))
            handles.append(worker.submit(request))
        return [handle.result().ids for handle in handles]

    def timed(way: Callable[[Worker], Ids]) -> tuple[float, Ids]:
        with Worker(lambda: Engine(bundle.backbone)) as worker:
            started = time.perf_counter()
            ids = way(worker)
            return time.perf_counter() - started, ids

    within, _ = min(timed(batch) for _ in range(2))  # the first one compiles
    seconds: dict[str, list[float]] = {"batch": [], "alone": [], "arriving": []}
    equal = []
    for place in range(rounds):
        settings.progress("racing", place, rounds)
        moments = np.sort(rng.uniform(0, within * ARRIVE_WITHIN, NUM_REQUESTS))
        drawn = {}
        for way in (batch, alone, arriving):
            taken, drawn[way.__name__] = timed(way)
            seconds[way.__name__].append(taken)
        equal.append(float(drawn["batch"] == drawn["alone"] == drawn["arriving"]))
    settings.progress("racing", rounds, rounds)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    num_ids = sum(request.max_new_ids for request in requests)
    return Findings(
        n=rounds * NUM_REQUESTS,
        figures={
            "over_one_batch": medians["arriving"] / medians["batch"],
            "over_one_after_another": medians["arriving"] / medians["alone"],
            "ids_per_second": num_ids / medians["arriving"],
            "rounds_equal": float(np.mean(equal)),
        },
        baselines={name: {"ids_per_second": num_ids / medians[name]} for name in ("batch", "alone")},
        settings={"bundle": bundle.name, "requests": NUM_REQUESTS, "ids": num_ids, "rounds": rounds},
    )


BENCHMARK = Benchmark(
    name="batching",
    about="Continuous batching: 16 requests that arrive at random moments, against one batch and one after another.",
    run=run,
)
