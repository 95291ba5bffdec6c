"""The networks of a generator: pictures and captions → one latent → a picture and a caption.

A latent is a point in the ball of radius √(2D) with a mean square of about 1, so that noise means the same for all. The
encoder reads it off the coarsest grid, off every level's mean and spread (tone and texture tell engravers apart, and a
grid of 4 x 4 has forgotten both), and on a straight path off a thumbnail; the decoder has one back. The straight paths
start as principal components (``start_straight``): what they know at the first step had not been learned in 20 epochs.

The decoder grows the picture by nearest-neighbour resizing and convolutions, since transposed ones leave a checkerboard
(Odena et al., 2016, distill.pub/2016/deconv-checkerboard). Each level sees the latent again, as a scale and a shift
(Perez et al., arXiv:1709.07871), so that coarse levels can follow one picture and fine ones another. And it
sees a grain that is the same for all pictures (Karras et al., arXiv:1812.04948): out of cells all alike, hatching could
only be made as a regular lattice.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reverie.generator.caption_tokenizer import PAD
from reverie.generator.config import GeneratorConfig

__all__ = [
    "CaptionDecoder",
    "CaptionEncoder",
    "GeneratorNetwork",
    "GeneratorOutput",
    "PictureDecoder",
    "PictureEncoder",
    "settle",
    "tones_of",
]


_NUM_TONES = 16


@dataclass(frozen=True)
class GeneratorOutput:
    latents: Tensor  # (B, D)
    pictures: Tensor  # (B, 3, S, S), about [-1, 1]
    logits: Tensor  # (B, T, V): of the id after each


class GeneratorNetwork(nn.Module):
    """All four networks, and the projection in which the latents of pictures and captions are matched."""

    def __init__(self, config: GeneratorConfig, generator: torch.Generator | None = None):
        super().__init__()
        self.config = config
        self.picture_encoder = PictureEncoder(config)
        self.picture_decoder = PictureDecoder(config)
        self.embedding = nn.Embedding(config.vocabulary, config.hidden_size)
        self.caption_encoder = CaptionEncoder(config)
        self.caption_decoder = CaptionDecoder(config)
        self.match_head = nn.Linear(config.latent_size, config.match_size, bias=False)
        self.match_scale = nn.Parameter(torch.tensor(2.3))  # the logarithm of 1/temperature, as in arXiv:2103.00020
        _initialise(self, generator or torch.Generator().manual_seed(0))

    @property
    def num_levels(self) -> int:
        return self.config.num_levels

    @torch.no_grad()
    def start_straight(self, small: Tensor, power: float = 0.6) -> None:
        """Make the straight paths the principal components of small pictures (N, 3, thumbnail, thumbnail) and back.

        A component of deviation s gets the deviation s^power, in all of mean square 1: 0 would whiten, and the noise of
        training would drown the coarse with the fine; 1 would leave nothing of the fine.
        """
        encoder, decoder = self.picture_encoder, self.picture_decoder
        thumbnails = small[:, : self.config.channels].flatten(1).double()
        mean = thumbnails.mean(0)
        _, sizes, axes = torch.linalg.svd(thumbnails - mean, full_matrices=False)
        count = min(self.config.latent_size, len(sizes))
        spread = (sizes[:count] / max(len(thumbnails) - 1, 1) ** 0.5).clamp(min=1e-6)
        wanted = spread**power
        wanted = wanted / (wanted.square().sum() / self.config.latent_size).sqrt()
        into = axes[:count] * (wanted / spread)[:, None]
        for linear in (encoder.straight, decoder.straight):
            linear.weight.zero_()
            linear.bias.zero_()
        encoder.straight.weight[:count] = into
        encoder.straight.bias[:count] = -into @ mean
        decoder.straight.weight[:, :count] = axes[:count].T * (spread / wanted)
        decoder.straight.bias.copy_(mean)

    def encode_pictures(self, pictures: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] → latents (B, D)."""
        return settle(self.picture_encoder(pictures))

    def encode_captions(self, ids: Tensor) -> Tensor:
        """(B, T) with 0 where a caption is over → latents (B, D)."""
        return settle(self.caption_encoder(self.embedding(ids), ids != PAD))

    def paint(self, latents: Tensor) -> Tensor:
        """(B, D), or (B, L, D) with a latent for each level, coarsest first → pictures (B, 3, S, S)."""
        return self.picture_decoder(latents)

    def caption_logits(self, latents: Tensor, ids: Tensor) -> Tensor:
        """(B, D) and (B, T) → (B, T, V), at each place the logits of the id that comes next."""
        return F.linear(self.caption_decoder(latents, self.embedding(ids)), self.embedding.weight)

    def match(self, latents: Tensor) -> Tensor:
        """(B, D) → (B, M) unit vectors."""
        return F.normalize(self.match_head(latents), dim=-1)

    def forward(self, pictures: Tensor, ids: Tensor) -> GeneratorOutput:
        latents = self.encode_pictures(pictures)
        return GeneratorOutput(latents, self.paint(latents), self.caption_logits(latents, ids))


