"""Trains a generator on a collection: the objective of the one training loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from reverie.data.pictures import Collection, Template, contact_sheet, save_picture
from reverie.errors import ConfigError, TrainingError
from reverie.files import atomic_write_bytes
from reverie.generator.caption_tokenizer import END, PAD, CaptionTokenizer
from reverie.generator.config import GeneratorConfig
from reverie.generator.losses import (
    LossWeights,
    PatchCritic,
    caption_loss,
    edge_loss,
    match_loss,
    pixel_loss,
    spectrum_loss,
    spectrum_of,
)
from reverie.generator.measures import recall_at
from reverie.generator.network import GeneratorNetwork, tones_of
from reverie.generator.priors.contract import energy_distance, spherical
from reverie.generator.store import Augment, PictureStore
from reverie.progress import Progress, no_progress
from reverie.settings import save_settings
from reverie.tokens.image import to_float, to_uint8

__all__ = ["GeneratorData", "GeneratorObjective", "Trained", "phrased", "steps_per_epoch"]


@dataclass(frozen=True)
class GeneratorData:
    """What a generator learns from, and how."""

    collection: str = "collection"  # the folder of a prepared collection
    phrasings: tuple[str, ...] = ("{caption}",)  # templates of fields; each lesson says its caption in one of them
    batch_size: int = 32  # pictures a step
    noise: float = (
        0.15  # spread of the noise added to latents, whose own spread is 1: the decoders learn a ball, no point
    )
    pull: float = 0.2  # share of the gradient of caption and match that reaches the encoder of pictures
    word_dropout: float = 0.15  # share of the ids that the caption networks do not get to see
    adversarial_from: float = 0.4  # share of the steps after which the critic joins in
    between: float = 0.5  # for each late picture, how many that no latent stands for: between two, or crossed
    weights: LossWeights = field(default_factory=LossWeights)
    augment: Augment = field(default_factory=Augment)
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "phrasings", tuple(self.phrasings))
        if not self.phrasings:
            raise ConfigError("generator: phrasings are at least one, such as {caption}")
        if self.batch_size < 1:
            raise ConfigError(f"generator: batch_size is at least 1, got {self.batch_size}")
        if self.noise < 0:
            raise ConfigError(f"generator: noise is 0 or more, got {self.noise}")
        for name in ("pull", "word_dropout", "adversarial_from", "between"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"generator: {name} lies between 0 and 1, got {getattr(self, name)}")


_LATE = {"unreal": "adversarial", "unlike": "critic", "style": "style"}  # late terms and the names of their weights


class Trained(nn.Module):
    """The network and its critic, which is left behind after training."""

    def __init__(self, network: GeneratorNetwork, seed: int):
        super().__init__()
        self.network = network
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.critic = PatchCritic(halvings=min(3, max(1, network.config.side.bit_length() - 4)))


class GeneratorObjective:
    """One step sees ``batch_size`` pictures of the training split, each cut and toned anew, with their captions."""

    metrics: ClassVar[Mapping[str, str]] = {"reconstruction": "pixels"}

    def __init__(
        self,
        data: GeneratorData,
        config: GeneratorConfig,
        collection: Collection,
        tokenizer: CaptionTokenizer,
        steps: int,
        sheets_dir: Path | None = None,
        network: GeneratorNetwork | None = None,
        progress: Progress = no_progress,
    ):
        """``steps``: of the whole run, of which ``adversarial_from`` is a share. ``sheets_dir``: where sheets go.
        ``network``: one to go on from; else a new one, its straight paths started from the training pictures.
        """
        self.data, self.config, self.tokenizer, self.steps, self.sheets_dir = data, config, tokenizer, steps, sheets_dir
        self.train, self.val = (PictureStore(collection.split(name), config.side) for name in ("train", "val"))
        if not len(self.train):
            raise TrainingError(f"the collection {collection.folder} has no picture to train on")
        said = phrased(self.train.collection, data.phrasings)
        self.ids = tokenizer.batch([one for row in said for one in row], config.caption_ids).unflatten(
            0, (len(said), -1)
        )
        self.val_ids = tokenizer.batch(self.val.collection.captions, config.caption_ids)
        self.groups, self.val_groups = _groups(self.train.collection.captions), _groups(self.val.collection.captions)
        if network is None:
            network = GeneratorNetwork(config, torch.Generator().manual_seed(data.seed))
            thumbnails = self._thumbnails(progress)
            progress("starting the straight paths", 0, 1)
            network.start_straight(thumbnails)
        self.module: nn.Module = Trained(network, data.seed)
        self._order: tuple[int, np.ndarray] = (-1, np.zeros(0, dtype=int))

    def _thumbnails(self, progress: Progress, most: int = 4000) -> Tensor:
        """At most so many training pictures made small, and mirrored where training does that: (N, 3, t, t)."""
        rows = np.linspace(0, len(self.train) - 1, min(most, len(self.train))).astype(int)
        shrink = self.config.side // self.config.thumbnail
        small = []
        for number, row in enumerate(rows):
            progress("reading pictures", number, len(rows))
            small.append(F.avg_pool2d(to_float(torch.from_numpy(self.train.original(row))[None]), shrink))
        pictures = torch.cat(small)
        return torch.cat([pictures, pictures.flip(-1)]) if self.data.augment.flip else pictures

    @property
    def network(self) -> GeneratorNetwork:
        return self.module.network  # type: ignore[return-value]

    @property
    def steps_per_epoch(self) -> int:
        return steps_per_epoch(len(self.train), self.data.batch_size)

    def batch(self, step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([self.data.seed, 1, step])
        rows = self._rows(step)
        pictures = np.stack([self.train.varied(int(row), self.data.augment, rng) for row in rows])
        ids = self.ids[rows, rng.integers(self.ids.shape[1], size=len(rows))]
        ids = ids[:, : int((ids != PAD).sum(1).max())]
        seen = torch.from_numpy(rng.random(ids.shape) >= self.data.word_dropout) | (ids <= END)
        size = (len(rows), self.config.latent_size)
        noise = torch.from_numpy(rng.standard_normal((2, *size)).astype(np.float32))
        return {
            "pictures": torch.from_numpy(pictures),  # uint8 (B, S, S, 3)
            "ids": ids,
            "seen": torch.where(seen, ids, END),  # an end in the middle: nothing is said here
            "groups": self.groups[rows],
            "noise": noise,  # (2, B, D)
            "partners": torch.from_numpy(rng.permutation(len(rows))),
            "shares": torch.from_numpy(rng.random(len(rows)).astype(np.float32)),
            "late": torch.tensor(self._late(step)),
        }

    def _late(self, step: int) -> float:
        """0 before the critic joins; then it learns, and its word counts more and more."""
        passed = step / self.steps - self.data.adversarial_from
        return float(np.clip(passed / 0.1, 0.01, 1.0)) if passed >= 0 else 0.0

    def _rows(self, step: int) -> np.ndarray:
        """Every picture once an epoch; what is left of one is passed over, and a small collection is repeated."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._order[0] != epoch:
            order = np.random.default_rng([self.data.seed, 2, epoch]).permutation(len(self.train))
            self._order = (epoch, order)
        size = self.data.batch_size
        return np.resize(self._order[1], max(size, len(self.train)))[place * size : (place + 1) * size]

    def compute_loss(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        weights, network = self.data.weights, self.network
        pictures = to_float(batch["pictures"])
        latents = network.encode_pictures(pictures)
        noised = latents + self.data.noise * batch["noise"][0]
        told = noised.detach() + self.data.pull * (noised - noised.detach())
        painted = network.paint(noised)
        captions = network.encode_captions(batch["seen"])
        logits = network.caption_logits(told, batch["seen"])
        parts = {
            "pixels": pixel_loss(painted, pictures),
            "edge": edge_loss(painted, pictures),
            "spectrum": spectrum_loss(painted, pictures),
            "caption": caption_loss(logits, batch["ids"]),
            "match": match_loss(
                network.match(told), network.match(captions), network.match_scale, batch["groups"]
            ),
        }  # fmt: skip
        total = torch.stack([getattr(weights, name) * value for name, value in parts.items()]).sum()
        if batch["late"] and weights.adversarial + weights.critic + weights.style:
            late = self._late_terms(latents, painted, pictures, batch)
            word = torch.stack([getattr(weights, _LATE[name]) * late[name] for name in _LATE if name in late]).sum()
            # AdamW does not mind how much the critic's own loss counts, but the clipping of all gradients would
            total, parts = total + batch["late"] * word + 0.1 * late["judge"], parts | late
        return {"loss": total, **parts}

    def _late_terms(
        self, latents: Tensor, painted: Tensor, pictures: Tensor, batch: dict[str, Any]
    ) -> dict[str, Tensor]:
        """What the critic makes of repainted pictures and of some that no latent stands for, and its own loss.

        The first half of the others lie between two latents, the second have the fine levels of a partner: these must
        also keep their own layout and take the partner's texture.
        """
        critic: PatchCritic = self.module.critic  # type: ignore[assignment]
        num, levels = round(self.data.between * len(latents)), self.network.num_levels
        half, kept, parts = num // 2, levels // 2, {}
        if half:
            partners = batch["partners"][:num]
            others = latents[partners]
            pairs = zip(latents[:half], others[:half], batch["shares"][:half].tolist())
            between = torch.stack([spherical(*pair) for pair in pairs])[:, None].expand(-1, levels, -1)
            own, foreign = (part[half:num, None] for part in (latents, others))
            crossed = torch.cat([own.expand(-1, kept, -1), foreign.expand(-1, levels - kept, -1)], 1)
            noise = self.data.noise * batch["noise"][1][:num, None]
            more = self.network.paint(torch.cat([between, crossed]) + noise)
            painted = torch.cat([painted, more])
            if self.data.weights.style:
                parts["style"] = self._style(more[half:], pictures[half:num], pictures[partners[half:]])
        unreal, unlike = critic.frozen(painted, pictures)
        return parts | {"unreal": unreal, "unlike": unlike, "judge": critic.loss(pictures, painted)}

    def _style(self, crossed: Tensor, own: Tensor, partners: Tensor) -> Tensor:
        """The partner's spectra and tone, all places taken together, and one's own layout."""
        spectra = F.l1_loss(spectrum_of(crossed).mean(1), spectrum_of(partners).mean(1))
        cells = 2 * self.config.grid
        layout = F.l1_loss(_layout(crossed, cells), _layout(own, cells))
        return spectra + layout + F.l1_loss(crossed.mean((2, 3)), partners.mean((2, 3)))

    def evaluate(self, step: int) -> dict[str, float]:
        """Figures on the validation split, as it is; on the training split where there is none."""
        store, ids, groups = self.val, self.val_ids, self.val_groups
        if not len(store):
            store, ids, groups = self.train, self.ids[:, 0], self.groups
        network, size = self.network, self.data.batch_size
        device = next(network.parameters()).device
        sums: dict[str, float] = {}
        met: list[Tensor] = []
        textures: list[tuple[Tensor, Tensor]] = []
        for at in range(0, len(store), size):
            rows = range(at, min(at + size, len(store)))
            pictures = to_float(torch.from_numpy(np.stack([store.original(row) for row in rows]))).to(device)
            here = ids[at : at + size].to(device)
            made = network(pictures, here)
            figures = {
                "pixels": pixel_loss(made.pictures, pictures),
                "edge": edge_loss(made.pictures, pictures),
                "spectrum": spectrum_loss(made.pictures, pictures),
                "caption": caption_loss(made.logits, here),
                "mse": F.mse_loss(made.pictures.clamp(-1, 1), pictures) / 4,
            }
            for name, value in figures.items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(rows) / len(store)
            blends = [spherical(a, b, 0.5) for a, b in pairwise(made.latents)]
            painted = [made.pictures, network.paint(torch.stack(blends))] if blends else [made.pictures]
            textures.append((_texture(pictures), _texture(torch.cat(painted).clamp(-1, 1))))
            met.append(torch.stack([network.match(made.latents), network.match(network.encode_captions(here))]))
        pair = torch.cat(met, 1)
        sums["match"] = float(match_loss(pair[0], pair[1], network.match_scale, groups.to(device)))
        seen, said = pair.cpu().numpy()
        sums["recall_at_10"] = (recall_at(seen, said, 10) + recall_at(said, seen, 10)) / 2
        sums["texture"] = energy_distance(*(torch.cat(part) for part in zip(*textures))) if len(store) > 1 else 0.0
        sums["psnr"] = float(-10 * np.log10(max(sums.pop("mse"), 1e-9)))
        weights = self.data.weights
        sums["picture"] = sum(getattr(weights, name) * sums[name] for name in ("pixels", "edge", "spectrum"))
        sums["quality"] = sums["pixels"] + sums["texture"]
        sums["loss"] = sums["picture"] + weights.caption * sums["caption"] + weights.match * sums["match"]
        if self.sheets_dir is not None:
            save_picture(self._sheet(store), self.sheets_dir / f"step-{step:06d}.png")
        return sums

    def _sheet(self, store: PictureStore, num: int = 8) -> np.ndarray:
        """Real pictures, the same repainted, and what lies between each and the next."""
        rows = [round(place) for place in np.linspace(0, len(store) - 1, min(num, len(store)))]
        real = np.stack([store.original(row) for row in rows])
        device = next(self.network.parameters()).device
        latents = self.network.encode_pictures(to_float(torch.from_numpy(real)).to(device))
        between = torch.stack([spherical(a, b, 0.5) for a, b in zip(latents, latents.roll(-1, 0))])
        shown = [self.network.paint(part) for part in (latents, between)]
        painted = to_uint8(torch.cat(shown))
        return contact_sheet([*real, *painted], columns=len(rows))

    def export(self, folder: Path) -> None:
        """The network's config and fp32 weights; ``recipe.py`` makes a bundle of them."""
        tensors = {name: value.contiguous() for name, value in self.network.state_dict().items()}
        atomic_write_bytes(folder / "network.safetensors", save(tensors))
        save_settings(self.config, folder / "config.json")


def steps_per_epoch(num_pictures: int, batch_size: int) -> int:
    """Steps of one pass; what is left of one is passed over, and a small collection fills one batch."""
    return max(1, num_pictures // batch_size)


def phrased(collection: Collection, phrasings: Sequence[str]) -> list[list[str]]:
    """Each picture's caption in each of the phrasings; the caption itself where one has nothing to say.

    Raises UnknownNameError at a field that no picture has.
    """
    templates = [Template(text) for text in phrasings]
    rows = [{"caption": record.caption} | {k: str(v) for k, v in record.extra.items()} for record in collection.records]
    for template in templates:
        template.check({name for row in rows for name in row})
    return [[template.render(row) or row["caption"] for template in templates] for row in rows]


def _groups(captions: Sequence[str]) -> Tensor:
    """(N,) the number of each caption among the different ones."""
    known: dict[str, int] = {}
    return torch.tensor([known.setdefault(caption, len(known)) for caption in captions], dtype=torch.long)


def _texture(pictures: Tensor) -> Tensor:
    """(B, 3, S, S) → (B, any): how much of which hatching and which tones there are, wherever they are."""
    spectra = spectrum_of(pictures).mean(1).flatten(1)
    return torch.cat([spectra / spectra.shape[1] ** 0.5, tones_of(pictures) / 22**0.5], 1)


def _layout(pictures: Tensor, cells: int) -> Tensor:
    """Where it is darker and where lighter, on a coarse grid: mean 0."""
    coarse = F.adaptive_avg_pool2d(pictures, cells)
    return coarse - coarse.mean((2, 3), keepdim=True)
