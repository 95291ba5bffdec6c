"""Runs a run again by what its folder says, and compares: the same weights, bit for bit, or how far apart they are."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

import reverie
from reverie.errors import TrainingError, UsageError
from reverie.files import atomic_write_json, sha256_of
from reverie.jsonio import read_object
from reverie.progress import Progress
from reverie.settings import build_settings, settings_to_dict
from reverie.training import checkpoint

if TYPE_CHECKING:
    from reverie.training.recipes import Recipe
    from reverie.training.rundir import TrainResult

__all__ = ["Replayed", "read_recipe", "remember", "replay"]

_FILE = "made.json"
_TIMES = {"seconds", "steps_per_s", "ids_per_s"}  # never the same


@dataclass(frozen=True)
class Replayed:
    """How a run that was run again compares. ``changed``: what is not as it was, such as a file it learned from."""

    run_dir: Path  # of the second run
    equal: bool  # the same weights, bit for bit
    difference: float  # the greatest of any weight; infinite where they have other shapes
    figures: dict[str, tuple[float, float]]  # then and now, of those that differ
    changed: tuple[str, ...]

    @property
    def message(self) -> str:
        """One line for people."""
        if self.equal:
            return f"equal: {self.run_dir} has the same weights, bit for bit"
        why = f"; since then changed: {', '.join(self.changed)}" if self.changed else ""
        return f"not equal: the greatest difference of a weight is {self.difference:.3g}{why}"


def remember(recipe: Recipe) -> None:
    """Keep in the run's folder which recipe it is of, what it learns from, and what it runs on."""
    kind = type(recipe)
    said = {"recipe": f"{kind.__module__}:{kind.__qualname__}", "files": _files(recipe), "runs_on": _machine()}
    path = Path(recipe.run_dir) / _FILE
    if not path.exists():
        atomic_write_json(path, said)


def read_recipe(run_dir: Path) -> Recipe:
    """The recipe of the run in ``run_dir``, as it was. Raises UsageError where the folder does not say."""
    if not (run_dir / _FILE).exists():
        raise UsageError(f"{run_dir} does not say how it was made ({_FILE}): only runs by a recipe can be run again")
    said = read_object(run_dir / _FILE, TrainingError, "how the run was made")
    module, _, name = str(said.get("recipe")).partition(":")
    try:
        kind = getattr(importlib.import_module(module), name) if module.startswith("reverie") else None
    except (ImportError, AttributeError, ValueError):
        kind = None
    if not (isinstance(kind, type) and is_dataclass(kind) and hasattr(kind, "train")):
        raise UsageError(f"{run_dir} was made by a recipe that is not known here: {said.get('recipe')}")
    made = build_settings(kind, read_object(run_dir / "recipe.json", TrainingError, "the recipe of the run"))
    return cast("Recipe", made)


def replay(run_dir: Path, into: Path, progress: bool | Progress = True) -> tuple[TrainResult, Replayed | None]:
    """Train again in ``into`` what ``run_dir`` holds, which must be done, and compare; None where it was stopped.

    Raises UsageError where ``run_dir`` holds no run that is done.
    """
    recipe = read_recipe(run_dir)
    before = _result(run_dir)
    again: Any = replace(recipe, run_dir=str(into))  # type: ignore[type-var]
    trained: TrainResult = again.train(progress)
    if trained.stopped != "done":
        return trained, None
    now = _result(into)
    difference = 0.0
    if not (equal := before["weights"] == now["weights"]):
        difference = _difference(*(_weights(place) for place in (run_dir, into)))
    old, new = before["metrics"], now["metrics"]
    both = (old.keys() & new.keys()) - _TIMES
    figures = {name: (old[name], new[name]) for name in sorted(both) if old[name] != new[name]}
    return trained, Replayed(into, equal, difference, figures, tuple(_changed(run_dir, recipe)))


def _result(run_dir: Path) -> dict[str, Any]:
    path = run_dir / "result.json"
    if not path.exists():
        raise UsageError(f"the run in {run_dir} is not done; the command that started it goes on with it")
    said = read_object(path, TrainingError, "the result of the run")
    if "weights" not in said:
        raise UsageError(f"the run in {run_dir} is from before runs kept a hash of their weights: no comparing it")
    return said


def _weights(run_dir: Path) -> dict[str, Tensor]:
    newest = checkpoint.newest_checkpoint(run_dir)
    return {} if newest is None else checkpoint.load_checkpoint(newest)[0]["weights"]


def _difference(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    if {name: tensor.shape for name, tensor in one.items()} != {name: tensor.shape for name, tensor in other.items()}:
        return float("inf")
    return max((float((one[name].double() - other[name].double()).abs().max()) for name in one), default=0.0)


def _changed(run_dir: Path, recipe: Recipe) -> Iterator[str]:
    said = read_object(run_dir / _FILE, TrainingError, "how the run was made")
    now = {"files": _files(recipe), "runs_on": _machine()}
    for part in ("files", "runs_on"):
        old = said.get(part) or {}
        for name in sorted(old.keys() | now[part].keys()):
            if old.get(name) != now[part].get(name):
                values = "" if part == "files" else f" ({old.get(name)}, now {now[part].get(name)})"
                yield f"{name}{values}"


def _machine() -> dict[str, str]:
    threads = str(torch.get_num_threads())
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return {"reverie": reverie.__version__, "torch": torch.__version__, "threads": threads, "device": device}


def _files(recipe: Recipe) -> dict[str, str]:
    """The hash of every file that a setting of ``data`` names."""
    said = settings_to_dict(recipe.data)
    return {name: sha256_of(path) for name, value in _texts(said, "data") if value and (path := Path(value)).is_file()}


def _texts(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _texts(each, f"{name}.{key}")
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from _texts(each, f"{name}.{place}")
