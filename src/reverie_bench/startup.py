"""How long one waits: the import, the help page, the first answer and the first recall, each in a fresh process."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from reverie.data import FactRow
from reverie.errors import ReverieError, shorten
from reverie.memory.store import Store
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings

NUM_ROUNDS = 3
_LONGEST_S = 300
_RECALL = ["-m", "reverie", "memory", "recall", "Where is ball 7?", "--embedder", "none", "--memory"]
_QUESTION = "What happens when you drop a ball?"


def run(settings: BenchConfig) -> Findings:
    rounds = min(settings.limit or NUM_ROUNDS, NUM_ROUNDS)
    ours = {
        "import_s": ["-c", "import reverie"],
        "help_s": ["-m", "reverie", "--help"],
        "ask_s": ["-m", "reverie", "ask", _QUESTION, "--model", settings.model],
    }
    with tempfile.TemporaryDirectory(prefix="startup-") as folder:
        path = str(Path(folder) / "kg.db")
        with Store.open(path) as store:
            store.write([FactRow(f"ball {number}", "AtLocation", f"box {number % 9}") for number in range(100)])
        return _measured(settings, rounds, ours | {"recall_s": [*_RECALL, path]})


def _measured(settings: BenchConfig, rounds: int, ours: dict[str, list[str]]) -> Findings:
    bare = {"python_s": ["-c", "pass"], "import_torch_s": ["-c", "import torch"]}
    medians: Figures = {}
    cpu: Figures = {}
    for place, (name, command) in enumerate((ours | bare).items()):
        settings.progress("starting", place, len(ours | bare))
        timed = [_seconds(command) for _ in range(rounds)]
        medians[name], cpu[f"{name[:-2]}_cpu_s"] = map(statistics.median, zip(*timed, strict=True))
    settings.progress("starting", len(ours | bare), len(ours | bare))
    return Findings(
        n=rounds,
        figures={name: medians[name] for name in ours} | {"recall_cpu_s": cpu["recall_cpu_s"]},
        baselines={"bare": {name: medians[name] for name in bare}},
    )


def _seconds(arguments: Sequence[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a Python process, without credentials: only what runs here is measured."""
    environment = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    started, used = time.perf_counter(), os.times()
    try:
        done = subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=_LONGEST_S
        )
    except subprocess.TimeoutExpired as error:
        raise ReverieError(f"python {' '.join(arguments)} took longer than {_LONGEST_S} s") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise ReverieError(f"python {' '.join(arguments)} ended with {done.returncode} and said: {shorten(said, 200)}")
    now = os.times()
    cpu_s = now.children_user - used.children_user + now.children_system - used.children_system
    return time.perf_counter() - started, cpu_s


BENCHMARK = Benchmark(
    name="startup",
    about="seconds until the import, the help page, the first answer and recall are there, in fresh processes",
    run=run,
)
