"""Fitting priors to the latents of a trained encoder."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from reverie.errors import ConfigError, MissingExtraError, TrainingError
from reverie.generator.priors.contract import PRIORS, NormalPrior, Prior, load_prior
from reverie.generator.priors.flow import FlowLessons, FlowObjective
from reverie.generator.priors.mixture import GaussianMixturePrior
from reverie.progress import Progress, no_progress
from reverie.training import LoopConfig

__all__ = ["PriorFitConfig", "fit_prior", "need_fitters"]


@dataclass(frozen=True)
class PriorFitConfig:
    """How priors are fitted."""

    mixture_components: int = 160  # principal components of the mixture
    gaussians: tuple[int, ...] = (1, 2, 4, 8, 16, 32)  # numbers of them that are tried
    flow: FlowLessons = field(default_factory=FlowLessons)
    flow_loop: LoopConfig = LoopConfig(
        steps=3000, lr=2e-3, weight_decay=0.01, warmup_steps=100, precision="fp32", eval_every=200, patience=4,
        checkpoint_every=600, ema_decay=0.995, log_every=100, tensorboard=False, curves=False,
    )  # fmt: skip
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "gaussians", tuple(self.gaussians))
        if self.mixture_components < 1 or not self.gaussians or min(self.gaussians) < 1:
            raise ConfigError("priors: mixture_components is at least 1, gaussians some numbers of at least 1")


def need_fitters(names: Sequence[str]) -> None:
    """Raise MissingExtraError where a prior of these names cannot be fitted here: before the training, not after it."""
    if "mixture" in names and importlib.util.find_spec("sklearn") is None:
        raise MissingExtraError("fitting the prior 'mixture'", "train")


def fit_prior(
    name: str,
    latents: Tensor,
    captions: Tensor,
    unseen: Tensor,
    unseen_captions: Tensor,
    settings: PriorFitConfig | None = None,
    run_dir: Path | None = None,
    progress: Progress = no_progress,
) -> Prior:
    """Fit the prior of that name to latents (N, D) of pictures and of their captions; the unseen ones (M, D) choose.

    ``run_dir``: where the run of a flow is kept, so that it goes on where it stopped; without one it is not kept.
    Raises UnknownNameError, TrainingError with fewer than two latents or when stopped, and MissingExtraError.
    """
    need_fitters([name])
    settings = settings or PriorFitConfig()
    if PRIORS.get(name) is NormalPrior:
        return NormalPrior(latents.shape[1])
    if len(latents) < 2:
        raise TrainingError(f"a prior is fitted to two pictures or more, got {len(latents)}. Give a larger collection.")
    progress(f"fitting the prior {name}", 0, 1)
    if name == "mixture":
        fitted = GaussianMixturePrior.fit(
            latents, unseen, settings.mixture_components, settings.gaussians, settings.seed
        )
        return fitted.eval().requires_grad_(False)
    objective = FlowObjective(latents, captions, unseen, unseen_captions, settings.flow, settings.seed)
    if run_dir is not None:
        return _train_flow(objective, settings.flow_loop, run_dir, progress)
    with TemporaryDirectory() as folder:
        return _train_flow(objective, settings.flow_loop, Path(folder) / "flow", progress)


def _train_flow(objective: FlowObjective, loop: LoopConfig, run_dir: Path, progress: Progress) -> Prior:
    from reverie.training.loop import train

    result = train(objective, loop, run_dir, progress, alone=True)
    if result.stopped != "done":
        raise TrainingError(f"fitting the flow stopped at step {result.step}; run again to go on")
    with torch.random.fork_rng(devices=[]):
        return load_prior(run_dir / "export")
