"""A feature extractor of our own, taught on a collection's training pictures without labels.

Two views of one picture (a part of it, mirrored or not, lighter or darker) must find each other among the views of
all others in the batch: InfoNCE as in SimCLR (Chen et al., arXiv:2002.05709). No view is ever blurred or enlarged, so
that sharpness stays something that features tell. What the net says before its projection, each number brought to
mean 0 and deviation 1 over the training pictures, is the feature row. It is taught once per set of pictures, seed and
settings, and kept as safetensors under their hash.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional as F

from reverie.errors import ConfigError, DataError, PictureError
from reverie.files import atomic_write_bytes
from reverie.paths import cache_dir as user_cache
from reverie.progress import Progress, no_progress
from reverie.settings import settings_to_dict
from reverie.tokens.image import to_float
from reverie.training.checkpoint import kept_random_states
from reverie.training.loop import train
from reverie.training.settings import LoopConfig

__all__ = ["FeatureObjective", "OwnFeatures", "OwnFeaturesConfig", "Pictures", "own_features"]

logger = logging.getLogger("reverie.generator")

Pictures = Sequence[np.ndarray] | np.ndarray  # uint8 (H, W, 3) in [0, 255] each
_VERSION = 1  # of the net and of its lessons: another one is taught anew
_FEWEST = 4  # pictures that can be told apart
_SHRINK = 1.5  # a stored picture's side over a view's: the smallest part is cut at full sharpness


@dataclass(frozen=True)
class OwnFeaturesConfig:
    """The net and how it is taught."""

    side: int = 64  # pixels; pictures are resized to it
    widths: tuple[int, ...] = (24, 48, 96, 128)  # feature maps, the side halved at each; the last is D
    steps: int = 300
    batch_size: int = 128  # pictures a step, two views of each
    lr: float = 2e-3
    temperature: float = 0.2  # of InfoNCE
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        if not self.widths or any(width < 8 or width % 8 for width in self.widths):
            raise ConfigError(f"own features: widths are multiples of 8, got {list(self.widths)}")
        if self.side < 8 or self.side % 2 ** len(self.widths):
            raise ConfigError(f"own features: side halves once a width, got {self.side} and {len(self.widths)} widths")
        if self.steps < 1 or self.batch_size < 2 or self.lr <= 0 or self.temperature <= 0 or self.seed < 0:
            raise ConfigError(
                f"own features: steps >= 1, batch_size >= 2, lr and temperature above 0 and seed >= 0, got {self}"
            )


class OwnFeatures(nn.Module):
    """(B, 3, side, side) in [-1, 1] → (B, D). ``features`` is what the measures ask."""

    name = "own"
    mean: Tensor
    deviation: Tensor

    def __init__(self, config: OwnFeaturesConfig, generator: torch.Generator | None = None):
        super().__init__()
        self.config, self.size = config, config.widths[-1]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise((3, *config.widths)):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.GroupNorm(8, after), nn.GELU()]
        self.net = nn.Sequential(*layers, nn.Conv2d(self.size, self.size, 1))
        self.project = nn.Sequential(nn.GELU(), nn.Linear(self.size, 64))
        self.register_buffer("mean", torch.zeros(self.size))
        self.register_buffer("deviation", torch.ones(self.size))
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_uniform_(module.weight, a=5**0.5, generator=generator)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # each has one

    def raw(self, pictures: Tensor) -> Tensor:
        """The mean of the last maps over the picture, before scaling."""
        maps: Tensor = self.net(pictures)
        return maps.mean((2, 3))

    def forward(self, pictures: Tensor) -> Tensor:
        return (self.raw(pictures) - self.mean) / self.deviation

    @torch.inference_mode()
    def features(self, pictures: Pictures) -> np.ndarray:
        """uint8 pictures of any size → float32 (N, D). Raises PictureError for anything else."""
        parts = [_resized(pictures[start : start + 64], self.config.side) for start in range(0, len(pictures), 64)]
        return torch.cat([torch.zeros(0, self.size), *(self(_to_float(part)) for part in parts)]).numpy()

    @torch.inference_mode()
    def settle(self, pictures: np.ndarray) -> None:
        """Take mean and deviation of the raw features from ``pictures`` (N, side, side, 3)."""
        found = torch.cat([self.raw(_to_float(part)) for part in np.array_split(pictures, -(-len(pictures) // 64))])
        self.mean.copy_(found.mean(0))
        self.deviation.copy_(found.std(0).clamp(min=1e-4))


class FeatureObjective:
    """InfoNCE between two views of the same picture, for the training loop."""

    def __init__(self, pictures: np.ndarray, config: OwnFeaturesConfig, progress: Progress = no_progress):
        """``pictures``: uint8 (N, any, any, 3)."""
        self.config, self.progress = config, progress
        self.module = OwnFeatures(config, torch.Generator().manual_seed(config.seed))
        self.stored_side = round(config.side * _SHRINK)
        self.pictures = torch.from_numpy(_resized(pictures, self.stored_side)).permute(0, 3, 1, 2).contiguous()
        self.whole = _resized(pictures, config.side)  # as they are looked at later

    def batch(self, step: int) -> dict[str, Tensor]:
        self.progress("teaching the features", step, self.config.steps)
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)
        count = min(self.config.batch_size, len(self.pictures))
        chosen = self.pictures[torch.randperm(len(self.pictures), generator=generator)[:count]]
        pictures = chosen.float() / 127.5 - 1
        return {"first": self._view(pictures, generator), "second": self._view(pictures, generator)}

    def _view(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """A part of each picture, at least ``1 / _SHRINK`` of its side, half of them mirrored, in another tone."""
        count, side = len(pictures), self.config.side

        def draw(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(count, generator=generator)

        share = draw(1 / _SHRINK, 1.0)
        turn = torch.zeros(count, 2, 3)
        turn[:, 0, 0] = share * (1 - 2 * (draw(0, 1) < 0.5).float())
        turn[:, 1, 1] = share
        turn[:, 0, 2], turn[:, 1, 2] = draw(-1, 1) * (1 - share), draw(-1, 1) * (1 - share)
        grid = F.affine_grid(turn, [count, 3, side, side], align_corners=False)
        view = F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
        contrast, light = draw(0.7, 1.3)[:, None, None, None], draw(-0.2, 0.2)[:, None, None, None]
        return (view * contrast + light).clamp(-1, 1)

    def compute_loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        first, second = (F.normalize(self.module.project(self.module.raw(batch[name])), dim=1) for name in batch)
        logits = first @ second.T / self.config.temperature
        own = torch.arange(len(first), device=logits.device)
        loss = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
        return {"loss": loss, "found": (logits.argmax(1) == own).float().mean()}

    def evaluate(self, step: int) -> dict[str, float]:
        """How often a view finds its partner in one more batch."""
        return {"found": float(self.compute_loss(self.batch(self.config.steps))["found"])}

    def export(self, folder: Path) -> None:
        self.module.settle(self.whole)
        atomic_write_bytes(folder / "features.safetensors", _packed(self.module))


def own_features(
    pictures: np.ndarray, config: OwnFeaturesConfig, cache_dir: Path | None = None, progress: Progress = no_progress
) -> OwnFeatures:
    """The extractor taught on ``pictures`` uint8 (N, side, side, 3): read from the cache, or taught and kept there.

    Raises DataError for fewer than four pictures. Ctrl-C while it is taught stops it and rises.
    """
    if len(pictures) < _FEWEST:
        raise DataError(f"our own features are taught on {_FEWEST} pictures or more, got {len(pictures)}")
    file = (cache_dir or user_cache() / "features") / f"own-{_key(pictures, config)}.safetensors"
    with kept_random_states():
        return _read(file, config) or _teach(FeatureObjective(pictures, config, progress), file)


def _teach(objective: FeatureObjective, file: Path) -> OwnFeatures:
    """Train, and keep the product as ``file`` where that can be written."""
    config = objective.config
    loop = LoopConfig(
        steps=config.steps, lr=config.lr, weight_decay=1e-4, warmup_steps=min(20, config.steps), final_lr_fraction=0.02,
        precision="fp32", device="cpu", eval_every=0, checkpoint_every=0, tensorboard=False, curves=False,
        seed=config.seed,
    )  # fmt: skip
    with TemporaryDirectory(prefix="features-") as folder:
        result = train(objective, loop, Path(folder) / "run", progress=False, alone=True)
        if result.stopped != "done":
            raise KeyboardInterrupt
        packed = (Path(folder) / "run" / "export" / "features.safetensors").read_bytes()
    try:
        atomic_write_bytes(file, packed)
    except OSError as error:
        logger.warning("own features are not kept: cannot write %s: %s", file, error.strerror)
    return objective.module.eval().requires_grad_(False)


def _read(file: Path, config: OwnFeaturesConfig) -> OwnFeatures | None:
    """What was kept; None where nothing was, or where it is damaged: then it is taught anew."""
    if not file.is_file():
        return None
    module = OwnFeatures(config)
    try:
        module.load_state_dict(load(file.read_bytes()))
    except (OSError, SafetensorError, RuntimeError) as error:
        logger.warning("%s is damaged and made anew: %s", file, error)
        return None
    return module.eval().requires_grad_(False)


def _packed(module: OwnFeatures) -> bytes:
    tensors = {name: tensor.detach().contiguous() for name, tensor in module.state_dict().items()}
    return save(tensors, {"config": json.dumps(settings_to_dict(module.config)), "version": str(_VERSION)})


def _key(pictures: np.ndarray, config: OwnFeaturesConfig) -> str:
    digest = hashlib.sha256(json.dumps([_VERSION, settings_to_dict(config), pictures.shape]).encode())
    digest.update(np.ascontiguousarray(pictures).data)
    return digest.hexdigest()[:16]


def _resized(pictures: Pictures, side: int) -> np.ndarray:
    """uint8 (N, side, side, 3)."""
    rows = []
    for picture in pictures:
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or 0 in picture.shape:
            raise PictureError(f"a picture is uint8 (height, width, 3), got {picture.dtype} {picture.shape}")
        fits = picture.shape[:2] == (side, side)
        resized = picture if fits else Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS)
        rows.append(np.asarray(resized))
    return np.stack(rows) if rows else np.zeros((0, side, side, 3), np.uint8)


def _to_float(pictures: np.ndarray) -> Tensor:
    return to_float(torch.from_numpy(np.ascontiguousarray(pictures)))
