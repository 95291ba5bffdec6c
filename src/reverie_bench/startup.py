"""How long one waits: the import, the help page, and the first answer, each in a fresh process."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from reverie.errors import ReverieError, shorten
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings

NUM_ROUNDS = 3
_LONGEST_S = 300
_QUESTION = "What happens when you drop a ball?"


def run(settings: BenchConfig) -> Findings:
    rounds = min(settings.limit or NUM_ROUNDS, NUM_ROUNDS)
    ours = {
        "import_s": ["-c", "import reverie"],
        "help_s": ["-m", "reverie", "--help"],
        "ask_s": ["-m", "reverie", "ask", _QUESTION, "--model", settings.model],
    }
    bare = {"python_s": ["-c", "pass"], "import_torch_s": ["-c", "import torch"]}
    medians: Figures = {}
    for place, (name, command) in enumerate((ours | bare).items()):
        settings.progress("starting", place, len(ours | bare))
        medians[name] = statistics.median(_seconds(command) for _ in range(rounds))
    settings.progress("starting", len(ours | bare), len(ours | bare))
    return Findings(
        n=rounds,
        figures={name: medians[name] for name in ours},
        baselines={"bare": {name: medians[name] for name in bare}},
    )


def _seconds(arguments: Sequence[str]) -> float:
    """Wall seconds of a Python process, without credentials: only what runs here is measured."""
    environment = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    started = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=_LONGEST_S
        )
    except subprocess.TimeoutExpired as error:
        raise ReverieError(f"python {' '.join(arguments)} took longer than {_LONGEST_S} s") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise ReverieError(f"python {' '.join(arguments)} ended with {done.returncode} and said: {shorten(said, 200)}")
    return time.perf_counter() - started


BENCHMARK = Benchmark(
    name="startup",
    about="seconds until the import, the help page and the first answer are there, in fresh processes",
    run=run,
)
