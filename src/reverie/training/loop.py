"""The one training loop. ``train`` reads top to bottom: prepare, step, log, evaluate, save, finish."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch.utils.data import DataLoader, Dataset

from reverie.errors import TrainingError, shorten
from reverie.files import atomic_folder
from reverie.progress import Progress, no_progress, shown_progress
from reverie.training import checkpoint
from reverie.training.curves import draw_curves
from reverie.training.objective import Compared, GivesUp, Named, Objective
from reverie.training.processes import joined
from reverie.training.run import Run
from reverie.training.rundir import RunDir, Stopped, TrainResult, finite, stop_name
from reverie.training.runlog import NoLog, RunLog
from reverie.training.settings import LoopConfig
from reverie.training.stops import GivenUp, Stops, noted_stops

__all__ = ["TrainResult", "export_checkpoint", "load_weights", "train", "watched"]

logger = logging.getLogger("reverie.training")
_SILENT_S = 20.0  # in steps, after which a line is due though ``log_every`` says otherwise


def train(
    objective: Objective,
    config: LoopConfig,
    run_dir: str | Path,
    progress: bool | Progress = True,
    alone: bool = False,
) -> TrainResult:
    """Train ``objective.module`` in place; checkpoints, metrics and, when done, ``run_dir/export`` are written.

    A run folder that holds a run is gone on with, from its newest whole checkpoint, as if it had never stopped; one
    that is done stays as it is. Ctrl-C, SIGTERM and ``max_minutes`` finish the step, save and return. ``progress``:
    who is told, True shows it on stderr. Where a launcher started several processes they share the work, see
    ``processes``; ``alone``: this one does not. Raises TrainingError where the run there has other settings or another
    model, or too many steps in a row are not finite.
    """
    place, started = RunDir(run_dir), time.monotonic()
    with joined(place.path, alone) as processes, watched(progress if processes.leads else False) as report:
        if processes.leads:  # before ``Run`` seeds: rich draws from Python's global generator
            place.prepare()
        run, found = Run(objective, config, processes), processes.from_leader(lambda: _newest(place))
        first = checkpoint.step_of(found) if found else 0
        with _log(run, place, first, report) as log, noted_stops() as stops:
            if found is None:
                _begin(run, place, log)
            if isinstance(objective, GivesUp) and processes.count == 1:
                run.giving_up = stops.giving_up
            stopped: Stopped = "interrupted"
            try:
                _compare(objective, run, place, log, report)
                if found is not None:
                    run.restore(found)
                    if (done := processes.from_leader(lambda: place.result(config))) and done.step == run.step:
                        run.finish()
                        return done
                    _begin(run, place, log)
                stopped, number = _steps(run, place, log, stops, started)
            except GivenUp:
                number = stops.number
                if found is None or run.step > first:
                    run.save(place.path)
        best = {f"best_{config.watch}": run.best.value, "best_step": run.best.step} if run.best.weights else {}
        metrics = run.metrics | best
        if stopped == "done":
            run.finish()
            if processes.leads:
                _export(run, place)
                weights = checkpoint.hash_weights(checkpoint.named_tensors(run.module))
                place.end(config, run.step, metrics, weights)
            processes.wait()
        if config.curves and processes.leads:
            draw_curves(place.path)
    message = _message(stopped, run.step, config, place, number)
    return TrainResult(run.step, metrics, stopped, message, number, processes.rank)


@contextmanager
def watched(progress: bool | Progress) -> Iterator[Progress]:
    """Yields whom to tell: ``progress`` itself, stderr for True, nobody for False."""
    if progress is True:
        with shown_progress() as report:
            yield report
    else:
        yield progress or no_progress


def _steps(run: Run, place: RunDir, log: RunLog | NoLog, stops: Stops, started: float) -> tuple[Stopped, int]:
    """Step after step until the run is done, or is asked to stop: why it stopped, and the signal that asked."""
    config, objective = run.config, run.objective
    batches = _micro_batches(objective, config, run.step, run.share)
    while run.owes_evaluation or (run.step < config.steps and not run.out_of_patience):
        if not run.owes_evaluation:
            if not run.take_step(batches) and run.bad_in_a_row >= config.max_bad_steps:
                last = next(reversed(checkpoint.checkpoint_folders(place.path)), "none")
                raise TrainingError(
                    f"{run.bad_in_a_row} steps in a row up to step {run.step} had a loss or gradient that is not "
                    f"finite. Last good checkpoint: {last}. Look at the data, or start another run dir with a lower lr."
                )
            if run.step == config.steps or run.step % config.log_every == 0 or run.window.seconds >= _SILENT_S:
                log.write(run.step, "train", run.averages())
            log.step_done(run.step)
            run.owes_evaluation = run.step == config.steps or _due(run.step, config.eval_every)
        if run.owes_evaluation:
            log.write(run.step, "evaluate", run.evaluate())
        last_step = run.step == config.steps or run.out_of_patience
        late = 0 < config.max_minutes * 60 <= time.monotonic() - started
        number, out_of_time = (0, 0) if last_step else run.processes.largest(stops.number, late)
        if last_step or number or out_of_time:
            run.save(place.path)
        elif _due(run.step, config.checkpoint_every):
            try:
                run.save(place.path)
            except checkpoint.NotSavedError as error:  # there may be room again at the next one
                logger.warning("%s Training goes on.", error)
        if number or out_of_time:
            return ("interrupted", int(number)) if number else ("time", 0)
    return "done", 0


def _export(run: Run, place: RunDir) -> None:
    try:
        with nullcontext() if run.best.weights else run.average_applied(), atomic_folder(place.export) as product:
            run.objective.export(product)
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"the product cannot be written to {place.export}: {shorten(str(error), 120)}. Its training is saved: make "
            "room, and give the same command again."
        ) from error


def _log(run: Run, place: RunDir, first: int, report: Progress) -> RunLog | NoLog:
    named = run.objective.metrics if isinstance(run.objective, Named) else {}
    return RunLog(place.path, first, run.config, report, named) if run.processes.leads else NoLog()


def _begin(run: Run, place: RunDir, log: RunLog | NoLog) -> None:
    if run.processes.leads:
        place.begin(run.config, run.precision)
    log.begin(run.step, run.config.precision, run.precision, run.device.type)


def _compare(objective: Objective, run: Run, place: RunDir, log: RunLog | NoLog, report: Progress) -> None:
    """Evaluate before the first step, where the product says what came of it: not again when a run goes on."""
    if isinstance(objective, Compared):
        objective.progress = report
        if not run.processes.from_leader(lambda: place.has_before):
            figures = run.figures()
            if run.processes.leads:
                place.before(lambda: figures)
            log.write(0, "evaluate", finite(figures))
        objective.before = run.processes.from_leader(lambda: place.before(dict))


def load_weights(objective: Objective, run_dir: str | Path) -> int:
    """Give ``objective.module`` the weights of a run's newest checkpoint, the moving average where it keeps one.

    Returns the checkpoint's step. For exports, and for a new run that starts from an old one's weights.
    """
    newest = checkpoint.newest_checkpoint(Path(run_dir))
    if newest is None:
        raise TrainingError(f"there is no checkpoint in {run_dir}")
    tensors, state = checkpoint.load_checkpoint(newest)
    if isinstance(objective, Compared):
        objective.before = RunDir(run_dir).before(dict)
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


def _micro_batches(objective: Objective, config: LoopConfig, step: int, share: Sequence[int]) -> Iterator[Any]:
    """Of each step from ``step`` to the end those of its micro-batches that ``share`` counts, in order, built ahead by
    ``num_workers`` processes where there are."""
    return iter(
        DataLoader(
            _MicroBatches(objective),
            batch_size=None,
            sampler=(at * config.accumulate + number for at in range(step, config.steps) for number in share),
            num_workers=config.num_workers,
            worker_init_fn=_leave_signals_to_the_loop,
            generator=torch.Generator(),  # its own: the loader must not draw from the one that resumes
        )
    )


def _leave_signals_to_the_loop(_worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to the workers too
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _newest(place: RunDir) -> Path | None:
    """The checkpoint to go on from, or None to start at step 0."""
    found = checkpoint.newest_checkpoint(place.path)
    if found:
        checkpoint.remove_newer(place.path, found)
    elif (place.path / "config.json").exists():
        logger.warning("%s holds no checkpoint yet; starting at step 0", place.path)
    return found


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _message(stopped: Stopped, step: int, config: LoopConfig, place: RunDir, number: int) -> str:
    if stopped == "done":
        return f"done: {step} steps, exported to {place.export}"
    why = f"stopped by {stop_name(number)}" if number else f"{config.max_minutes:g} minutes are over"
    return f"{why}: saved step {step} of {config.steps} in {place.path}. The same command goes on."
