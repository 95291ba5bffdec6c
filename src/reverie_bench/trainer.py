"""Our training loop against transformers' Trainer with PEFT: an expert of a base, learned from the same rows.

Each side runs in a process of its own, in turns. Both draw the same documents in the same order, count the answers'
ids alone, train the same changes of all linears with the same optimizer in the same precision, and log every step.
Speed is the documents' own ids, without padding, over the time from the end of the first step to that of the last, by
the clock and by the process's own time, which others at work on the machine do not change as much.
``trainer_grouped`` may sort the rows by length, which changes their order but saves padding.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from reverie.errors import ConfigError, UsageError
from reverie_bench.contract import BenchConfig, Benchmark, Findings

__all__ = ["BENCHMARK", "TrainerOptions"]


@dataclass(frozen=True)
class TrainerOptions:
    """The size of the race."""

    rank: int = 8
    batch: int = 8  # documents a step
    max_ids: int = 256  # of a document; longer ones are left out
    rounds: int = 2  # times that each side runs
    precision: str = "auto"  # of both: fp32, bf16, or what this machine is faster in
    grouped: bool = False  # race ``trainer_grouped``, too

    def __post_init__(self) -> None:
        if min(self.rank, self.batch, self.rounds) < 1 or self.max_ids < 8:
            raise ConfigError("trainer: rank, batch and rounds are at least 1, max_ids at least 8")


def run(settings: BenchConfig) -> Findings:
    from reverie.bundles.bundle import find_bundle, read_manifest
    from reverie.precision import choose_precision
    from reverie.settings import load_settings

    options = load_settings(TrainerOptions, None, settings.options)
    folder = find_bundle(settings.model)
    if (about := read_manifest(folder).get("base")) is None or about.get("quantized"):
        raise UsageError(f"trainer is for a bundle made by 'reverie init' without --quantize; {settings.model} is none")
    if settings.data is None or not settings.data.is_file():
        raise UsageError('trainer needs --data FILE, JSONL of {"question": …, "answer": …}')
    steps = max(settings.limit or 12, 3)
    precision = choose_precision(options.precision).name
    sides = ("ours", "trainer", "trainer_grouped") if options.grouped else ("ours", "trainer")
    with TemporaryDirectory() as temporary:
        told: dict[str, Any] = {
            "bundle": str(folder), "rows": str(settings.data), "steps": steps, "batch": options.batch,
            "rank": options.rank, "precision": precision, "max_ids": options.max_ids, "seed": settings.seed,
            "folder": temporary,
            "documents": str(Path(temporary) / "documents.json"),
        }  # fmt: skip
        place = Path(temporary) / "settings.json"
        place.write_text(json.dumps(told))
        documents = _side("prepare", place)
        Path(told["documents"]).write_text(json.dumps(documents))
        ids = [sum(len(row["input_ids"]) for row in step) for step in documents["steps"]]
        runs: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
        for turn in range(options.rounds * len(sides)):
            side = sides[turn % len(sides)]
            settings.progress(f"racing  {side}", turn, options.rounds * len(sides))
            runs[side].append(_side(side, place))
    every = {side: _figures(found, ids) for side, found in runs.items()}
    own, first = every.pop("ours"), [found[0]["losses"][0] for found in runs.values()]
    return Findings(
        n=steps,
        figures={
            **own,
            **{f"times_{name}": own["ids_per_second"] / other["ids_per_second"] for name, other in every.items()},
            **{
                f"times_{name}_by_processor": own["ids_per_processor_second"] / other["ids_per_processor_second"]
                for name, other in every.items()
            },
            **{f"memory_of_{name}": own["peak_gigabytes"] / other["peak_gigabytes"] for name, other in every.items()},
            "loss_difference": abs(first[0] - first[1]),
        },
        baselines=every,
        settings={
            "precision": precision,
            "rank": options.rank,
            "batch": options.batch,
            "ids": sum(ids),
            "rounds": options.rounds,
        },
    )


def _side(name: str, settings: Path) -> dict[str, Any]:
    """What one side found. Raises UsageError where it failed."""
    command = [sys.executable, "-m", "reverie_bench.trainer_side", name, str(settings)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UsageError(f"the side '{name}' of the race ended with {done.returncode}: {last}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _figures(runs: list[dict[str, Any]], ids: list[int]) -> dict[str, float]:
    """The best of a side's runs: what disturbs only slows."""
    seconds, own = ([run[clock][-1] - run[clock][0] for run in runs] for clock in ("wall", "own"))
    last = [statistics.fmean(run["losses"][-3:]) for run in runs]
    return {
        "ids_per_second": sum(ids[1:]) / min(seconds),
        "ids_per_processor_second": sum(ids[1:]) / min(own),
        "peak_gigabytes": min(run["peak_bytes"] for run in runs) / 1e9,
        "first_step_seconds": min(run["first_step_s"] for run in runs),
        "last_loss": statistics.fmean(last),
    }


BENCHMARK = Benchmark(
    name="trainer",
    about="Our training loop against transformers' Trainer with PEFT: ids a second, memory, seconds to the first step.",
    run=run,
    data='rows to learn from, JSONL of {"question": …, "answer": …}',
    options=TrainerOptions,
)
