"""A mixture of Gaussians in the principal components of the latents."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from reverie.generator.priors.components import Components
from reverie.generator.priors.contract import Prior

__all__ = ["GaussianMixturePrior"]


class GaussianMixturePrior(Prior):
    """The first number of the noise picks a Gaussian, the others a point in it."""

    name = "mixture"
    weights: Tensor  # (G,)
    means: Tensor  # (G, C)
    factors: Tensor  # (G, C, C) lower: covariance = factor · factorᵀ

    def __init__(self, latent_size: int, noise_size: int, num_gaussians: int):
        super().__init__(latent_size, noise_size, num_gaussians=num_gaussians)
        count = noise_size - 1
        self.components = Components(latent_size, count)
        self.register_buffer("weights", torch.ones(num_gaussians) / num_gaussians)
        self.register_buffer("means", torch.zeros(num_gaussians, count))
        self.register_buffer("factors", torch.eye(count).expand(num_gaussians, -1, -1).clone())

    @classmethod
    def fit(
        cls,
        latents: Tensor,
        unseen: Tensor,
        num_components: int = 48,
        gaussians: tuple[int, ...] = (1, 2, 4, 8, 16, 32),
        seed: int = 0,
    ) -> GaussianMixturePrior:
        """Fit to latents (N, D); the number of Gaussians and the shape of their covariances are those under which the
        ``unseen`` (M, D) latents are likeliest.
        """
        from sklearn.mixture import GaussianMixture

        components = Components.fit(latents, num_components)
        known, others = (components.whiten(part).double().numpy() for part in (latents, unseen))
        best, best_score = None, -math.inf
        for count in (one for one in gaussians if one <= max(1, len(known) // 4)):
            for shape in ("full", "diag"):
                found = GaussianMixture(count, covariance_type=shape, reg_covar=1e-3, random_state=seed).fit(known)
                score = float(found.score(others)) if len(others) else -float(found.bic(known))
                if score > best_score:
                    best, best_score = found, score
        assert best is not None
        covariances = (
            best.covariances_ if best.covariances_.ndim == 3 else np.stack([np.diag(row) for row in best.covariances_])
        )
        prior = cls(latents.shape[1], components.count + 1, len(best.weights_))
        prior.components = components
        prior.weights.copy_(torch.from_numpy(best.weights_))
        prior.means.copy_(torch.from_numpy(best.means_))
        prior.factors.copy_(torch.linalg.cholesky(torch.from_numpy(covariances)))
        return prior

    def latents(
        self, noise: Tensor, temperature: float = 1.0, condition: Tensor | None = None, guidance: float = 1.0
    ) -> Tensor:
        return self.components.unwhiten(self._points(noise, temperature))

    def between(self, first: Tensor, last: Tensor, steps: int, temperature: float = 1.0) -> Tensor:
        """A straight line from point to point: on the way from one Gaussian to another the noise would jump."""
        ends = self._points(torch.stack([first, last]), temperature)
        shares = torch.linspace(0, 1, steps)[:, None]
        return self.components.unwhiten(torch.lerp(ends[:1], ends[1:], shares))

    def _points(self, noise: Tensor, temperature: float) -> Tensor:
        places = torch.special.ndtr(noise[:, 0])  # uniform in [0, 1]
        chosen = torch.searchsorted(self.weights.cumsum(0), places).clamp(max=len(self.weights) - 1)
        return self.means[chosen] + temperature * (self.factors[chosen] @ noise[:, 1:, None]).squeeze(-1)
