"""Pictures ↔ codes: every square patch becomes one code by finite scalar quantization.

Source: Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple" (arXiv:2309.15505). The networks see one patch
at a time (a stack of 2×2 convolutions with stride 2), so a cell's code never depends on its neighbours: what does not
change in the picture does not change in the codes, and delta frames stay small. FSQ needs no codebook loss and does
not collapse, which on these pictures a VQ codebook did.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from reverie.errors import ConfigError, PictureError
from reverie.nouns import Frame
from reverie.tokens.weights import load_module, save_module

__all__ = ["FSQ", "ImageTokenizer", "ImageTokenizerConfig", "to_patches"]

_CHUNK = 64  # patches a network call: a fixed size keeps a patch's code independent of its company
_CACHE = 65_536  # remembered patches


@dataclass(frozen=True)
class ImageTokenizerConfig:
    """Settings of the image tokenizer."""

    stride: int = 32  # side in pixels of the patch that becomes one code, a power of two
    levels: tuple[int, ...] = (8, 5, 5, 5)  # FSQ levels a dimension; their product is the number of codes
    width: int = 192  # channels of the deepest convolution
    context: int = 0  # residual 3x3 blocks of the decoder over neighbouring cells; 0 decodes each cell alone

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(self.levels))
        if self.stride < 2 or self.stride & (self.stride - 1):
            raise ConfigError(f"image tokenizer: stride must be a power of two from 2, got {self.stride}")
        if not self.levels or min(self.levels) < 2:
            raise ConfigError(f"image tokenizer: every level must be at least 2, got {self.levels}")
        if self.width < 8 or self.context < 0:
            raise ConfigError(f"image tokenizer: width >= 8 and context >= 0, got {self.width} and {self.context}")

    @property
    def num_codes(self) -> int:
        return math.prod(self.levels)


class FSQ(nn.Module):
    """Rounds each of ``len(levels)`` numbers to one of its levels; gradients pass straight through."""

    levels: Tensor
    basis: Tensor

    def __init__(self, levels: Sequence[int]):
        super().__init__()
        sizes = torch.tensor(levels)
        self.register_buffer("levels", sizes, persistent=False)
        self.register_buffer("basis", torch.cumprod(torch.tensor([1, *levels[:-1]]), 0), persistent=False)

    def bound(self, z: Tensor) -> Tensor:
        """Squash to ``[0, level - 1]`` in each dimension: (..., D) -> (..., D)."""
        return torch.sigmoid(z) * (self.levels - 1)

    def forward(self, z: Tensor) -> Tensor:
        """(..., D) -> (..., D) in [-1, 1], on the lattice."""
        bounded = self.bound(z)
        rounded = bounded + (bounded.round() - bounded).detach()
        return rounded / (self.levels - 1) * 2 - 1

    def features(self, lattice: Tensor) -> Tensor:
        """Cosines that tell neighbouring levels apart: (..., D) in [-1, 1] -> (..., sum of levels)."""
        waves = [
            torch.cos(torch.pi * torch.arange(levels, device=lattice.device) * (lattice[..., d, None] + 1) / 2)
            for d, levels in enumerate(self.levels.tolist())
        ]
        return torch.cat(waves, -1)

    def to_codes(self, z: Tensor) -> Tensor:
        """(..., D) -> (...) int64 in [0, num_codes)."""
        return (self.bound(z).round().long() * self.basis).sum(-1)

    def from_codes(self, codes: Tensor) -> Tensor:
        """(...) -> (..., D) in [-1, 1]."""
        digits = codes[..., None] // self.basis % self.levels
        return digits / (self.levels - 1) * 2 - 1


class ImageTokenizer(nn.Module):
    """``encode``: uint8 pictures -> frames; ``decode``: frames -> uint8 pictures.

    A picture's sides must be multiples of ``cell_px`` (default: the stride); each ``cell_px`` square becomes one code.
    """

    def __init__(self, config: ImageTokenizerConfig, generator: torch.Generator | None = None):
        super().__init__()
        self.config = config
        depth = int(math.log2(config.stride))
        widths = [max(16, config.width >> (depth - 1 - level)) for level in range(depth)]
        dims = len(config.levels)
        self.fsq = FSQ(config.levels)
        down: list[nn.Module] = []
        for before, after in zip([3, *widths], widths, strict=False):
            down += [nn.Conv2d(before, after, 2, stride=2), nn.GELU()]
        wide = widths[-1]
        self.encoder = nn.Sequential(
            *down, nn.GroupNorm(1, wide), nn.Conv2d(wide, 2 * wide, 1), nn.GELU(), nn.Conv2d(2 * wide, dims, 1)
        )
        self.stem = nn.Sequential(
            nn.Conv2d(sum(config.levels), 2 * wide, 1), nn.GELU(), nn.Conv2d(2 * wide, wide, 1), nn.GELU()
        )
        self.mixing = nn.ModuleList(
            nn.Sequential(nn.Conv2d(widths[-1], widths[-1], 3, padding=1), nn.GELU()) for _ in range(config.context)
        )
        up: list[nn.Module] = []
        for before, after in zip(widths[::-1], [*widths[-2::-1], 3], strict=True):
            up += [nn.ConvTranspose2d(before, after, 2, stride=2), nn.GELU()]
        self.decoder = nn.Sequential(*up[:-1])
        if generator is not None:
            self._init(generator)
        self._cache: dict[bytes, int] = {}

    def _init(self, generator: torch.Generator) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                # a transposed convolution whose stride is its kernel adds up input channels only
                fan_in = module.in_channels * (
                    1 if isinstance(module, nn.ConvTranspose2d) else module.kernel_size[0] ** 2
                )
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan_in), generator=generator)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    @property
    def num_codes(self) -> int:
        return self.config.num_codes

    # networks: float pictures in [-1, 1] ---------------------------------------------------------------------

    def latents(self, pictures: Tensor) -> Tensor:
        """(B, 3, rows·stride, cols·stride) in [-1, 1] -> (B, rows, cols, D), before quantization."""
        return self.encoder(pictures).permute(0, 2, 3, 1)

    def paint(self, lattice: Tensor) -> Tensor:
        """(B, rows, cols, D) in [-1, 1] -> (B, 3, rows·stride, cols·stride), about [-1, 1]."""
        x = self.stem(self.fsq.features(lattice).permute(0, 3, 1, 2))
        for block in self.mixing:
            x = x + block(x)
        return self.decoder(x)

    # pictures ------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def encode(self, pictures: Sequence[np.ndarray], cell_px: int | None = None, batch_size: int = 32) -> list[Frame]:
        """uint8 (H, W, 3) pictures in [0, 255] -> frames of (H / cell_px, W / cell_px) codes.

        Patches that were met before are looked up instead of computed. Works through ``batch_size`` pictures at a
        time, so that a long list never lies in memory twice. Raises PictureError for a wrong shape or size.
        """
        cell = cell_px or self.config.stride
        frames: list[Frame] = []
        for start in range(0, len(pictures), batch_size):
            frames += self._encode_batch(pictures[start : start + batch_size], cell)
        return frames

    def _encode_batch(self, pictures: Sequence[np.ndarray], cell: int) -> list[Frame]:
        patches = [to_patches(picture, cell) for picture in pictures]
        keys = [[patch.tobytes() for patch in group.reshape(-1, cell, cell, 3)] for group in patches]
        unseen: dict[bytes, np.ndarray] = {}
        for group, names in zip(patches, keys, strict=True):
            for index, name in enumerate(names):
                if name not in self._cache and name not in unseen:
                    unseen[name] = group.reshape(-1, cell, cell, 3)[index]
        if len(self._cache) + len(unseen) > _CACHE:
            self._cache.clear()
            unseen = {
                n: p
                for g, ns in zip(patches, keys, strict=True)
                for n, p in zip(ns, g.reshape(-1, cell, cell, 3), strict=True)
            }
        self._cache.update(zip(unseen, self._codes(list(unseen.values())), strict=True))
        return [
            Frame(np.array([self._cache[name] for name in names]).reshape(group.shape[:2]))
            for group, names in zip(patches, keys, strict=True)
        ]

    def _codes(self, patches: list[np.ndarray]) -> list[int]:
        codes: list[int] = []
        device = next(self.parameters()).device
        for start in range(0, len(patches), _CHUNK):
            chunk = [resize(patch, self.config.stride) for patch in patches[start : start + _CHUNK]]
            padded = np.stack(chunk + [chunk[0]] * (_CHUNK - len(chunk)))
            z = self.latents(to_float(torch.from_numpy(padded).to(device)))
            codes += self.fsq.to_codes(z).ravel()[: len(chunk)].tolist()
        return codes

    @torch.inference_mode()
    def decode(self, frames: Sequence[Frame], cell_px: int | None = None) -> list[np.ndarray]:
        """Frames -> uint8 pictures (rows·cell_px, cols·cell_px, 3) in [0, 255]."""
        cell = cell_px or self.config.stride
        device = next(self.parameters()).device
        pictures = []
        for frame in frames:
            if frame.codes.max() >= self.num_codes:
                raise PictureError(f"code {frame.codes.max()} is not one of this tokenizer's {self.num_codes}")
            lattice = self.fsq.from_codes(torch.from_numpy(np.array(frame.codes, dtype=np.int64)).to(device))
            picture = to_uint8(self.paint(lattice[None])[0])
            if cell != self.config.stride:
                rows, cols = frame.shape
                how = Image.Resampling.BOX if cell < self.config.stride else Image.Resampling.BICUBIC
                picture = np.asarray(Image.fromarray(picture).resize((cols * cell, rows * cell), how))
            pictures.append(picture)
        return pictures

    # files ---------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        save_module(self, asdict(self.config), folder)

    @classmethod
    def load(cls, folder: Path) -> ImageTokenizer:
        return load_module(lambda config: cls(ImageTokenizerConfig(**config)), folder)


def to_patches(picture: np.ndarray, cell: int) -> np.ndarray:
    """uint8 (H, W, 3) -> contiguous (H / cell, W / cell, cell, cell, 3); PictureError when it does not divide."""
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise PictureError(f"a picture is uint8 (height, width, 3), got {picture.dtype} {picture.shape}")
    height, width = picture.shape[:2]
    if height % cell or width % cell or not height or not width:
        raise PictureError(f"a picture of {width}x{height} px does not divide into cells of {cell} px; resize it first")
    grid = picture.reshape(height // cell, cell, width // cell, cell, 3).swapaxes(1, 2)
    return np.ascontiguousarray(grid)


def resize(patch: np.ndarray, side: int) -> np.ndarray:
    """A square patch at ``side`` pixels: averaged down, repeated up (so that averaging undoes it)."""
    if patch.shape[0] == side:
        return patch
    how = Image.Resampling.BOX if side < patch.shape[0] else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(patch).resize((side, side), how))


def to_float(pictures: Tensor) -> Tensor:
    """uint8 (B, H, W, 3) -> float (B, 3, H, W) in [-1, 1]."""
    return pictures.permute(0, 3, 1, 2).float() / 127.5 - 1


def to_uint8(picture: Tensor) -> np.ndarray:
    """float (…, 3, H, W) in about [-1, 1] -> uint8 (…, H, W, 3)."""
    scaled = ((picture.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return scaled.movedim(-3, -1).contiguous().cpu().numpy()
