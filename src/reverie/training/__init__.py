"""One training loop, many objectives. An objective brings a module, its data, its loss and its figures; the loop
brings everything else: schedule, optimizers, precision, checkpoints that resume bit for bit, metrics and a clean
stop. Read ``loop.py`` first, then ``objective.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reverie.training.settings import LoopConfig

if TYPE_CHECKING:
    from reverie.training.loop import TrainResult, export_checkpoint, load_weights, train
    from reverie.training.objective import Objective, ToyObjective, check_objective

__all__ = [
    "LoopConfig",
    "Objective",
    "ToyObjective",
    "TrainResult",
    "check_objective",
    "export_checkpoint",
    "load_weights",
    "train",
]


def __getattr__(name: str) -> Any:
    """Load what needs torch on first use, so that naming a setting stays light."""
    if name in ("TrainResult", "export_checkpoint", "load_weights", "train"):
        from reverie.training import loop

        return getattr(loop, name)
    if name in ("Objective", "ToyObjective", "check_objective"):
        from reverie.training import objective

        return getattr(objective, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
