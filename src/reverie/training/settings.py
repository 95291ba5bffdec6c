"""What the training loop can be told, as one frozen dataclass."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from reverie.errors import ConfigError
from reverie.precision import Precision

__all__ = ["LoopConfig"]

Schedule = Literal["cosine", "wsd", "constant"]
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class LoopConfig:
    steps: int = 1000  # optimizer steps of the whole run
    lr: float = 1e-3  # peak learning rate of AdamW (with muon_lr: of embeddings, heads, norms and biases alone)
    muon_lr: float = 0.0  # peak learning rate of Muon for hidden 2-D matrices, on AdamW's scale; 0: AdamW for all
    weight_decay: float = 0.1  # decoupled; on matrices and convolutions, not on embeddings, norms and biases
    betas: tuple[float, float] = (0.9, 0.95)  # AdamW's averaging of gradients and of their squares
    schedule: Schedule = "cosine"  # wsd: constant, then linear over the last steps
    warmup_steps: int = 50  # steps of linear rise to the peak
    decay_fraction: float = 0.2  # wsd: the share of the steps that decay
    final_lr_fraction: float = 0.1  # learning rate at the last step, as a share of the peak
    accumulate: int = 1  # micro-batches per step
    clip_norm: float = 1.0  # the largest gradient norm let through; 0: no clipping
    precision: Precision = "auto"  # bf16 is autocast, with weights and optimizer in fp32; auto: where it is faster
    ema_decay: float = 0.0  # moving average of the weights, used to evaluate and export; 0: none
    eval_every: int = 200  # steps; 0: at the end alone
    patience: int = 0  # evaluations without a better ``watch`` before stopping early with the best weights; 0: never
    watch: str = "loss"  # the figure of ``evaluate`` that patience looks at: the lower, the better
    checkpoint_every: int = 200  # steps; 0: at the end alone
    log_every: int = 20  # steps averaged into one line of metrics.jsonl
    keep_checkpoints: int = 2  # newest ones kept on disk
    max_bad_steps: int = 10  # steps in a row with a loss or gradient that is not finite before giving up
    max_minutes: float = 0.0  # save and stop after this long in one call; 0: no limit
    seed: int = 0  # of torch's, numpy's and Python's global generators, set once at the start
    device: Device = "auto"
    num_threads: int = 0  # CPU threads of torch; 0: as they are. Another number rounds sums differently
    num_workers: int = 0  # processes that build batches ahead; 0: in the loop itself. The batches are the same
    compile: bool = False  # torch.compile of the forward pass, where a compiler is there; rounds sums differently
    tensorboard: bool = True  # event files in the run folder, where tensorboard is installed
    curves: bool = True  # curves.png in the run folder, drawn when a call ends, where matplotlib is installed

    def __post_init__(self) -> None:
        at_least_one = ("steps", "accumulate", "log_every", "keep_checkpoints", "max_bad_steps")
        for name in at_least_one:
            _check(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        not_negative = ("muon_lr", "weight_decay", "warmup_steps", "clip_norm", "eval_every", "checkpoint_every")
        for name in (*not_negative, "patience", "max_minutes", "num_threads", "num_workers", "seed"):
            _check(0 <= getattr(self, name) < math.inf, name, "0 or more", getattr(self, name))
        for name in ("decay_fraction", "final_lr_fraction"):
            _check(0 <= getattr(self, name) <= 1, name, "between 0 and 1", getattr(self, name))
        _check(
            not self.patience or self.eval_every > 0,
            "eval_every",
            "1 or more where there is patience (patience=0 for none)",
            self.eval_every,
        )
        _check(0 < self.lr < math.inf, "lr", "above 0", self.lr)
        _check(0 <= self.ema_decay < 1, "ema_decay", "0 or more and below 1", self.ema_decay)
        _check(all(0 <= beta < 1 for beta in self.betas), "betas", "two numbers of 0 or more, below 1", self.betas)
        for name, choices in (("schedule", Schedule), ("precision", Precision), ("device", Device)):
            given, known = getattr(self, name), get_args(choices)
            _check(given in known, name, f"one of {', '.join(known)}", given)


def _check(fine: bool, name: str, wanted: str, given: object) -> None:
    if not fine:
        raise ConfigError(f"{name} must be {wanted}, got {given}")
