"""What the loop trains: the contract of an objective, a toy one, and the checker that every objective must pass."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from reverie.errors import TrainingError
from reverie.files import atomic_write_json
from reverie.progress import Progress
from reverie.training.checkpoint import kept_random_states, named_tensors, random_states

__all__ = [
    "METRICS",
    "Compared",
    "GivesUp",
    "KeepsState",
    "Named",
    "Objective",
    "ToyObjective",
    "check_objective",
    "to_device",
]

METRICS = (  # what many objectives have, by one name in every log; a part or figure of that name is one already
    "reconstruction", "distillation", "ewc", "graph_accuracy", "adaptation_rate", "perplexity", "reward",
)  # fmt: skip
Batch = Any  # a tensor, or a dict, list or tuple of batches; anything else passes through as it is


class Objective(Protocol):
    """One thing to train. The loop owns the steps; the objective owns the data, the loss and the product."""

    @property
    def module(self) -> nn.Module: ...

    def batch(self, step: int) -> Batch:
        """Micro-batch number ``step``: a pure function of the objective's own seed and ``step``.

        It draws from generators that it makes from the two, never from global ones, so that data order resumes for
        free. With ``num_workers`` it runs in another process, so it gives CPU tensors; the loop moves them.
        """
        ...

    def compute_loss(self, batch: Batch) -> dict[str, Tensor]:
        """The entry ``loss`` (a scalar to go down) and named scalar parts for the log.

        An entry ``num_ids`` is no part but a count: how many ids the batch holds, for the speed.
        """
        ...

    def evaluate(self, step: int) -> dict[str, float]:
        """Figures after ``step`` steps, on unseen data. Called in eval mode, without gradients or autocast."""
        ...

    def export(self, folder: Path) -> None:
        """Write the finished product into the existing, empty ``folder``: safetensors and JSON. Called in eval mode."""
        ...


@runtime_checkable
class Compared(Protocol):
    """An objective whose product says what training changed. The loop evaluates it before the first step, once a run.

    ``before``: the figures that were found then. ``progress``: told how far an evaluation is, since it may be long.
    """

    before: dict[str, float]
    progress: Progress


@runtime_checkable
class GivesUp(Protocol):
    """An objective whose steps and evaluations are long. ``compute_loss`` and ``evaluate`` leave it as it was, and
    may be given up halfway and begun anew."""

    gives_up: bool


@runtime_checkable
class KeepsState(Protocol):
    """An objective whose ``compute_loss`` remembers something from one micro-batch to the next, in buffers of its
    module, as a policy does that learns from its own dreams. Several processes cannot share it."""

    keeps_state: bool


@runtime_checkable
class Named(Protocol):
    """An objective that says which of its parts and figures are ``METRICS``: {"reconstruction": "mse"}. Perplexity is
    made of the nats an id that it names."""

    metrics: Mapping[str, str]


class ToyObjective:
    """Count on in steps of three, modulo ``size``: a small network learns it in a hundred steps."""

    def __init__(self, seed: int = 0, size: int = 16, width: int = 32, batch_size: int = 32):
        self.seed, self.size, self.batch_size = seed, size, batch_size
        with kept_random_states():
            torch.manual_seed(seed)
            self.module: nn.Module = nn.Sequential(
                nn.Embedding(size, width), nn.Linear(width, width), nn.GELU(), nn.Dropout(0.1), nn.LayerNorm(width),
                nn.Linear(width, size),
            )  # fmt: skip

    def batch(self, step: int) -> Tensor:
        rng = np.random.default_rng((self.seed, step))
        return torch.from_numpy(rng.integers(self.size, size=self.batch_size))  # (B,)

    def compute_loss(self, batch: Tensor) -> dict[str, Tensor]:
        logits = self.module(batch)  # (B, V)
        target = (batch + 3) % self.size
        right = (logits.argmax(-1) == target).float().mean()
        return {"loss": F.cross_entropy(logits, target), "right": right, "num_ids": torch.tensor(batch.numel())}

    def evaluate(self, step: int) -> dict[str, float]:
        numbers = torch.arange(self.size, device=next(self.module.parameters()).device)
        return {"exact": (self.module(numbers).argmax(-1) == (numbers + 3) % self.size).float().mean().item()}

    def export(self, folder: Path) -> None:
        save_file(named_tensors(self.module), folder / "model.safetensors")
        atomic_write_json(folder / "config.json", {"size": self.size})


def check_objective(objective: Objective) -> None:
    """Raise TrainingError, saying which promise of the contract ``objective`` breaks; None when it keeps them all.

    Tried on the CPU or wherever the module is, with the real ``batch``, ``compute_loss``, ``evaluate``, ``export``.
    """
    name = type(objective).__name__
    weights = {key: tensor.detach().clone() for key, tensor in objective.module.named_parameters()}
    if isinstance(objective, Named):
        strange = sorted(objective.metrics.keys() - set(METRICS))
        _demand(not strange, name, f"it names metrics that no log knows: {', '.join(strange)}")
    with kept_random_states():
        _check_batches(objective, name)
        _check_loss(objective, name)
        _check_figures(objective, name)
        _check_export(objective, name)
    for key, tensor in objective.module.named_parameters():
        _demand(torch.equal(tensor, weights[key]), name, f"computing, evaluating or exporting changed '{key}'")


def to_device(batch: Batch, device: torch.device) -> Batch:
    """``batch`` with every tensor in it on ``device``."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        return type(batch)(to_device(value, device) for value in batch)
    return batch


