"""What a benchmark is given, what it finds, and the report that people and programs read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reverie.errors import ConfigError, ContractError
from reverie.progress import Progress, no_progress

__all__ = ["BenchConfig", "Benchmark", "Figures", "Findings", "Published", "Report", "check_report"]

Figures = dict[str, float]  # snake_case names; shares lie in [0, 1]; NaN where nothing was there to count

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_SHARE = re.compile(r"accuracy|exact|share|known|auroc|ece$|rate$|recovery|success|equal$|read$")


@dataclass(frozen=True)
class BenchConfig:
    """How a benchmark is run."""

    model: str = "nano"  # a packaged bundle's name, or its folder
    data: Path | None = None  # rows; what they are is said by the benchmark
    limit: int = 0  # most rows of a kind, spread evenly over all; 0 = all
    seed: int = 0  # of rows that the benchmark makes itself, and of dreams
    branches: int = 4  # futures dreamed where questions are asked
    write: Path | None = None  # where to save the rows that were used, for benchmarks that make their own
    progress: Progress = no_progress
    corpus: Path | None = None  # passages, for `recall`
    questions: Path | None = None  # about them
    options: tuple[str, ...] = ()  # key=value settings of this one benchmark

    def __post_init__(self) -> None:
        if self.limit < 0 or self.seed < 0 or self.branches < 1:
            raise ConfigError(
                f"a benchmark needs limit >= 0, seed >= 0 and branches >= 1, "
                f"got {self.limit}, {self.seed} and {self.branches}"
            )


@dataclass(frozen=True)
class Published:
    """A figure that others report; ``value`` on the scale of our own figure of that name."""

    system: str
    figure: str
    value: float
    source: str


@dataclass(frozen=True)
class Findings:
    """What a benchmark found over ``n`` rows. ``settings``: what else was decided, such as the bundle's track."""

    n: int
    figures: Figures
    by: dict[str, Figures] = field(default_factory=dict)
    baselines: dict[str, Figures] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Benchmark:
    """One benchmark. ``data`` says what ``--data`` is ("" where it takes none) and ``about`` what it measures.

    ``options`` is the dataclass of what it lets one set besides: ``run`` finds it in ``settings.options`` by
    ``load_settings``.
    """

    name: str
    about: str
    run: Callable[[BenchConfig], Findings]
    data: str = ""
    published: tuple[Published, ...] = ()
    options: type[Any] | None = None


@dataclass(frozen=True)
class Report:
    """The findings with all that is needed to compare and repeat them."""

    name: str
    n: int
    figures: Figures
    by: dict[str, Figures]
    baselines: dict[str, Figures]
    published: tuple[Published, ...]
    settings: dict[str, Any]
    seconds: float
    hardware: str
    commit: str


def check_report(report: Report) -> None:
    """Hold a report to the contract; ContractError names the first figure that breaks it."""
    if report.n < 1 or not report.figures:
        raise ContractError(
            f"the benchmark {report.name} counted {report.n} rows and has {len(report.figures)} figures"
        )
    if not report.baselines:
        raise ContractError(f"the benchmark {report.name} stands beside no baseline")
    for figures in (report.figures, *report.by.values(), *report.baselines.values()):
        for name, value in figures.items():
            if not _NAME.fullmatch(name) or isinstance(value, bool) or not isinstance(value, int | float):
                raise ContractError(f"{report.name}: a figure is a snake_case name and a number, got {name}: {value!r}")
            if _SHARE.search(name) and not math.isnan(value) and not 0 <= value <= 1:
                raise ContractError(f"{report.name}: {name} is a share and lies between 0 and 1, got {value}")
