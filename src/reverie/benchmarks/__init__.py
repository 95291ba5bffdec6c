"""Benchmarks: figures beside trivial baselines and what others published. Read ``contract.py`` first.

A benchmark takes ``BenchSettings`` and gives ``Findings``; ``run_benchmark`` makes the ``Report`` of them. What they
count with is in ``figures.py``, what reads their files in ``rows.py``; every other file is one benchmark.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reverie.benchmarks.contract import Benchmark, BenchSettings, Findings, Published, Report, check_report
    from reverie.benchmarks.registry import benchmark_names, get_benchmark, register_benchmark, run_benchmark

_HOMES = {
    "BenchSettings": "contract",
    "Benchmark": "contract",
    "Findings": "contract",
    "Published": "contract",
    "Report": "contract",
    "benchmark_names": "registry",
    "check_report": "contract",
    "get_benchmark": "registry",
    "register_benchmark": "registry",
    "run_benchmark": "registry",
}

__all__ = [
    "BenchSettings",
    "Benchmark",
    "Findings",
    "Published",
    "Report",
    "benchmark_names",
    "check_report",
    "get_benchmark",
    "register_benchmark",
    "run_benchmark",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
