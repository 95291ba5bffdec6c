"""Trains the image tokenizer on the distinct patches of worlds and picture folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from reverie.errors import ConfigError, MissingExtraError, PictureError, TrainingError
from reverie.tokens.image import ImageTokenizer, ImageTokenizerConfig, resize, to_float, to_patches
from reverie.worlds import World, make_world, record_episode

_HELD_OUT = 200  # pictures of each source that are measured instead of learned from

__all__ = ["TokenizerData", "TokenizerObjective", "picture_figures"]


@dataclass(frozen=True)
class TokenizerData:
    """What the image tokenizer learns from."""

    worlds: tuple[str, ...] = ()  # every world's pictures at its own cell_px
    folder: str = ""  # a folder of pictures, each resized so that its sides are multiples of the stride
    side: int = 256  # longest side in pixels of a folder's pictures
    episodes: int = 600  # episodes recorded a world
    max_samples: int = 0  # pictures taken from the folder, 0 = all
    batch_size: int = 256  # patches a step
    balance: float = 0.5  # share of draws that follow how often a patch was seen; the others treat all patches alike
    seed: int = 0
    model: ImageTokenizerConfig = field(default_factory=ImageTokenizerConfig)

    def __post_init__(self) -> None:
        object.__setattr__(self, "worlds", tuple(self.worlds))
        if not self.worlds and not self.folder:
            raise ConfigError("tokenizer: name at least one world or a folder of pictures")
        if not 0 <= self.balance <= 1:
            raise ConfigError(f"tokenizer: balance is a share between 0 and 1, got {self.balance}")
        if self.batch_size < 2 or self.episodes < 1:
            raise ConfigError("tokenizer: batch_size must be at least 2 and episodes at least 1")


class TokenizerObjective:
    """One training step sees ``batch_size`` patches; evaluation looks at whole pictures that were not trained on."""

    metrics: ClassVar[Mapping[str, str]] = {"reconstruction": "mse"}

    def __init__(self, data: TokenizerData):
        self.data = data
        self.module = ImageTokenizer(data.model, torch.Generator().manual_seed(data.seed))
        counts: Counter[bytes] = Counter()
        cells: dict[bytes, int] = {}
        self._held_out: list[tuple[Any, list[np.ndarray], int]] = []
        for source, pictures, cell in self._sources():
            held_out: list[np.ndarray] = []
            for number, picture in enumerate(pictures):
                if number % 10 == 1 and len(held_out) < _HELD_OUT:
                    held_out.append(picture)
                    continue
                for patch in to_patches(picture, cell).reshape(-1, cell, cell, 3):
                    counts[patch.tobytes()] += 1
                    cells[patch.tobytes()] = cell
            self._held_out.append((source, held_out or [picture], cell))
        stride = data.model.stride
        patches = [resize(np.frombuffer(key, np.uint8).reshape(cells[key], cells[key], 3), stride) for key in counts]
        self.patches = torch.from_numpy(np.stack(patches))  # (P, stride, stride, 3) uint8
        seen = torch.tensor(list(counts.values()), dtype=torch.float64)
        self.weights = data.balance * seen / seen.sum() + (1 - data.balance) / len(seen)
        fits = len(self.patches) <= data.model.num_codes
        self.anchors = anchors(self.patches, data.model.levels) if fits else None

    def _sources(self) -> Iterator[tuple[World | None, Iterator[np.ndarray], int]]:
        data = self.data
        for name in data.worlds:
            world = make_world(name)
            yield world, self._record(world), world.cell_px
        if data.folder:
            stride = data.model.stride
            yield None, read_folder(Path(data.folder), data.side, stride, data.max_samples), stride

    def _record(self, world: World) -> Iterator[np.ndarray]:
        rng = np.random.default_rng(self.data.seed)
        yield world.backdrop()
        for index in range(self.data.episodes):
            episode = record_episode(world, world.sample_options(rng), seed=index)
            yield episode.transitions[0].what
            yield from (step.result for step in episode.transitions)

    def batch(self, step: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(self.data.seed * 1_000_003 + step)
        index = torch.multinomial(self.weights, self.data.batch_size, replacement=True, generator=generator)
        batch = {"patches": self.patches[index]}
        return batch if self.anchors is None else batch | {"anchors": self.anchors[index]}

    def compute_loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Reconstruction (L1 + MSE). With anchors the encoder aims at them and the decoder paints from them."""
        pictures = to_float(batch["patches"])
        model = self.module
        z = model.latents(pictures)
        parts = {}
        if "anchors" in batch:
            digits = batch["anchors"][:, None, None]  # (B, 1, 1, D)
            parts["anchor"] = F.mse_loss(model.fsq.bound(z), digits.float())
            lattice = digits / (model.fsq.levels - 1) * 2 - 1
        else:
            lattice = model.fsq(z)
        painted = model.paint(lattice)
        parts |= {"mse": F.mse_loss(painted, pictures), "l1": F.l1_loss(painted, pictures)}
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    def evaluate(self, step: int) -> dict[str, float]:
        """PSNR, SSIM, code perplexity, collisions, and the share of pictures whose state is read back right."""
        self.module._cache.clear()
        figures: dict[str, float] = {"distinct_patches": float(len(self.patches))}
        codes = [self.module._codes(list(group.numpy())) for group in self.patches.split(4096)]
        used = [code for group in codes for code in group]
        figures["collisions"] = float(len(used) - len(set(used)))
        for world, pictures, cell in self._held_out:
            name = world.name.lower() if world is not None else "folder"
            figures |= {
                f"{name}_{key}": value for key, value in picture_figures(self.module, world, pictures, cell).items()
            }
        return figures

    def export(self, folder: Path) -> None:
        self.module.save(folder)


