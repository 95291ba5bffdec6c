"""What `bench generator` holds ours against: the mean picture with the commonest caption, and the original recipe.

The original recipe is a plain convolutional autoencoder: strided convolutions down and transposed ones up with batch
norm, a caption decoder that sees the latent, a caption encoder for InfoNCE, no noise, no prior. Its loss has three
terms: L1 + MSE of pictures in [0, 1] (1.0), cross entropy of captions (2.0), InfoNCE (0.5). Its seeds are N(0, 1).
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from reverie.data.pictures import Collection
from reverie.files import atomic_write_bytes
from reverie.generator import measures
from reverie.generator.caption_tokenizer import PAD, CaptionTokenizer
from reverie.generator.config import GeneratorConfig
from reverie.generator.evaluate import RECALLS
from reverie.generator.generator import Generator
from reverie.generator.losses import caption_loss
from reverie.generator.network import CaptionDecoder, CaptionEncoder, GeneratorOutput
from reverie.generator.objective import phrased
from reverie.generator.real_pictures import RealPictures
from reverie.settings import save_settings
from reverie.tokens.image import to_float
from reverie_bench.contract import Figures

__all__ = ["OriginalGenerator", "OriginalNetwork", "OriginalObjective", "constant_figures", "three_terms"]

_TEMPERATURE = 0.07  # of InfoNCE
PICTURE, CAPTION, MATCH = 1.0, 2.0, 0.5  # weights of the three terms


class OriginalNetwork(nn.Module):
    """The networks of the original recipe, to be called as a ``GeneratorNetwork`` is; its latents lie anywhere."""

    def __init__(self, config: GeneratorConfig, generator: torch.Generator):
        super().__init__()
        self.config = config
        widths = [3, *config.widths[1:]]  # one for each halving
        size = config.latent_size
        down: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            down += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        self.down = nn.Sequential(*down, nn.Flatten(), nn.Linear(widths[-1] * config.grid**2, size))
        up: list[nn.Module] = [nn.Linear(size, widths[-1] * config.grid**2)]
        up += [nn.Unflatten(1, (widths[-1], config.grid, config.grid))]
        for before, after in itertools.pairwise(widths[::-1]):
            up += [nn.BatchNorm2d(before), nn.ReLU(), nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)]
        self.up = nn.Sequential(*up, nn.Tanh())
        self.embedding = nn.Embedding(config.vocabulary, config.hidden_size)
        self.caption_encoder = CaptionEncoder(config)
        self.caption_decoder = CaptionDecoder(config)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_uniform_(module.weight, a=5**0.5, generator=generator)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # each has one
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02, generator=generator)

    @property
    def num_levels(self) -> int:
        return 1

    def encode_pictures(self, pictures: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] → (B, D)."""
        latents: Tensor = self.down(pictures)
        return latents

    def encode_captions(self, ids: Tensor) -> Tensor:
        """(B, T) → (B, D)."""
        latents: Tensor = self.caption_encoder(self.embedding(ids), ids != PAD)
        return latents

    def paint(self, latents: Tensor) -> Tensor:
        """(B, D) → (B, 3, S, S) in [-1, 1]."""
        pictures: Tensor = self.up(latents)
        return pictures

    def caption_logits(self, latents: Tensor, ids: Tensor) -> Tensor:
        """(B, D) and (B, T) → (B, T, V)."""
        return F.linear(self.caption_decoder(latents, self.embedding(ids)), self.embedding.weight)

    def match(self, latents: Tensor) -> Tensor:
        """(B, D) → (B, D) unit vectors."""
        return F.normalize(latents, dim=-1)

    def forward(self, pictures: Tensor, ids: Tensor) -> GeneratorOutput:
        latents = self.encode_pictures(pictures)
        return GeneratorOutput(latents, self.paint(latents), self.caption_logits(latents, ids))


