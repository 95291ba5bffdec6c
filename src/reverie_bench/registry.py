"""The registry of benchmarks, and running one from settings to a report."""

from __future__ import annotations

import time

from reverie.errors import ConfigError, MissingExtraError
from reverie.registry import Registry
from reverie_bench.contract import BenchConfig, Benchmark, Report, check_report
from reverie_bench.machine import commit, hardware

__all__ = ["benchmark_names", "get_benchmark", "register_benchmark", "run_benchmark"]

_OWN: dict[str, Benchmark | str] = {
    "frozenlake-outcome": "reverie_bench.frozenlake_outcome:BENCHMARK",
    "frozenlake-planning": "reverie_bench.frozenlake_planning:BENCHMARK",
    "everyday": "reverie_bench.everyday:BENCHMARK",
    "unknown": "reverie_bench.unknown:BENCHMARK",
    "abstention": "reverie_bench.abstention:BENCHMARK",
    "phrasing": "reverie_bench.phrasing:BENCHMARK",
    "grounding": "reverie_bench.grounding:BENCHMARK",
    "causal": "reverie_bench.causal:BENCHMARK",
    "choice": "reverie_bench.choice:BENCHMARK",
    "grounded": "reverie_bench.grounded:BENCHMARK",
    "passages": "reverie_bench.passages:BENCHMARK",
    "dreams": "reverie_bench.dreams:BENCHMARK",
    "base-speed": "reverie_bench.base_speed:BENCHMARK",
    "batching": "reverie_bench.batching:BENCHMARK",
    "serving": "reverie_bench.serving:BENCHMARK",
    "startup": "reverie_bench.startup:BENCHMARK",
    "image-tokenizer": "reverie_bench.image_tokenizer:BENCHMARK",
    "pictures": "reverie_bench.pictures:BENCHMARK",
    "recall": "reverie_bench.recall:BENCHMARK",
    "documents": "reverie_bench.documents:BENCHMARK",
    "ranking": "reverie_bench.ranking:BENCHMARK",
    "memory": "reverie_bench.memory:BENCHMARK",
    "changing-facts": "reverie_bench.changing_facts:BENCHMARK",
    "memory-crash": "reverie_bench.memory_crash:BENCHMARK",
    "link-prediction": "reverie_bench.link_prediction:BENCHMARK",
    "routing": "reverie_bench.routing:BENCHMARK",
    "dream-experts": "reverie_bench.dream_experts:BENCHMARK",
    "experts": "reverie_bench.experts:BENCHMARK",
    "lora-training": "reverie_bench.lora_training:BENCHMARK",
    "trainer": "reverie_bench.trainer:BENCHMARK",
    "perception": "reverie_bench.perception:BENCHMARK",
    "generator": "reverie_bench.generator:BENCHMARK",
    "prompts": "reverie_bench.prompts:BENCHMARK",
    "export": "reverie_bench.export:BENCHMARK",
    "weights": "reverie_bench.weights:BENCHMARK",
    "distill": "reverie_bench.distill:BENCHMARK",
    "adaptation": "reverie_bench.adaptation:BENCHMARK",
    "forgetting": "reverie_bench.forgetting:BENCHMARK",
    "gaps": "reverie_bench.gaps:BENCHMARK",
    "poisoned": "reverie_bench.poisoned:BENCHMARK",
    "lessons": "reverie_bench.lessons:BENCHMARK",
    "generator-digits": "reverie_bench.generator_digits:BENCHMARK",
    "reward": "reverie_bench.reward:BENCHMARK",
}
_BENCHMARKS: Registry[Benchmark] = Registry("benchmark", _OWN, "reverie.benchmarks")


def benchmark_names() -> list[str]:
    return _BENCHMARKS.names()


def get_benchmark(name: str) -> Benchmark:
    """The benchmark of that name; UnknownNameError suggests the nearest."""
    return _BENCHMARKS.get(name)


def register_benchmark(benchmark: Benchmark) -> None:
    """Add a benchmark; its reports must pass ``check_report``."""
    _BENCHMARKS.register(benchmark.name, benchmark)


def run_benchmark(name: str, settings: BenchConfig | None = None) -> Report:
    """Run one benchmark.

    Raises UnknownNameError for its name, ConfigError for options that it does not have, UsageError for rows that are
    missing or malformed, MissingExtraError for a library that is not there, and what loading the bundle raises.
    """
    settings = settings or BenchConfig()
    benchmark = get_benchmark(name)
    if settings.options and benchmark.options is None:
        raise ConfigError(
            f"the benchmark {benchmark.name} has no settings of its own, got {' '.join(settings.options)}"
        )
    started = time.perf_counter()
    try:
        found = benchmark.run(settings)
    except ModuleNotFoundError as error:
        if (error.name or "reverie").startswith("reverie"):
            raise  # a mistake of ours
        raise MissingExtraError(f"the benchmark {benchmark.name}, which uses {error.name},", "bench") from error
    report = Report(
        name=benchmark.name,
        n=found.n,
        figures=found.figures,
        by=found.by,
        baselines=found.baselines,
        published=benchmark.published,
        settings={"model": settings.model, "data": settings.data, "limit": settings.limit, "seed": settings.seed}
        | ({"options": settings.options} if settings.options else {})
        | found.settings,
        seconds=time.perf_counter() - started,
        hardware=hardware(),
        commit=commit(),
    )
    check_report(report)
    return report
