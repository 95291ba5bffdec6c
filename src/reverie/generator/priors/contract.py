"""The contract of a prior, the plain normal one, the registry, and the check that each must pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from reverie.errors import BundleError, UnknownNameError
from reverie.files import atomic_write_bytes, atomic_write_json
from reverie.jsonio import read_object
from reverie.registry import Promises, Registry

__all__ = [
    "PRIORS",
    "NormalPrior",
    "Prior",
    "check_prior",
    "energy_distance",
    "load_prior",
    "save_prior",
    "spherical",
]


class Prior(nn.Module):
    """Noise → latents. ``config`` (JSON) builds it again; weights and numbers are buffers and parameters."""

    name: str
    follows_captions = False  # whether ``condition`` is heard

    def __init__(self, latent_size: int, noise_size: int, **config: Any):
        super().__init__()
        self.latent_size, self.noise_size = latent_size, noise_size
        self.config = {"latent_size": latent_size, "noise_size": noise_size} | config

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """(N, Z) of standard normal numbers; each row comes from its own seed alone, whatever stands beside it."""
        rows = [torch.randn(self.noise_size, generator=torch.Generator().manual_seed(int(seed))) for seed in seeds]
        return torch.stack(rows) if rows else torch.zeros(0, self.noise_size)

    def latents(
        self, noise: Tensor, temperature: float = 1.0, condition: Tensor | None = None, guidance: float = 1.0
    ) -> Tensor:
        """(N, Z) → (N, D).

        Args:
            temperature: 0 or more: how far from the middle; 1 as the latents were spread
            condition: (N, D) latents of captions to follow, where the prior can
            guidance: how strictly: 0 not at all, 1 as learned, more exaggerates
        """
        raise NotImplementedError

    def between(self, first: Tensor, last: Tensor, steps: int, temperature: float = 1.0) -> Tensor:
        """Noise (Z,) and (Z,) → (steps, D), from the latent of the one to that of the other."""
        shares = torch.linspace(0, 1, steps)
        return self.latents(torch.stack([spherical(first, last, float(share)) for share in shares]), temperature)


class NormalPrior(Prior):
    """The noise itself."""

    name = "normal"

    def __init__(self, latent_size: int, noise_size: int = 0):
        super().__init__(latent_size, latent_size)

    def latents(
        self, noise: Tensor, temperature: float = 1.0, condition: Tensor | None = None, guidance: float = 1.0
    ) -> Tensor:
        return temperature * noise


def energy_distance(first: Tensor, second: Tensor) -> float:
    """How far apart two clouds of rows (N, D) and (M, D) lie (Székely & Rizzo 2013): about 0 where they are alike."""
    across = torch.cdist(first, second).mean()
    own = [torch.cdist(one, one).sum() / (len(one) * (len(one) - 1)) for one in (first, second)]
    return float(2 * across - own[0] - own[1])


def spherical(first: Tensor, last: Tensor, share: float) -> Tensor:
    """``share`` of the way on the great circle (Shoemake 1985): between two draws of noise a straight line passes
    nearer to the middle than any draw lies."""
    cosine = torch.dot(first, last) / (first.norm() * last.norm()).clamp(min=1e-8)
    angle = torch.acos(cosine.clamp(-1, 1))
    if angle.sin() < 1e-4:
        return torch.lerp(first, last, share)
    return (torch.sin((1 - share) * angle) * first + torch.sin(share * angle) * last) / torch.sin(angle)


PRIORS = Registry[type[Prior]](
    "prior",
    {
        "normal": NormalPrior,
        "mixture": "reverie.generator.priors.mixture:GaussianMixturePrior",
        "flow": "reverie.generator.priors.flow:FlowPrior",
    },
)


def save_prior(prior: Prior, folder: Path) -> None:
    """``prior.json`` and ``prior.safetensors`` (fp32: covariances do not bear rounding)."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in prior.state_dict().items()}
    atomic_write_bytes(folder / "prior.safetensors", save(tensors))
    atomic_write_json(folder / "prior.json", {"kind": prior.name} | prior.config)


def load_prior(folder: Path) -> Prior:
    """What ``save_prior`` wrote. Raises BundleError where it is damaged."""
    try:
        config = read_object(folder / "prior.json", BundleError, "a prior's settings")
        prior = PRIORS.get(config.pop("kind"))(**config)
        prior.load_state_dict(load((folder / "prior.safetensors").read_bytes()))
    except OSError as error:
        raise BundleError(f"cannot read {error.filename}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, RuntimeError, SafetensorError, UnknownNameError) as error:
        raise BundleError(f"the prior in {folder} is damaged or of another version: {error}") from error
    return prior.eval().requires_grad_(False)


def check_prior(prior: Prior) -> list[str]:
    """Hold a prior to the contract, and return what was checked; ContractError says what it breaks."""
    promises = Promises("a prior", prior.name)
    expect = promises.expect
    with torch.no_grad():
        noise = prior.noise([5, 6, 7])
        made = prior.latents(noise)
        expect("noise is (N, Z)", noise.shape == (3, prior.noise_size))
        expect("a seed's noise does not depend on its neighbours", torch.equal(noise[1:2], prior.noise([6])))
        expect("latents are (N, D)", made.shape == (3, prior.latent_size))
        expect("latents are finite", bool(made.isfinite().all()))
        expect("the same noise gives the same latents", torch.equal(made, prior.latents(noise)))
        expect(
            "a latent does not depend on its neighbours", torch.allclose(made[:1], prior.latents(noise[:1]), atol=1e-4)
        )
        expect("other seeds give other latents", not torch.equal(made[0], made[1]))
        line = prior.between(noise[0], noise[1], 5)
        expect("a line has its steps", line.shape == (5, prior.latent_size))
        ends = torch.allclose(line[0], made[0], atol=1e-3) and torch.allclose(line[-1], made[1], atol=1e-3)
        expect("a line ends at the two latents", ends)
        expect("nothing drawn is fine", prior.latents(prior.noise([])).shape == (0, prior.latent_size))
    return promises.kept
