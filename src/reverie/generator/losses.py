"""The terms that a generator goes down: pixels, edges, spectra, captions, matching latents, and a critic of patches."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reverie.errors import ConfigError
from reverie.generator.caption_tokenizer import PAD

__all__ = [
    "LossWeights",
    "PatchCritic",
    "caption_loss",
    "edge_loss",
    "match_loss",
    "pixel_loss",
    "spectrum_loss",
    "spectrum_of",
]


@dataclass(frozen=True)
class LossWeights:
    """How much each term counts; 0 leaves it out."""

    pixels: float = 1.0  # L1 + MSE of pictures in [-1, 1]
    caption: float = 2.0  # cross entropy of every id of the caption, in nats
    match: float = 0.5  # InfoNCE between the latents of pictures and captions
    edge: float = 0.5  # L1 of differences between neighbouring pixels, at three sizes
    spectrum: float = 0.02  # L1 of the logarithms of local spectra: how much hatching, whatever its phase
    adversarial: float = 0.05  # of the critic of patches, in the late part of the training
    critic: float = 0.5  # L1 between what the critic sees in the picture and in its repainting (arXiv:1512.09300), then
    style: float = (
        0.2  # late: pictures whose fine levels are another's take its spectra and tone, and keep their layout
    )

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= getattr(self, field.name) < float("inf"):
                raise ConfigError(f"losses: {field.name} is 0 or more, got {getattr(self, field.name)}")


def pixel_loss(painted: Tensor, pictures: Tensor) -> Tensor:
    """L1 + MSE."""
    return F.l1_loss(painted, pictures) + F.mse_loss(painted, pictures)


def edge_loss(painted: Tensor, pictures: Tensor) -> Tensor:
    """Mean L1 between the differences of neighbours, in the picture, in half of its side and in a quarter."""
    difference, terms = painted - pictures, []
    for _ in range(3):
        terms += [(difference[..., 1:] - difference[..., :-1]).abs().mean()]
        terms += [(difference[..., 1:, :] - difference[..., :-1, :]).abs().mean()]
        if min(difference.shape[-2:]) < 4:
            break
        difference = F.avg_pool2d(difference, 2)
    return torch.stack(terms).mean()


def spectrum_of(pictures: Tensor, size: int = 16) -> Tensor:
    """Logarithms of the amplitudes in overlapping windows: (B, 3, S, S) → (B, windows, size, size // 2 + 1).

    Where the lines of a hatching lie cannot be kept in a latent, but how dense and how strong they are can.
    """
    size = min(size, pictures.shape[-1])
    grey = pictures.float().mean(1, keepdim=True)
    windows = F.unfold(grey, size, stride=max(1, size // 2)).transpose(1, 2).unflatten(-1, (size, size))
    taper = torch.hann_window(size, periodic=False, device=pictures.device) + 0.02
    waves = torch.fft.rfft2(windows * taper[:, None] * taper[None, :], norm="ortho")
    return (waves.real.square() + waves.imag.square() + 1e-4).log() / 2


def spectrum_loss(painted: Tensor, pictures: Tensor) -> Tensor:
    """L1 between local spectra, in nats of amplitude."""
    return F.l1_loss(spectrum_of(painted), spectrum_of(pictures))


def caption_loss(logits: Tensor, ids: Tensor) -> Tensor:
    """Mean cross entropy of the ids after the first; logits (B, T, V) and ids (B, T)."""
    return F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten(), ignore_index=PAD)


def match_loss(pictures: Tensor, captions: Tensor, scale: Tensor, groups: Tensor) -> Tensor:
    """InfoNCE both ways (van den Oord et al., arXiv:1807.03748) between unit vectors (B, M).

    Rows of one group (the same caption) are no mistake for each other: their mass counts as right.
    """
    logits = (pictures @ captions.T).float() * scale.exp().clamp(max=10.0)
    alike = groups[:, None] == groups[None, :]
    right = logits.masked_fill(~alike, -torch.inf)
    both = (logits.logsumexp(1) - right.logsumexp(1)) + (logits.logsumexp(0) - right.logsumexp(0))
    return both.mean() / 2


class PatchCritic(nn.Module):
    """Says of every patch whether it is of a real picture (Isola et al., arXiv:1611.07004), by hinge loss."""

    def __init__(self, width: int = 32, halvings: int = 3):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.LeakyReLU(0.2)]
        for _ in range(halvings):
            layers += [
                nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
                nn.GroupNorm(4, 2 * width),
                nn.LeakyReLU(0.2),
            ]
            width *= 2
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, S, S) → (B, 1, S / 2^halvings, …); above 0 is real."""
        return self.layers(pictures)

    def frozen(self, painted: Tensor, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """How unreal (B', 3, S, S) looks, and how unlike its first rows what is seen in them is to ``pictures``.

        Gradients reach ``painted`` alone.
        """
        x, unlike = torch.cat([painted, pictures]), []
        for layer in self.layers:
            own = {name: one.detach() for name, one in layer.named_parameters()}
            x = torch.func.functional_call(layer, own, (x,))
            if isinstance(layer, nn.LeakyReLU):
                unlike.append(F.l1_loss(x[: len(pictures)], x[len(painted) :].detach()))
        return -x[: len(painted)].mean(), torch.stack(unlike).mean()

    def loss(self, pictures: Tensor, painted: Tensor) -> Tensor:
        """Hinge loss of the critic itself; ``painted`` gets no gradient."""
        return F.relu(1 - self(pictures)).mean() + F.relu(1 + self(painted.detach())).mean()