def _demand(kept: bool, name: str, otherwise: str) -> None:
    if not kept:
        raise TrainingError(f"{name} breaks the contract of an objective: {otherwise}")


def _check_batches(objective: Objective, name: str) -> None:
    _seed_all(1)
    first, later = objective.batch(0), objective.batch(7)
    _seed_all(2)
    before = random_states()
    again_later, again_first = objective.batch(7), objective.batch(0)
    _demand(_equal(first, again_first) and _equal(later, again_later), name, "batch(step) changes from call to call")
    _demand(random_states() == before, name, "batch(step) draws from a global random generator")


def _check_loss(objective: Objective, name: str) -> None:
    objective.module.train()
    device = next(objective.module.parameters()).device
    parts = objective.compute_loss(to_device(objective.batch(0), device))
    _demand("loss" in parts, name, f"compute_loss gives no 'loss', only {sorted(parts)}")
    for key, value in parts.items():
        _demand(isinstance(value, Tensor) and value.numel() == 1, name, f"compute_loss '{key}' is no scalar tensor")
        _demand(math.isfinite(value.item()), name, f"compute_loss '{key}' is {value.item()}")
    _demand(parts["loss"].requires_grad, name, "its loss has no gradient")
    parts["loss"].backward()
    reached = any(p.grad is not None and p.grad.abs().sum() > 0 for p in objective.module.parameters())
    objective.module.zero_grad()
    _demand(reached, name, "its loss moves no parameter of its module")


def _check_figures(objective: Objective, name: str) -> None:
    objective.module.eval()
    with torch.no_grad():
        figures = objective.evaluate(0)
    objective.module.train()
    for key, value in figures.items():
        _demand(isinstance(value, (int, float)) and math.isfinite(value), name, f"evaluate '{key}' is {value!r}")


def _check_export(objective: Objective, name: str) -> None:
    with TemporaryDirectory() as folder:
        objective.export(Path(folder))
        files = [file.name for file in Path(folder).rglob("*") if file.is_file()]
    _demand(bool(files), name, "export wrote no file")
    pickles = [file for file in files if file.endswith((".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt"))]
    _demand(not pickles, name, f"export wrote {', '.join(pickles)}; products are safetensors and JSON")


def _equal(a: Batch, b: Batch) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(_equal, a, b))
    return bool(a == b)


def _seed_all(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
