"""Principal components of latents, whitened: the few numbers in which a prior is fitted."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Components"]


class Components(nn.Module):
    """Latents (N, D) ↔ components (N, C) of mean 0 and variance 1."""

    mean: Tensor  # (D,)
    axes: Tensor  # (C, D)
    spread: Tensor  # (C,) standard deviations

    def __init__(self, latent_size: int, count: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(latent_size))
        self.register_buffer("axes", torch.zeros(count, latent_size))
        self.register_buffer("spread", torch.ones(count))

    @classmethod
    def fit(cls, latents: Tensor, most: int) -> Components:
        """At most ``most`` components, no more than the latents have."""
        mean = latents.mean(0)
        _, sizes, axes = torch.linalg.svd((latents - mean).double(), full_matrices=False)
        spread = sizes / max(len(latents) - 1, 1) ** 0.5
        count = max(1, min(most, int((spread > 1e-4 * spread[0].clamp(min=1e-12)).sum())))
        flip = (
            axes[:count].gather(1, axes[:count].abs().argmax(1, keepdim=True)).sign()
        )  # a sign that does not depend on the library
        found = cls(latents.shape[1], count)
        found.mean.copy_(mean)
        found.axes.copy_(axes[:count] * flip)
        found.spread.copy_(spread[:count].clamp(min=1e-6))
        return found

    @property
    def count(self) -> int:
        return len(self.spread)

    def whiten(self, latents: Tensor) -> Tensor:
        return (latents - self.mean) @ self.axes.T / self.spread

    def unwhiten(self, components: Tensor) -> Tensor:
        return components * self.spread @ self.axes + self.mean
