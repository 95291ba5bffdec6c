"""A flow matched to the latents (Lipman et al., arXiv:2210.02747): noise moves along straight paths to components.

Conditioned on the latent of a caption, which is left out of a share of the lessons, so that it can be followed more
strictly than it was learned (classifier-free guidance, Ho & Salimans, arXiv:2207.12598).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reverie.errors import ConfigError
from reverie.generator.priors.components import Components
from reverie.generator.priors.contract import Prior, save_prior

__all__ = ["FlowLessons", "FlowObjective", "FlowPrior"]


class FlowPrior(Prior):
    """A residual network says how fast the components move; ``steps`` of Heun's method follow it."""

    name = "flow"
    follows_captions = True

    def __init__(self, latent_size: int, noise_size: int, hidden_size: int = 256, num_layers: int = 4, steps: int = 24):
        super().__init__(latent_size, noise_size, hidden_size=hidden_size, num_layers=num_layers, steps=steps)
        self.steps = steps
        self.components = Components(latent_size, noise_size)
        self.into = nn.Linear(noise_size, hidden_size)
        self.when = nn.Linear(32, hidden_size)
        self.caption = nn.Linear(latent_size, hidden_size)
        self.no_caption = nn.Parameter(torch.zeros(hidden_size))
        self.layers = nn.ModuleList(_Layer(hidden_size) for _ in range(num_layers))
        self.norm = nn.LayerNorm(hidden_size)
        self.out = nn.Linear(hidden_size, noise_size)
        nn.init.zeros_(self.out.weight)

    def velocity(self, points: Tensor, times: Tensor, condition: Tensor | None, heard: Tensor | None = None) -> Tensor:
        """Points (N, C) at times (N,) in [0, 1] → (N, C). ``heard`` (N,): which rows hear their condition."""
        about = self.no_caption.expand(len(points), -1)
        if condition is not None:
            told = self.caption(condition)
            about = told if heard is None else torch.where(heard[:, None], told, about)
        about = about + self.when(_waves(times))
        x = self.into(points)
        for layer in self.layers:
            x = layer(x, about)
        return self.out(self.norm(x))

    def latents(
        self, noise: Tensor, temperature: float = 1.0, condition: Tensor | None = None, guidance: float = 1.0
    ) -> Tensor:
        points, step = temperature * noise, 1 / self.steps
        for number in range(self.steps):
            time = number * step
            slope = self._slope(points, time, condition, guidance)
            ahead = self._slope(points + step * slope, time + step, condition, guidance)
            points = points + step * (slope + ahead) / 2
        return self.components.unwhiten(points)

    def _slope(self, points: Tensor, time: float, condition: Tensor | None, guidance: float) -> Tensor:
        times = torch.full((len(points),), time)
        if condition is None or guidance == 0:
            return self.velocity(points, times, None)
        told = self.velocity(points, times, condition)
        if guidance == 1:
            return told
        return torch.lerp(self.velocity(points, times, None), told, guidance)


class _Layer(nn.Module):
    def __init__(self, size: int):
        super().__init__()
        self.norm = nn.LayerNorm(size, elementwise_affine=False)
        self.modulate = nn.Linear(size, 3 * size)
        nn.init.zeros_(self.modulate.weight)  # at first the layer passes everything on
        self.widen = nn.Linear(size, 2 * size)
        self.narrow = nn.Linear(2 * size, size)

    def forward(self, x: Tensor, about: Tensor) -> Tensor:
        scale, shift, gate = self.modulate(F.silu(about)).chunk(3, -1)
        return x + gate * self.narrow(F.silu(self.widen(self.norm(x) * (1 + scale) + shift)))


def _waves(times: Tensor) -> Tensor:
    """(N,) in [0, 1] → (N, 32) sines and cosines."""
    angles = times[:, None] * torch.exp(torch.linspace(0, math.log(100), 16, device=times.device)) * math.pi
    return torch.cat([angles.sin(), angles.cos()], -1)


@dataclass(frozen=True)
class FlowLessons:
    """How a flow is fitted."""

    num_components: int = 96
    hidden_size: int = 256
    num_layers: int = 4
    batch_size: int = 256
    silent: float = 0.4  # share of lessons without their caption
    dropout: float = 0.95  # of the conditions' numbers: whole, a caption is the key to its one picture
    blur: float = (
        0.0  # noise added to the components, in standard deviations: keeps the flow from learning points by heart
    )

    def __post_init__(self) -> None:
        if min(self.num_components, self.hidden_size, self.num_layers, self.batch_size) < 1:
            raise ConfigError("flow: num_components, hidden_size, num_layers and batch_size are at least 1")
        if not 0 <= self.silent <= 1 or not 0 <= self.dropout < 1 or self.blur < 0:
            raise ConfigError("flow: silent lies in [0, 1], dropout in [0, 1), and blur is 0 or more")


class FlowObjective:
    """Mean squared error of the velocity, on the one training loop; ``loss`` of evaluate is that on unseen latents."""

    def __init__(
        self,
        latents: Tensor,
        captions: Tensor,
        unseen: Tensor,
        unseen_captions: Tensor,
        lessons: FlowLessons,
        seed: int = 0,
    ):
        """Latents (N, D) of pictures, each with the latent of its caption (N, D); the unseen ones (M, D) alike."""
        self.lessons, self.seed = lessons, seed
        components = Components.fit(latents, lessons.num_components)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            flow = FlowPrior(latents.shape[1], components.count, lessons.hidden_size, lessons.num_layers)
        flow.components = components
        self.module: nn.Module = flow
        self.points, self.captions = components.whiten(latents), captions
        self.unseen, self.unseen_captions = components.whiten(unseen), unseen_captions

    def batch(self, step: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        rows = torch.randint(len(self.points), (self.lessons.batch_size,), generator=generator)
        return self._lesson(self.points[rows], self.captions[rows], generator, self.lessons.silent)

    def _lesson(self, ends: Tensor, captions: Tensor, generator: torch.Generator, silent: float) -> dict[str, Tensor]:
        noise, blur = (torch.randn(ends.shape, generator=generator) for _ in range(2))
        times = torch.rand(len(ends), generator=generator)
        heard = torch.rand(len(ends), generator=generator) >= silent
        kept = torch.rand(captions.shape, generator=generator) >= self.lessons.dropout
        captions = captions * kept / (1 - self.lessons.dropout) if silent else captions
        ends = ends + self.lessons.blur * blur if silent else ends
        return {"noise": noise, "ends": ends, "times": times, "captions": captions, "heard": heard}

    def compute_loss(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        ends, noise, times = batch["ends"], batch["noise"], batch["times"]
        points = torch.lerp(noise, ends, times[:, None])
        said = self.module.velocity(points, times, batch["captions"], batch["heard"])  # type: ignore[operator]
        return {"loss": F.mse_loss(said, ends - noise)}

    def evaluate(self, step: int) -> dict[str, float]:
        generator = torch.Generator().manual_seed(7)
        ends, captions = (self.unseen, self.unseen_captions) if len(self.unseen) else (self.points, self.captions)
        repeat = -(-1024 // len(ends))
        figures = {}
        for name, silent in (("loss", 1.0), ("told_loss", 0.0)):
            lesson = self._lesson(ends.repeat(repeat, 1), captions.repeat(repeat, 1), generator, 0.0)
            lesson["heard"] = torch.full((len(lesson["ends"]),), silent == 0)
            figures[name] = float(self.compute_loss(lesson)["loss"])
        return figures

    def export(self, folder: Path) -> None:
        save_prior(self.module, folder)  # type: ignore[arg-type]
