"""Where the generator meets the training loop and its run folder: one habit for networks, factors and flows.

The same command goes on with the run that a folder holds.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from reverie.errors import TrainingError
from reverie.files import atomic_write_json
from reverie.jsonio import read_object
from reverie.progress import Progress, no_progress
from reverie.training.loop import TrainResult, train
from reverie.training.objective import Objective
from reverie.training.settings import LoopConfig

__all__ = ["go_on", "note_settings"]


def go_on(objective: Objective, loop: LoopConfig, run_dir: Path, progress: Progress = no_progress) -> TrainResult:
    """``train``, from the newest checkpoint where there is one. Raises TrainingError as ``train`` does."""
    progress("training", 0, loop.steps)
    resume = (run_dir / "config.json").exists()
    done = train(objective, loop, run_dir, resume, progress is not no_progress)
    return replace(done, message=done.message.replace("Go on with --resume.", "The same command goes on."))


def note_settings(now: Mapping[str, Any], run_dir: Path, free: set[str]) -> None:
    """Keep the settings of a run beside it. TrainingError where it holds a run whose others than ``free`` differ.

    A flow that was fitted by other settings is removed: it is fitted anew, and the networks stay.
    """
    path = run_dir / "recipe.json"
    before = read_object(path, TrainingError, "the recipe of the run") if path.exists() else dict(now)
    for key in now.keys() - free - {"loop"}:  # the loop says itself which of its settings may change
        if before.get(key) != now[key]:
            raise TrainingError(f"{run_dir} holds a run with another '{key}'. Give it as it was, or another run_dir.")
    if any(before.get(key) != now[key] for key in ("fit", "views")):
        shutil.rmtree(run_dir / "flow", ignore_errors=True)
    atomic_write_json(path, now)