def settle(latents: Tensor) -> Tensor:
    """(…, D) drawn into the ball of radius √(2D); a mean square of 1 stays as it is."""
    return latents * (2 / (1 + latents.float().square().mean(-1, keepdim=True))).sqrt().to(latents.dtype)


class PictureEncoder(nn.Module):
    """(B, 3, S, S) → (B, D)."""

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        self.stem = nn.Conv2d(3, config.widths[0], 3, padding=1)
        self.downs = nn.ModuleList(_Down(*pair) for pair in zip(config.widths, config.widths[1:]))
        seen = config.widths[-1] * config.grid**2 + 2 * sum(config.widths)
        self.out = nn.Linear(seen, config.latent_size)
        self.shrink = config.side // config.thumbnail
        self.channels = config.channels
        self.straight = nn.Linear(config.channels * config.thumbnail**2, config.latent_size)
        self.tones = nn.Linear(_NUM_TONES + 6, config.latent_size)

    def thumbnails(self, pictures: Tensor) -> Tensor:
        """(B, 3, S, S) → (B, channels · thumbnail²)."""
        return F.avg_pool2d(pictures[:, : self.channels], self.shrink).flatten(1)

    def forward(self, pictures: Tensor) -> Tensor:
        x = self.stem(pictures)
        seen = [_spread(x)]
        for down in self.downs:
            x = down(x)
            seen.append(_spread(x))
        x = self.out(torch.cat([F.silu(x).flatten(1), *seen], -1))
        return x + self.straight(self.thumbnails(pictures)) + self.tones(tones_of(pictures))


def _spread(maps: Tensor) -> Tensor:
    """Mean and standard deviation of every map: (B, C, H, W) → (B, 2C)."""
    mean = maps.mean((2, 3))
    return torch.cat([mean, (maps - mean[..., None, None]).square().mean((2, 3)).add(1e-5).sqrt()], -1)


def tones_of(pictures: Tensor) -> Tensor:
    """Logarithms of a histogram, and of the mean differences between neighbours at three sizes: (B, 3, S, S) → (B, 22).

    Two engravers in three are told apart by these alone; convolutions that learned from 900 pictures told one in two.
    """
    grey = pictures.float().mean(1, keepdim=True)
    centres = torch.linspace(-1, 1, _NUM_TONES, device=pictures.device)
    shares = [F.relu(1 - (grey - centre).abs() * (_NUM_TONES - 1) / 2).mean((1, 2, 3)) for centre in centres]
    found = list(shares)
    for _ in range(3):
        found += [(grey[..., 1:] - grey[..., :-1]).abs().mean((1, 2, 3))]
        found += [(grey[..., 1:, :] - grey[..., :-1, :]).abs().mean((1, 2, 3))]
        grey = F.avg_pool2d(grey, 2)
    return (torch.stack(found, 1).clamp(min=1e-4).log() + 3) / 2