def anchors(patches: Tensor, levels: Sequence[int]) -> Tensor:
    """A different code for each patch, neighbours for patches that look alike: (P, S, S, 3) uint8 -> (P, D) digits.

    The pictures of a world hold fewer distinct patches than there are codes. Trained end to end, FSQ left one patch in
    eight on a code that another one had; so the codes are given out first: principal components, split level by level
    into equal groups as a k-d tree does. Needs ``len(patches) <= prod(levels)``.
    """
    small = F.avg_pool2d(patches.permute(0, 3, 1, 2).float(), patches.shape[1] // 4).flatten(1)
    axes = torch.linalg.svd(small - small.mean(0), full_matrices=False)[2][: len(levels)]
    places = ((small - small.mean(0)) @ axes.T).numpy()
    digits = np.zeros((len(patches), len(levels)), dtype=np.int64)

    def split(members: np.ndarray, depth: int) -> None:
        if depth < len(levels):
            ordered = members[np.argsort(places[members, depth], kind="stable")]
            for digit, group in enumerate(np.array_split(ordered, levels[depth])):
                digits[group, depth] = digit
                split(group, depth + 1)

    split(np.arange(len(patches)), 0)
    return torch.from_numpy(digits)


def picture_figures(
    tokenizer: ImageTokenizer, world: Any, pictures: Sequence[np.ndarray], cell: int
) -> dict[str, float]:
    """Reconstruction figures of ``pictures``: psnr (dB), ssim, perplexity of the codes, state_recovery (share)."""
    try:
        from torchmetrics.functional.image import structural_similarity_index_measure as ssim
    except ImportError as error:
        raise MissingExtraError("measuring pictures", "train") from error
    frames = tokenizer.encode(pictures, cell)
    painted = tokenizer.decode(frames, cell)
    codes = np.concatenate([frame.codes.ravel() for frame in frames])
    share = np.bincount(codes) / len(codes)
    share = share[share > 0]
    errors = [np.square(a.astype(float) - b).mean() for a, b in zip(pictures, painted, strict=True)]
    pairs = [(torch.from_numpy(a.copy()), torch.from_numpy(b.copy())) for a, b in zip(pictures, painted, strict=True)]
    likeness = [ssim(to_float(b[None]), to_float(a[None]), data_range=2.0) for a, b in pairs[:64]]
    figures = {
        "psnr": float(10 * np.log10(255**2 / max(np.mean(errors), 1e-9))),
        "ssim": float(torch.stack([torch.as_tensor(value) for value in likeness]).mean()),
        "perplexity": float(np.exp(-(share * np.log(share)).sum())),
    }
    if world is not None:
        right = [world.read(a) == world.read(b) for a, b in zip(pictures, painted, strict=True)]
        figures["state_recovery"] = float(np.mean(right))
    return figures


def read_folder(folder: Path, side: int, stride: int, max_samples: int = 0) -> Iterator[np.ndarray]:
    """Pictures of a folder as uint8, longest side ``side``, both sides multiples of ``stride``."""
    names = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in {".png", ".jpg", ".jpeg", ".webp", ".gif"}
    )
    if not names:
        raise TrainingError(f"no pictures (png, jpg, webp, gif) in {folder}")
    for path in names[: max_samples or None]:
        try:
            with Image.open(path) as opened:
                picture = opened.convert("RGB")
        except (OSError, Image.DecompressionBombError) as error:
            raise PictureError(f"{path} is no readable picture: {error}; remove it and train again") from error
        scale = side / max(picture.size)
        size = [max(stride, round(length * scale / stride) * stride) for length in picture.size]
        yield np.asarray(picture.resize((size[0], size[1]), Image.Resampling.LANCZOS))
