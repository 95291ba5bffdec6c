"""The one training loop. ``train`` reads top to bottom: prepare, step, log, evaluate, save, finish."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import torch
from torch.utils.data import DataLoader, Dataset

from reverie.errors import TrainingError
from reverie.files import atomic_folder, remove_leftovers
from reverie.settings import save_settings
from reverie.training import checkpoint
from reverie.training.objective import Objective
from reverie.training.run import Run
from reverie.training.runlog import RunLog
from reverie.training.settings import LoopConfig

__all__ = ["TrainResult", "export_checkpoint", "load_weights", "train"]

logger = logging.getLogger("reverie.training")


@dataclass(frozen=True)
class TrainResult:
    """How a call of ``train`` ended. ``metrics``: the last figures of ``evaluate`` and the last averaged losses."""

    step: int
    metrics: dict[str, float]
    stopped: Literal["done", "interrupted", "time"]
    message: str  # one line for the user; says how to resume where there is something to resume


def train(
    objective: Objective, config: LoopConfig, run_dir: str | Path, resume: bool = False, progress: bool = True
) -> TrainResult:
    """Train ``objective.module`` in place; checkpoints, metrics and, when done, ``run_dir/export`` are written.

    ``resume`` goes on from the newest whole checkpoint as if the run had never stopped. Ctrl-C, SIGTERM and
    ``max_minutes`` finish the step, save and return. Raises TrainingError when the run dir does not fit ``resume``,
    the checkpoint does not fit the objective or the settings, or too many steps in a row are not finite.
    """
    run_dir, started = Path(run_dir), time.monotonic()
    folder = _prepare_run_dir(run_dir, resume)
    run = Run(objective, config)
    if folder is not None:
        run.restore(folder)
    save_settings(config, run_dir / "config.json")
    batches = _micro_batches(objective, config, run.step)
    stopped: Literal["done", "interrupted", "time"] = "done"
    with RunLog(run_dir, run.step, config, progress) as log, _stop_signals() as asked_to_stop:
        while run.step < config.steps and stopped == "done" and not run.out_of_patience:
            if not run.take_step(batches) and run.bad_in_a_row >= config.max_bad_steps:
                last = next(reversed(checkpoint.checkpoint_folders(run_dir)), "none")
                raise TrainingError(
                    f"{run.bad_in_a_row} steps in a row up to step {run.step} had a loss or gradient that is not "
                    f"finite. Last good checkpoint: {last}. Look at the data, or start another run dir with a lower lr."
                )
            log.step_done(run.step)
            last_step = run.step == config.steps
            if last_step or run.step % config.log_every == 0:
                log.write(run.step, "train", run.averages())
            if last_step or _due(run.step, config.eval_every):
                log.write(run.step, "evaluate", run.evaluate())
                last_step = last_step or run.out_of_patience
            if not last_step:
                out_of_time = config.max_minutes and time.monotonic() - started >= config.max_minutes * 60
                stopped = "interrupted" if asked_to_stop() else "time" if out_of_time else "done"
            if last_step or stopped != "done" or _due(run.step, config.checkpoint_every):
                run.save(run_dir)
    if stopped == "done":
        run.module.eval()
        run.take_best()
        with nullcontext() if run.best.weights else run.average_applied(), atomic_folder(run_dir / "export") as product:
            objective.export(product)
    best = {f"best_{config.watch}": run.best.value, "best_step": run.best.step} if run.best.weights else {}
    return TrainResult(run.step, run.metrics | best, stopped, _message(stopped, run.step, config, run_dir))


def load_weights(objective: Objective, run_dir: str | Path) -> int:
    """Give ``objective.module`` the weights of a run's newest checkpoint, the moving average where it keeps one.

    Returns the checkpoint's step. For exports, and for a new run that starts from an old one's weights.
    """
    newest = checkpoint.newest_checkpoint(Path(run_dir))
    if newest is None:
        raise TrainingError(f"there is no checkpoint in {run_dir}")
    tensors, state = checkpoint.load_checkpoint(newest)
    weights = tensors["weights"] | tensors.get("average", {})
    checkpoint.load_tensors(checkpoint.named_tensors(objective.module), weights, "tensor")
    return int(state["step"])


def export_checkpoint(objective: Objective, run_dir: str | Path, folder: str | Path) -> int:
    """Export the newest checkpoint of a run, stopped or still going, as ``folder``; returns its step."""
    step = load_weights(objective, run_dir)
    objective.module.eval()
    with atomic_folder(folder) as product:
        objective.export(product)
    return step


class _MicroBatches(Dataset[Any]):
    def __init__(self, objective: Objective):
        self.objective = objective

    def __getitem__(self, index: int) -> Any:
        return self.objective.batch(index)


def _micro_batches(objective: Objective, config: LoopConfig, step: int) -> Iterator[Any]:
    """Micro-batches from ``step`` to the end, in order, built ahead by ``num_workers`` processes where there are."""
    return iter(
        DataLoader(
            _MicroBatches(objective),
            batch_size=None,
            sampler=range(step * config.accumulate, config.steps * config.accumulate),
            num_workers=config.num_workers,
            worker_init_fn=_leave_signals_to_the_loop,
            generator=torch.Generator(),  # its own: the loader must not draw from the one that resumes
        )
    )


def _leave_signals_to_the_loop(_worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to the workers too
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _prepare_run_dir(run_dir: Path, resume: bool) -> Path | None:
    """The checkpoint to go on from, or None to start at step 0."""
    if not resume and checkpoint.checkpoint_folders(run_dir):
        raise TrainingError(f"{run_dir} already holds a run. Give --resume to go on with it, or another run dir.")
    if resume and not (run_dir / "config.json").exists():
        raise TrainingError(f"there is no run in {run_dir} to resume. Look at the path, or start without --resume.")
    run_dir.mkdir(parents=True, exist_ok=True)
    remove_leftovers(run_dir)
    folder = checkpoint.newest_checkpoint(run_dir) if resume else None
    if folder is not None:
        checkpoint.remove_newer(run_dir, folder)
    if resume and folder is None:
        logger.warning("%s holds no checkpoint yet; starting at step 0", run_dir)
    return folder


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Inside the block Ctrl-C and SIGTERM are noted, for the loop to ask about; a second one acts at once."""
    asked: list[int] = []
    before: dict[int, Any] = {}

    def note(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        signal.signal(number, before[number])

    if threading.current_thread() is threading.main_thread():  # only there can Python set handlers
        before = {number: signal.signal(number, note) or signal.SIG_DFL for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _message(stopped: str, step: int, config: LoopConfig, run_dir: Path) -> str:
    if stopped == "done":
        return f"done: {step} steps, exported to {run_dir / 'export'}"
    why = "stopped as asked" if stopped == "interrupted" else f"{config.max_minutes:g} minutes are over"
    return f"{why}: saved step {step} of {config.steps} in {run_dir}. Go on with --resume."