class _Down(nn.Module):
    """Half the side: a strided convolution, then one more around which the input passes."""

    def __init__(self, width: int, wider: int):
        super().__init__()
        self.norm = _norm(width)
        self.shrink = nn.Conv2d(width, wider, 4, stride=2, padding=1)
        self.norm_more = _norm(wider)
        self.more = nn.Conv2d(wider, wider, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shrink(F.silu(self.norm(x)))
        return x + self.more(F.silu(self.norm_more(x)))


class PictureDecoder(nn.Module):
    """(B, D) or (B, L, D) → (B, 3, S, S)."""

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        self.shape = (config.widths[-1], config.grid, config.grid)
        self.start = nn.Linear(config.latent_size, config.widths[-1] * config.grid**2)
        widths = (config.widths[-1], *reversed(config.widths))
        self.levels = nn.ModuleList(
            _Level(width, narrower, config.latent_size, config.grid * 2**place, resize=place > 0)
            for place, (width, narrower) in enumerate(pairwise(widths))
        )
        self.norm = _norm(config.widths[0])
        self.out = nn.Conv2d(config.widths[0], config.channels, 3, padding=1)
        self.enlarge = config.side // config.thumbnail
        self.sketch = (config.channels, config.thumbnail, config.thumbnail)
        self.straight = nn.Linear(config.latent_size, config.channels * config.thumbnail**2)

    def forward(self, latents: Tensor) -> Tensor:
        each = latents if latents.ndim == 3 else latents[:, None].expand(-1, len(self.levels), -1)
        x = self.start(each[:, 0]).unflatten(1, self.shape)
        for place, level in enumerate(self.levels):
            x = level(x, each[:, place])
        sketch = self.straight(each[:, 0]).unflatten(1, self.sketch)
        if self.enlarge > 1:
            sketch = F.interpolate(sketch, scale_factor=self.enlarge, mode="bilinear")
        return (sketch + self.out(F.silu(self.norm(x)))).expand(-1, 3, -1, -1)


class _Level(nn.Module):
    """Resize to twice the side (all but the coarsest), convolve, then once more scaled and shifted by the latent."""

    grain: Tensor  # (1, 1, side, side)

    def __init__(self, width: int, narrower: int, latent_size: int, side: int, resize: bool):
        super().__init__()
        self.resize = resize
        self.register_buffer("grain", torch.zeros(1, 1, side, side))
        self.strength = nn.Parameter(torch.zeros(narrower, 1, 1))
        self.first = nn.Conv2d(width, narrower, 3, padding=1)
        self.norm = _norm(narrower)
        self.modulate = nn.Linear(latent_size, 2 * narrower)
        self.second = nn.Conv2d(narrower, narrower, 3, padding=1)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        if self.resize:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        x = self.first(F.silu(x)) + self.strength * self.grain
        scale, shift = self.modulate(latent)[..., None, None].chunk(2, 1)
        return x + self.second(F.silu(self.norm(x) * (1 + scale) + shift))


class CaptionEncoder(nn.Module):
    """(B, T, H) and which places hold a caption → (B, D): attention both ways, then the mean."""

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        self.places = nn.Parameter(torch.zeros(config.caption_ids, config.hidden_size))
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.hidden_size)
        self.out = nn.Linear(config.hidden_size, config.latent_size)
        self.dropout = nn.Dropout(max(0.6, config.dropout))  # words by themselves carry further
        self.words = nn.Linear(config.hidden_size, config.latent_size)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        words = x
        x = x + self.places[: x.shape[1]]
        mask = there[:, None, None, :]
        for block in self.blocks:
            x = block(x, mask)
        share = there.to(x.dtype) / there.sum(1, keepdim=True).clamp(min=1)
        words = F.normalize((words * share[..., None]).sum(1), dim=-1) * words.shape[-1] ** 0.5
        return self.out((self.norm(x) * share[..., None]).sum(1)) + self.words(self.dropout(words))


class CaptionDecoder(nn.Module):
    """(B, D) and (B, T, H) → (B, T, H): causal attention behind a prefix made of the latent."""

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        self.num_prefix = config.num_prefix
        self.prefix = nn.Linear(config.latent_size, config.num_prefix * config.hidden_size)
        self.places = nn.Parameter(torch.zeros(config.caption_ids, config.hidden_size))
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.hidden_size)

    def forward(self, latents: Tensor, x: Tensor) -> Tensor:
        prefix = self.prefix(latents).unflatten(1, (self.num_prefix, -1))
        x = torch.cat([prefix, x + self.places[: x.shape[1]]], 1)
        length = x.shape[1]
        mask = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x[:, self.num_prefix :])


class _Block(nn.Module):
    """Attention and a feed-forward layer, each behind a norm."""

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        size = config.hidden_size
        self.num_heads = config.num_heads
        self.norm = nn.LayerNorm(size)
        self.qkv = nn.Linear(size, 3 * size)
        self.merge = nn.Linear(size, size)
        self.norm_more = nn.LayerNorm(size)
        self.widen = nn.Linear(size, 4 * size)
        self.narrow = nn.Linear(4 * size, size)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.dropout(self.merge(mixed.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.narrow(F.gelu(self.widen(self.norm_more(x)))))


def _norm(width: int) -> nn.GroupNorm:
    """Groups of at least four maps, at most 16 of them."""
    return nn.GroupNorm(
        max(groups for groups in (1, 2, 4, 8, 16) if width % groups == 0 and width // groups >= 4), width
    )


def _initialise(network: nn.Module, generator: torch.Generator) -> None:
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.kaiming_uniform_(module.weight, a=5**0.5, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02, generator=generator)
        if isinstance(module, _Level):  # at first the latent changes nothing but the coarsest grid
            nn.init.normal_(module.modulate.weight, std=0.1 / module.modulate.in_features**0.5, generator=generator)
            nn.init.normal_(module.grain, generator=generator)
        if isinstance(module, (PictureEncoder, PictureDecoder)):  # the straight path leads at first
            module.out.weight.data.mul_(0.02)
        if isinstance(module, (CaptionEncoder, CaptionDecoder)):
            nn.init.normal_(module.places, std=0.02, generator=generator)
