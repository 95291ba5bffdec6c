"""Seconds and peak memory of training steps on the CPU, in a process of their own: a peak never goes down again."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from reverie.data.pictures import Collection
from reverie.errors import ReverieError, shorten
from reverie_bench.contract import Figures

__all__ = ["step_cost", "work"]

_BATCH = 4


def step_cost(preset: str, steps: int) -> Figures:
    """Time ``steps`` steps of four random pictures (after one that is not counted), the critic's among them.

    Raises ReverieError where the process fails, as when memory is short.
    """
    code = f"from reverie_bench.generator_step import work; work({preset!r}, {steps})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        last = shorten((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1], 160)
        raise ReverieError(f"timing a step of {preset} failed: {last}")
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return found


def work(preset_name: str, steps: int) -> None:
    """The child, on Unix: one JSON object on standard output, with seconds a step and its peak of memory in MB."""
    import resource

    from reverie.generator.caption_tokenizer import CaptionTokenizer
    from reverie.generator.config import PRESETS
    from reverie.generator.objective import GeneratorData, GeneratorObjective
    from reverie.training import LoopConfig
    from reverie.training.run import Run

    config = PRESETS.get(preset_name)
    with TemporaryDirectory(prefix="step-") as folder:
        collection = _random_collection(Path(folder), config.side)
        tokenizer = CaptionTokenizer.train(collection.captions, config.vocabulary)
        data = GeneratorData(collection=folder, batch_size=_BATCH, adversarial_from=0.0)
        objective = GeneratorObjective(data, config, collection, tokenizer, steps + 1)
        run = Run(objective, LoopConfig(steps=steps + 1, precision="fp32", device="cpu"))
        batches = iter([objective.batch(number) for number in range(steps + 1)])
        run.take_step(batches)
        started = time.perf_counter()
        for _ in range(steps):
            run.take_step(batches)
        seconds = (time.perf_counter() - started) / steps
    parameters = sum(p.numel() for p in objective.network.parameters())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    said = {"step_seconds": seconds, "step_peak_mb": peak, "step_parameters": parameters, "step_batch": _BATCH}
    sys.stdout.write(json.dumps(said) + "\n")


def _random_collection(folder: Path, side: int) -> Collection:
    from reverie.data.pictures import write_collection

    rng = np.random.default_rng(0)
    pictures = rng.integers(256, size=(_BATCH, side, side, 3), dtype=np.uint8)
    words = ["a ship in a storm", "a castle on a hill by a river", "two old men at a table", "a tree"]
    return write_collection(folder, pictures, words, ["train"] * _BATCH)
