"""A run's folder. It holds one run, and the same command goes on with it.

run_dir/
    recipe.json          everything that was asked for, where more was than the loop's settings
    made.json            which recipe that is, hashes of the files it learns from, what it ran on: see replay.py
    config.json          the loop's settings, with the precision that was chosen
    before.json          figures before the first step, where the product says what training changed
    metrics.jsonl        the log: see runlog.py
    tensorboard/         the same for TensorBoard
    curves.png           the same as a picture
    checkpoint-000120/   see checkpoint.py
    result.json          how the run ended; absent until it is done
    export/              the product
"""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from reverie.errors import TrainingError, shorten
from reverie.files import atomic_write_json, remove_leftovers
from reverie.jsonio import read_object
from reverie.precision import ChosenPrecision
from reverie.ranks import leads
from reverie.settings import settings_to_dict
from reverie.training.settings import LoopConfig

__all__ = ["RunDir", "Stopped", "TrainResult", "check_same", "described", "differing", "finite", "stop_name"]

Stopped = Literal["done", "interrupted", "time"]
# Settings that may change when a run goes on. All but ``steps`` leave the weights as they would have been, ``compile``
# to rounding; of ``precision``, "auto" goes on in the one that was chosen.
FREE_SETTINGS = {
    "steps", "eval_every", "checkpoint_every", "log_every", "keep_checkpoints", "max_minutes", "device", "num_threads",
    "num_workers", "compile", "tensorboard", "curves", "precision",
}  # fmt: skip


@dataclass(frozen=True)
class TrainResult:
    """How a call of ``train`` ended. ``metrics``: the last figures of ``evaluate`` and the last averaged losses."""

    step: int
    metrics: dict[str, float]
    stopped: Stopped
    message: str  # one line for the user; says how to go on where there is something to go on with
    signal: int = 0  # that interrupted it
    rank: int = 0  # of the process, where several trained: only the first has written anything, and tells it

    @property
    def leads(self) -> bool:
        return self.rank == 0

    @property
    def exit_code(self) -> int:
        """What a command ends with: 0, or as a shell names the signal (130 for Ctrl-C, 143 for SIGTERM)."""
        return 128 + self.signal if self.signal else 0


class RunDir:
    """The settings, figures and result of the run in a folder; checkpoints and log have modules of their own."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.export = self.path / "export"

    def prepare(self) -> None:
        """Make the folder, without what a killed writer left in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.path)

    def check(self, settings: Mapping[str, Any], free: Collection[str] = ()) -> set[str]:
        """The top keys of ``settings`` (JSON-ready) that are not as ``recipe.json`` has them; none where there is none.

        ``free``: dotted keys that may change, with all below them. Raises TrainingError that names the first other one.
        """
        path, changed = self.path / "recipe.json", set[str]()
        if path.exists():
            for key, was, now in differing(read_object(path, TrainingError, "the recipe of the run"), settings):
                if not any(key == one or key.startswith(f"{one}.") for one in free):
                    raise TrainingError(another_run(self.path, key, was, now))
                changed.add(key.split(".")[0])
        return changed

    def note(self, settings: Mapping[str, Any], free: Collection[str] = ()) -> set[str]:
        """``check``, then keep ``settings`` in ``recipe.json``, where this process leads."""
        changed = self.check(settings, free)
        if leads():
            atomic_write_json(self.path / "recipe.json", settings)
        return changed

    def begin(self, config: LoopConfig, precision: ChosenPrecision) -> None:
        """Keep the loop's settings. The run is not done from here on."""
        atomic_write_json(self.path / "config.json", described(config, precision))
        self._result.unlink(missing_ok=True)

    def before(self, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
        """The figures before the first step: kept ones, else measured now."""
        path = self.path / "before.json"
        if not self.has_before:
            atomic_write_json(path, finite(measure()))
        return read_object(path, TrainingError, "the figures before the run")

    @property
    def has_before(self) -> bool:
        return (self.path / "before.json").exists()

    def end(self, config: LoopConfig, step: int, metrics: Mapping[str, float], weights: str) -> None:
        """The run is done: ``result`` says so from here on. ``weights``: their hash, for ``replay``."""
        said = {"step": step, "steps": config.steps, "metrics": finite(metrics), "weights": weights}
        atomic_write_json(self._result, said)

    def result(self, config: LoopConfig) -> TrainResult | None:
        """How the run ended; None where it is not done, or ``config`` wants another number of steps.

        Raises TrainingError where ``config`` is another run's.
        """
        if not (self._result.exists() and self.export.is_dir()):
            return None
        found = read_object(self._result, TrainingError, "the result of the run")
        if found.get("steps") != config.steps:
            return None
        check_same(read_object(self.path / "config.json", TrainingError, "the settings of the run"), config, self.path)
        step = int(found["step"])
        message = f"done already: {step} steps, exported to {self.export}. Another run needs another run_dir."
        return TrainResult(step, dict(found["metrics"]), "done", message)

    @property
    def _result(self) -> Path:
        return self.path / "result.json"


def described(config: LoopConfig, precision: ChosenPrecision) -> dict[str, Any]:
    """The loop's settings, JSON-ready, with the precision that was chosen."""
    chosen = {"chosen_precision": precision.name, "precision_reason": precision.reason}
    return settings_to_dict(config) | chosen


def check_same(before: Mapping[str, Any], config: LoopConfig, where: Path) -> Literal["bf16", "fp32"]:
    """The precision of a run that was ``described`` so, and goes on by ``config``.

    Raises TrainingError where ``config`` has another setting than it, and names it.
    """
    now = settings_to_dict(config)
    for name, value in before.items():
        if name in now and name not in FREE_SETTINGS and now[name] != value:
            raise TrainingError(another_run(where, name, value, now[name]))
    chosen: Literal["bf16", "fp32"] = before.get("chosen_precision", before.get("precision"))
    if config.precision not in ("auto", chosen):
        raise TrainingError(another_run(where, "precision", chosen, config.precision))
    return chosen


def finite(figures: Mapping[str, float]) -> dict[str, float]:
    """Those that JSON can hold."""
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """(dotted key, value before, value now) of every setting that is not the same; None where one is not there."""
    old, new = dict(_leaves(before)), dict(_leaves(now))
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield key, old.get(key), new.get(key)


def another_run(where: Path, key: str, was: Any, now: Any) -> str:
    """One line that names the setting that differs."""
    old, new = ("nothing" if value is None else shorten(str(value)) for value in (was, now))
    return f"cannot go on in {where}: {key} was {old} and is {new} now. Give it as it was, or another run_dir."


def stop_name(number: int) -> str:
    """What a signal is called by people."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


def _leaves(settings: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value