def three_terms(network: nn.Module, pictures: Tensor, ids: Tensor) -> dict[str, Tensor]:
    """The original loss and its parts: uint8 pictures (B, S, S, 3) and ids (B, T).

    ``network`` is the original one, or a ``GeneratorNetwork`` that is measured by the same loss.
    """
    wanted = to_float(pictures)
    made: GeneratorOutput = network(wanted, ids)
    painted, wanted = (made.pictures + 1) / 2, (wanted + 1) / 2
    seen, said = network.match(made.latents), network.match(network.encode_captions(ids))  # type: ignore[operator]
    logits, own = seen @ said.T / _TEMPERATURE, torch.arange(len(ids), device=ids.device)
    parts = {
        "picture": F.l1_loss(painted, wanted) + F.mse_loss(painted, wanted),
        "caption": caption_loss(made.logits, ids),
        "match": (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2,
    }
    return {"loss": PICTURE * parts["picture"] + CAPTION * parts["caption"] + MATCH * parts["match"], **parts}


class OriginalObjective:
    """The original recipe on the one training loop: pictures as they are, each once an epoch."""

    def __init__(
        self,
        collection: Collection,
        config: GeneratorConfig,
        tokenizer: CaptionTokenizer,
        batch_size: int = 32,
        seed: int = 0,
        phrasing: str = "{caption}",
    ):
        self.config, self.tokenizer, self.batch_size, self.seed = config, tokenizer, batch_size, seed
        self.module: nn.Module = OriginalNetwork(config, torch.Generator().manual_seed(seed))
        self.splits: dict[str, tuple[Tensor, Tensor]] = {}
        for name in ("train", "val"):
            part = collection.split(name)
            said = [row[0] for row in phrased(part, [phrasing])] if len(part) else []
            ids = tokenizer.batch(said, config.caption_ids)
            self.splits[name] = (torch.from_numpy(part.pictures(config.side)), ids)

    def batch(self, step: int) -> dict[str, Tensor]:
        pictures, ids = self.splits["train"]
        per_epoch = max(1, len(pictures) // self.batch_size)
        epoch, place = divmod(step, per_epoch)
        order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(self.seed * 1_000_003 + epoch))
        rows = order[place * self.batch_size : (place + 1) * self.batch_size]
        return {"pictures": pictures[rows], "ids": ids[rows]}

    def compute_loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return three_terms(self.module, batch["pictures"], batch["ids"])

    def evaluate(self, step: int) -> dict[str, float]:
        """The three terms on both splits, in eval mode, in batches of training's size."""
        figures: dict[str, float] = {}
        for name, (pictures, ids) in self.splits.items():
            figures |= {f"{name}_{key}": value for key, value in self.terms(self.module, pictures, ids).items()}
        return figures

    def terms(self, network: nn.Module, pictures: Tensor, ids: Tensor) -> dict[str, float]:
        """Mean of the three terms over whole batches (one smaller batch where there are too few)."""
        size = min(self.batch_size, len(pictures))
        starts = range(0, len(pictures) - size + 1, size) if size else ()
        with torch.no_grad():
            found = [three_terms(network, pictures[at : at + size], ids[at : at + size]) for at in starts]
        return {key: float(torch.stack([one[key] for one in found]).mean()) for key in found[0]} if found else {}

    def export(self, folder: Path) -> None:
        tensors = {name: tensor.contiguous() for name, tensor in self.module.state_dict().items()}
        atomic_write_bytes(folder / "network.safetensors", save(tensors))
        save_settings(self.config, folder / "config.json")

    def generator(self) -> OriginalGenerator:
        """What was trained, to be sampled and evaluated."""
        return OriginalGenerator(self.module.eval(), self.tokenizer, {}, "normal", {"name": "original"})  # type: ignore[arg-type]


class OriginalGenerator(Generator):
    """Seeds are N(0, 1) numbers and go into the decoder as they are."""

    def latents(
        self, seeds: Sequence[int], prior: str = "", temperature: float = 1.0, prompt: str = "", guidance: float = 2.0
    ) -> Tensor:
        chosen = self.prior(prior)
        return chosen.latents(chosen.noise(seeds), temperature)


def constant_figures(reference: RealPictures, count: int, tokenizer: CaptionTokenizer, length: int) -> Figures:
    """The mean training picture, and the commonest training caption, whatever is asked.

    ``caption_perplexity`` is that of ids drawn as often as in the training captions (each once more than it was seen).
    """
    mean = _mean_picture(reference.train, reference.side)
    held = reference.pictures
    sampled = np.repeat(mean[None], count, axis=0)
    captions = reference.train.captions
    commonest = Counter(captions).most_common(1)[0][0]
    figures: Figures = {
        "psnr": measures.psnr(held, np.repeat(mean[None], len(held), axis=0)),
        "ms_ssim": measures.ms_ssim(held, np.repeat(mean[None], len(held), axis=0)),
        "caption_perplexity": _unigram_perplexity(captions, reference.held.captions, tokenizer, length),
        "commonest_caption_share": float(np.mean([caption == commonest for caption in reference.held.captions])),
        **reference.sample_figures(sampled),
        "distinct_captions_share": 1 / count,
    }
    for k in RECALLS:
        chance = measures.chance_at(k, len(held))
        figures |= {f"joint_recall_at_{k}": chance, f"joint_recall_at_{k}_over_chance": 1.0}
    return figures


def _mean_picture(train: Collection, side: int) -> np.ndarray:
    from dataclasses import replace

    total = np.zeros((side, side, 3))
    for start in range(0, len(train), 64):
        total += replace(train, records=train.records[start : start + 64]).pictures(side).sum(0, dtype=np.float64)
    return np.round(total / len(train)).astype(np.uint8)


def _unigram_perplexity(known: Sequence[str], held: Sequence[str], tokenizer: CaptionTokenizer, length: int) -> float:
    counts = np.ones(tokenizer.size)
    for caption in known:
        np.add.at(counts, tokenizer.encode(caption, length)[1:], 1)
    nats = -np.log(counts / counts.sum())
    found = [nats[place] for caption in held for place in tokenizer.encode(caption, length)[1:]]
    return math.exp(float(np.mean(found))) if found else float("nan")
