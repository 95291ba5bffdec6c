"""The registry of benchmarks, and running one from settings to a report."""

from __future__ import annotations

import importlib
import time

from reverie.benchmarks.contract import Benchmark, BenchSettings, Report, check_report
from reverie.benchmarks.machine import commit, hardware
from reverie.errors import ConfigError, UnknownNameError

__all__ = ["benchmark_names", "get_benchmark", "register_benchmark", "run_benchmark"]

_BENCHMARKS: dict[str, Benchmark | str] = {
    "frozenlake-outcome": "reverie.benchmarks.frozenlake_outcome",
    "frozenlake-planning": "reverie.benchmarks.frozenlake_planning",
    "everyday": "reverie.benchmarks.everyday",
    "unknown": "reverie.benchmarks.unknown",
    "grounding": "reverie.benchmarks.grounding",
    "dreams": "reverie.benchmarks.dreams",
    "startup": "reverie.benchmarks.startup",
    "image-tokenizer": "reverie.benchmarks.image_tokenizer",
    "recall": "reverie.benchmarks.recall",
    "memory": "reverie.benchmarks.memory",
    "memory-crash": "reverie.benchmarks.memory_crash",
    "link-prediction": "reverie.benchmarks.link_prediction",
    "routing": "reverie.benchmarks.routing",
    "dream-experts": "reverie.benchmarks.dream_experts",
    "experts": "reverie.benchmarks.experts",
    "perception": "reverie.benchmarks.perception",
    "generator": "reverie.benchmarks.generator",
    "generator-digits": "reverie.benchmarks.generator_digits",
}


def benchmark_names() -> list[str]:
    return list(_BENCHMARKS)


def get_benchmark(name: str) -> Benchmark:
    """The benchmark of that name; UnknownNameError suggests the nearest."""
    if name not in _BENCHMARKS:
        raise UnknownNameError("benchmark", name, _BENCHMARKS)
    entry = _BENCHMARKS[name]
    if isinstance(entry, Benchmark):
        return entry
    found: Benchmark = importlib.import_module(entry).BENCHMARK
    return found


def register_benchmark(benchmark: Benchmark) -> None:
    """Add a benchmark; its reports must pass ``check_report``."""
    _BENCHMARKS[benchmark.name] = benchmark


def run_benchmark(name: str, settings: BenchSettings | None = None) -> Report:
    """Run one benchmark.

    Raises UnknownNameError for its name, ConfigError for options that it does not have, UsageError for rows that are
    missing or malformed, and what loading the bundle raises.
    """
    settings = settings or BenchSettings()
    benchmark = get_benchmark(name)
    if settings.options and benchmark.options is None:
        raise ConfigError(f"the benchmark {name} has no settings of its own, got {' '.join(settings.options)}")
    started = time.perf_counter()
    found = benchmark.run(settings)
    report = Report(
        name=name,
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
