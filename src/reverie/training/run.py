"""The state of a run: what changes from step to step and goes into its checkpoints."""

from __future__ import annotations

import logging
import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.errors import TrainingError
from reverie.precision import ChosenPrecision, choose_precision
from reverie.ranks import local_rank
from reverie.training import checkpoint
from reverie.training.compiling import Compiled
from reverie.training.objective import KeepsState, Objective, to_device
from reverie.training.optim import MovingAverage, build_optimizers, lr_fraction, set_lr_fraction
from reverie.training.processes import Processes, Taken, seed_micro_batch
from reverie.training.rundir import check_same, described, finite
from reverie.training.settings import LoopConfig
from reverie.training.stops import GivenUp

__all__ = ["Run"]

logger = logging.getLogger("reverie.training")


@dataclass
class _Window:
    """Sums since the last line of the log."""

    sums: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    good_steps: int = 0
    steps: int = 0
    num_ids: float = 0.0
    seconds: float = 0.0


@dataclass
class _Best:
    """The best evaluation so far, for early stopping."""

    value: float = math.inf
    step: int = 0
    evaluations: int = 0  # since then
    weights: dict[str, Tensor] = field(default_factory=dict)


class Run:
    """What changes from step to step: all of it, the objective's data aside, goes into a checkpoint."""

    def __init__(self, objective: Objective, config: LoopConfig, processes: Processes | None = None):
        self.processes = processes or Processes()
        self.share = self.processes.share(config.accumulate)
        if self.processes.count > 1 and isinstance(objective, KeepsState):
            raise TrainingError(
                f"{type(objective).__name__} remembers something from one micro-batch to the next, which "
                f"{self.processes.count} processes cannot share. Start it without a launcher."
            )
        if config.num_threads:
            torch.set_num_threads(config.num_threads)
        torch.manual_seed(config.seed)
        np.random.seed(config.seed % 2**32)
        random.seed(config.seed)
        self.objective, self.config, self.device = objective, config, _pick_device(config.device)
        self.precision = choose_precision(config.precision, self.device.type)
        self.module = objective.module.to(self.device).train()
        self.parameters = [p for p in self.module.parameters() if p.requires_grad]
        if not self.parameters:
            raise TrainingError(f"{type(objective).__name__} has no parameter to train: all are frozen")
        self.processes.start_alike([*checkpoint.named_tensors(self.module).values()])
        self.compute_loss = Compiled(objective, self.device) if config.compile else objective.compute_loss
        self.optimizers = build_optimizers(self.module, config)
        self.average = MovingAverage(self.module, config.ema_decay) if config.ema_decay else None
        self.step = 0
        self.bad_steps = 0
        self.bad_in_a_row = 0
        self.seconds = 0.0  # in steps, over all calls
        self.metrics: dict[str, float] = {}
        self.window = _Window()
        self.best = _Best()
        self.owes_evaluation = False  # of the step that was taken last
        self.giving_up: Callable[[], AbstractContextManager[None]] = nullcontext

    def take_step(self, batches: Iterator[Any]) -> bool:
        """One optimizer step; False where loss or gradient is not finite, which leaves the weights as they were."""
        started = time.monotonic()
        fraction = lr_fraction(self.step, self.config)
        set_lr_fraction(self.optimizers, fraction)
        states = checkpoint.random_states() if self.giving_up is not nullcontext else None
        try:
            with self.giving_up():
                sums = self._gradients(batches)
        except GivenUp:
            self._forget_gradients()
            if states is not None:
                checkpoint.restore_random_states(states)
            raise
        values = dict(zip(sums, torch.stack([*sums.values()]).tolist(), strict=True))  # one wait for the device a step
        finite = math.isfinite(values["loss"]) and math.isfinite(values["grad_norm"])
        if finite:
            for optimizer in self.optimizers.values():
                optimizer.step()
            if self.average is not None:
                self.average.update(self.step)
        self._forget_gradients()
        self.step += 1
        self._count(values | {"lr": self.config.lr * fraction}, finite, time.monotonic() - started)
        return finite

    def _gradients(self, batches: Iterator[Any]) -> dict[str, Tensor]:
        """Leave a step's gradients in the parameters; its loss parts and the gradients' norm."""
        sums: dict[str, Tensor] = {}
        taken = Taken(self.parameters) if self.processes.count > 1 else None
        for number, batch in zip(self.share, batches, strict=False):
            if taken is not None:
                seed_micro_batch(self.config.seed, self.step * self.config.accumulate + number)
            parts = self._backward(to_device(batch, self.device))
            if taken is not None:
                taken.take(parts)
            for name, value in parts.items():
                sums[name] = sums[name] + value if name in sums else value
        if taken is not None:
            sums = self.processes.add_up(taken)
        sums["grad_norm"] = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip_norm or math.inf)
        return sums

    def _forget_gradients(self) -> None:
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)

    def _backward(self, batch: Any) -> dict[str, Tensor]:
        """Add one micro-batch's share to the gradients; its share of every loss part, and its whole ``num_ids``."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision.name == "bf16"):
            parts = self.compute_loss(batch)
        share = 1 / self.config.accumulate
        (parts["loss"] * share).backward()
        return {
            name: value.detach().to(self.device, torch.float32).reshape(()) * (1.0 if name == "num_ids" else share)
            for name, value in parts.items()
        }

    def _count(self, values: dict[str, float], finite: bool, seconds: float) -> None:
        self.seconds += seconds
        self.window.seconds += seconds
        self.window.steps += 1
        self.bad_in_a_row = 0 if finite else self.bad_in_a_row + 1
        if not finite:
            self.bad_steps += 1
            text = f"loss {values['loss']:.4g}, gradient norm {values['grad_norm']:.4g}"
            logger.warning("step %d skipped, not finite: %s (%d in a row)", self.step, text, self.bad_in_a_row)
            return
        self.window.good_steps += 1
        self.window.num_ids += values.pop("num_ids", 0.0)
        for name, value in values.items():
            self.window.sums[name] += value

    def averages(self) -> dict[str, float]:
        """Losses and rates since the last call."""
        window, self.window = self.window, _Window()
        values = {name: total / window.good_steps for name, total in window.sums.items()} or {"loss": math.nan}
        values["steps_per_s"] = window.steps / max(window.seconds, 1e-9)
        if window.num_ids:
            values["ids_per_s"] = window.num_ids / max(window.seconds, 1e-9)
        values |= {"bad_steps": self.bad_steps, "seconds": self.seconds}
        self.metrics |= values
        return values

    def evaluate(self) -> dict[str, float]:
        """``figures``, which the run's own and its patience go by."""
        figures = self.figures()
        if self.config.patience:
            with self.average_applied():
                self._compare(figures)
        self.owes_evaluation = False
        self.metrics |= figures
        return figures

    def figures(self) -> dict[str, float]:
        """The objective's figures with the averaged weights; leaves weights and random states as they were."""
        return self.processes.from_leader(self._figures)

    def _figures(self) -> dict[str, float]:
        self.module.eval()
        try:
            with checkpoint.kept_random_states(), self.average_applied(), torch.no_grad(), self.giving_up():
                return {name: float(value) for name, value in self.objective.evaluate(self.step).items()}
        finally:
            self.module.train()

    def _compare(self, figures: dict[str, float]) -> None:
        """Keep the weights (the averaged ones where there are) of the best evaluation so far."""
        if self.config.watch not in figures:
            known = ", ".join(sorted(figures))
            raise TrainingError(f"patience watches '{self.config.watch}', which is not evaluated; there are {known}")
        if (value := figures[self.config.watch]) < self.best.value:
            tensors = {name: tensor.detach().clone() for name, tensor in checkpoint.named_tensors(self.module).items()}
            self.best = _Best(value, self.step, 0, tensors)
        else:
            self.best.evaluations += 1

    @property
    def out_of_patience(self) -> bool:
        return 0 < self.config.patience <= self.best.evaluations

    def finish(self) -> None:
        """Eval mode, with the weights of the best evaluation where one was kept."""
        self.module.eval()
        if self.best.weights:
            checkpoint.load_tensors(checkpoint.named_tensors(self.module), self.best.weights, "tensor")

    def average_applied(self) -> AbstractContextManager[None]:
        return self.average.applied() if self.average is not None else nullcontext()

    def save(self, run_dir: Path) -> None:
        """Write a checkpoint; the leader does it for all processes."""
        if not self.processes.leads:
            return
        tensors = {
            "weights": checkpoint.named_tensors(self.module),
            "optimizer": checkpoint.optimizer_tensors(self.optimizers, self.module),
        }
        if self.average is not None:
            tensors["average"] = self.average.tensors
        if self.best.weights:
            tensors["best"] = self.best.weights
        counters = {name: getattr(self, name) for name in ("step", "bad_steps", "bad_in_a_row", "seconds")}
        best = {name: getattr(self.best, name) for name in ("value", "step", "evaluations")}
        state = counters | ({"best": best} if self.best.weights else {})
        state |= {"config": described(self.config, self.precision), "random": checkpoint.random_states()}
        state |= {"metrics": finite(self.metrics), "owes_evaluation": self.owes_evaluation}
        checkpoint.save_checkpoint(run_dir, self.step, tensors, state)
        checkpoint.prune_checkpoints(run_dir, self.config.keep_checkpoints)

    def restore(self, folder: Path) -> None:
        tensors, state = checkpoint.load_checkpoint(folder)
        if (chosen := check_same(state["config"], self.config, folder)) != self.precision.name:
            logger.warning("going on in %s, as the run was started, although %s", chosen, self.precision.reason)
            self.precision = ChosenPrecision(chosen, "the run was started in it")
        if (before := state["config"]["steps"]) != self.config.steps:
            logger.warning("steps was %d and is %d now: the schedule is another from here", before, self.config.steps)
        checkpoint.load_tensors(checkpoint.named_tensors(self.module), tensors["weights"], "tensor")
        checkpoint.restore_optimizers(self.optimizers, self.module, tensors["optimizer"])
        if self.average is not None:
            checkpoint.load_tensors(self.average.tensors, tensors["average"], "average")
        if "best" in state:
            self.best = _Best(**state["best"], weights=tensors["best"])
        checkpoint.restore_random_states(state["random"])
        for name in ("step", "bad_steps", "bad_in_a_row", "seconds"):
            setattr(self, name, state[name])
        self.metrics, self.owes_evaluation = state.get("metrics", {}), state.get("owes_evaluation", False)
        logger.info("resuming at step %d from %s", self.step, folder)


def _pick_device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("device is cuda, but torch sees no CUDA device here. Give device=auto or device=cpu.")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    if (count := torch.cuda.device_count()) > 1:
        torch.cuda.set_device(local_rank() % count)
    return torch.device("cuda")
