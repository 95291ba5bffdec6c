"""A trained generator: seeds, prompts and pictures → pictures with captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from reverie.data.pictures import fit_square, save_picture
from reverie.errors import BundleError, ConfigError, UnknownNameError, UsageError
from reverie.files import atomic_folder, atomic_write_bytes
from reverie.generator.bundle import seal_generator, verify_generator
from reverie.generator.caption_tokenizer import BEGIN, END, PAD, CaptionTokenizer
from reverie.generator.config import MAX_SEED, PRESETS, GeneratorConfig
from reverie.generator.int8 import dequantize_tensors
from reverie.generator.network import GeneratorNetwork
from reverie.generator.priors import Prior, load_prior, save_prior
from reverie.generator.priors.contract import NormalPrior
from reverie.jsonio import read_object
from reverie.settings import build_settings, save_settings
from reverie.tokens.image import to_float, to_uint8

__all__ = ["Generator", "Sample", "toy_generator"]

_BATCH = 32  # captions at once
_PIXELS = 32 * 128 * 128  # of pictures encoded or painted at once


@dataclass(frozen=True)
class Sample:
    """A picture with its caption, and the latent of both."""

    seed: int
    picture: np.ndarray  # uint8 (S, S, 3)
    caption: str
    latent: np.ndarray  # float32 (D,)
    prompt: str = ""


class Generator:
    """Everything that can be done with a trained network and its priors. Nothing here changes it.

    Args:
        card: JSON about it: name, recipe, figures
    """

    def __init__(
        self,
        network: GeneratorNetwork,
        tokenizer: CaptionTokenizer,
        priors: Mapping[str, Prior],
        default_prior: str,
        card: Mapping[str, Any],
    ):
        self.network = network.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.priors = {"normal": NormalPrior(network.config.latent_size), **priors}
        self.default_prior = default_prior
        self.card = dict(card)
        self.prior(default_prior)

    @property
    def config(self) -> GeneratorConfig:
        return self.network.config

    @property
    def name(self) -> str:
        return str(self.card.get("name", "generator"))

    def prior(self, name: str = "") -> Prior:
        """The prior of that name, or the default one; UnknownNameError suggests the nearest."""
        name = name or self.default_prior
        if name not in self.priors:
            raise UnknownNameError("prior", name, self.priors)
        return self.priors[name]

    # pictures, captions and latents

    @torch.no_grad()
    def encode(self, pictures: Sequence[np.ndarray]) -> Tensor:
        """uint8 (H, W, 3) pictures of any size → latents (N, D); sides that differ are padded, as in a collection."""
        rows = [self.network.encode_pictures(part) for part in self._parts(self._squares(pictures))]
        return torch.cat(rows) if rows else torch.zeros(0, self.config.latent_size)

    @torch.no_grad()
    def embed(self, captions: Sequence[str]) -> Tensor:
        """→ latents (N, D). A caption that is too long is cut to ``config.caption_ids``."""
        rows = [
            self.network.encode_captions(self.tokenizer.batch(captions[at : at + _BATCH], self.config.caption_ids))
            for at in range(0, len(captions), _BATCH)
        ]
        return torch.cat(rows) if rows else torch.zeros(0, self.config.latent_size)

    @torch.no_grad()
    def paint(self, latents: Tensor) -> np.ndarray:
        """(N, D), or (N, L, D) with a latent for each level, coarsest first → uint8 (N, S, S, 3)."""
        parts = [self.network.paint(part) for part in self._parts(latents)]
        side = self.config.side
        pictures = torch.cat(parts) if parts else torch.zeros(0, 3, side, side)
        return to_uint8(pictures)

    @torch.no_grad()
    def describe(self, latents: Tensor, temperature: float = 0.0, seeds: Sequence[int] | None = None) -> list[str]:
        """Captions of latents (N, D). ``temperature`` 0 takes the likeliest id each time; above, each row draws by its
        own seed."""
        seeds = list(seeds) if seeds is not None else [0] * len(latents)
        captions: list[str] = []
        for at in range(0, len(latents), _BATCH):
            part = latents[at : at + _BATCH]
            drawn = [torch.Generator().manual_seed(seed) for seed in seeds[at : at + _BATCH]]
            captions += map(self.tokenizer.decode, self._write(part, temperature, drawn).tolist())
        return captions

    def match_pictures(self, pictures: Sequence[np.ndarray]) -> Tensor:
        """(N, M) unit vectors, near those of captions that fit."""
        return self.network.match(self.encode(pictures))

    def match_captions(self, captions: Sequence[str]) -> Tensor:
        """(N, M) unit vectors, near those of pictures that fit."""
        return self.network.match(self.embed(captions))

    # what people ask for

    @torch.no_grad()
    def latents(
        self, seeds: Sequence[int], prior: str = "", temperature: float = 1.0, prompt: str = "", guidance: float = 2.0
    ) -> Tensor:
        """Latents (N, D) of seeds. With a ``prompt`` the flow is used where no prior is named: it hears captions.

        Raises UnknownNameError, and UsageError on seeds or settings out of range, or a prompt that cannot be heard.
        """
        _check(seeds, temperature, guidance)
        hears = next((name for name, one in self.priors.items() if one.follows_captions), "")
        chosen = self.prior(prior or (hears if prompt else ""))
        if prompt and not chosen.follows_captions:
            have = f"use --prior {hears}" if hears else "this generator has none that does"
            raise UsageError(f"the prior '{chosen.name}' follows no prompt; {have}")
        condition = self.embed([prompt]).expand(len(seeds), -1) if prompt else None
        return chosen.latents(chosen.noise(seeds), temperature, condition, guidance)

    def sample(
        self, seeds: Sequence[int], prior: str = "", temperature: float = 1.0, prompt: str = "", guidance: float = 2.0
    ) -> list[Sample]:
        """A picture and its caption for each seed; the same whatever other seeds stand beside it."""
        made = (
            self._samples([seed], self.latents([seed], prior, temperature, prompt, guidance), prompt) for seed in seeds
        )
        return [sample for one in made for sample in one]  # one by one: products of other sizes round differently

    def caption(self, pictures: Sequence[np.ndarray], temperature: float = 0.0, seed: int = 0) -> list[str]:
        """What the generator would write below pictures, uint8 (H, W, 3)."""
        return self.describe(self.encode(pictures), temperature, [seed] * len(pictures))

    @torch.no_grad()
    def interpolate(self, first: int, last: int, steps: int, prior: str = "", temperature: float = 1.0) -> list[Sample]:
        """From the sample of one seed to that of another: on a great circle of the noise, or as the prior asks for."""
        if steps < 2:
            raise UsageError(f"an interpolation has at least 2 steps, got {steps}")
        _check([first, last], temperature, 0.0)
        chosen = self.prior(prior)
        ends = chosen.noise([first, last])
        latents = chosen.between(ends[0], ends[1], steps, temperature)
        samples = self._samples([first] * steps, latents)
        return [*samples[:-1], replace(samples[-1], seed=last)]

    def edit(self, picture: np.ndarray, style_of: np.ndarray, strength: float = 1.0, levels: int = 0) -> Sample:
        """``picture`` in the style of another: its ``levels`` coarsest levels are painted from its own latent, the
        finer ones from that of ``style_of``.

        Args:
            strength: 0 repaints the picture itself, 1 takes the style whole
            levels: how many follow the picture; 0: half of them
        """
        if not 0 <= strength <= 1:
            raise UsageError(f"strength lies between 0 and 1, got {strength}")
        kept = levels or self.network.num_levels // 2
        if not 1 <= kept <= self.network.num_levels:
            raise UsageError(f"levels lies between 1 and {self.network.num_levels}, got {levels}")
        own, style = self.encode([picture, style_of])
        mixed = torch.lerp(own, style, strength)
        each = torch.stack([own if level < kept else mixed for level in range(self.network.num_levels)])
        painted = self.paint(each[None])[0]
        return Sample(0, painted, self.caption([painted])[0], each.mean(0).numpy())

    # files

    def save(self, folder: str | Path, sheet: np.ndarray | None = None) -> Path:
        """Write a bundle, whole or not at all; weights as bf16."""
        folder = Path(folder)
        with atomic_folder(folder) as new:
            tensors = {name: tensor.to(torch.bfloat16) for name, tensor in self.network.state_dict().items()}
            atomic_write_bytes(new / "model.safetensors", save(tensors))
            self._save_rest(new, sheet)
            seal_generator(new, **self._fields(), weights="bf16")
        return folder

    def _save_rest(self, folder: Path, sheet: np.ndarray | None = None) -> None:
        save_settings(self.config, folder / "config.json")
        self.tokenizer.save(folder / "captions")
        self.save_priors(folder)
        if sheet is not None:
            save_picture(sheet, folder / "sheet.png")

    def save_priors(self, folder: Path) -> None:
        """Write the fitted ones into ``priors/`` of ``folder``."""
        for name, prior in self.priors.items():
            if name != "normal":
                save_prior(prior, folder / "priors" / name)

    def _fields(self) -> dict[str, Any]:
        return {"name": self.name, "default_prior": self.default_prior, "card": self.card}

    @classmethod
    def load(cls, folder: str | Path) -> Generator:
        """Read a bundle. Raises BundleError when it is none, damaged, or of a newer format."""
        folder = Path(folder)
        manifest = verify_generator(folder)
        try:
            config = build_settings(
                GeneratorConfig, read_object(folder / "config.json", BundleError, "the settings of a generator")
            )
            network = GeneratorNetwork(config)
            tensors = load((folder / "model.safetensors").read_bytes())
            network.load_state_dict(dequantize_tensors(tensors))
        except OSError as error:
            raise BundleError(f"cannot read {error.filename}: {error.strerror}") from error
        except (ValueError, RuntimeError, SafetensorError, ConfigError) as error:
            raise BundleError(f"the weights in {folder} are damaged or of another version: {error}") from error
        priors = {path.name: load_prior(path) for path in sorted((folder / "priors").glob("*")) if path.is_dir()}
        tokenizer = CaptionTokenizer.load(folder / "captions")
        return cls(network, tokenizer, priors, manifest["default_prior"], manifest["card"])

    def _parts(self, rows: Tensor) -> list[Tensor]:
        """Few enough of them at once that memory does not grow with the side."""
        return list(rows.split(max(1, _PIXELS // self.config.side**2))) if len(rows) else []

    def _squares(self, pictures: Sequence[np.ndarray]) -> Tensor:
        side = self.config.side
        squares = [fit_square(picture, side)[0] for picture in pictures]
        return to_float(torch.from_numpy(np.stack(squares))) if squares else torch.zeros(0, 3, side, side)

    def _samples(self, seeds: Sequence[int], latents: Tensor, prompt: str = "") -> list[Sample]:
        pictures, captions = self.paint(latents), self.describe(latents)
        return [
            Sample(int(seed), picture, caption, latent.numpy(), prompt)
            for seed, picture, caption, latent in zip(seeds, pictures, captions, latents, strict=True)
        ]

    def _write(self, latents: Tensor, temperature: float, drawn: Sequence[torch.Generator]) -> Tensor:
        ids = torch.full((len(latents), 1), BEGIN)
        over = torch.zeros(len(latents), dtype=torch.bool)
        for _ in range(self.config.caption_ids - 1):
            logits = self.network.caption_logits(latents, ids)[:, -1, : self.tokenizer.size]
            logits[:, [PAD, BEGIN]] = -torch.inf
            if temperature > 0:
                shares = torch.softmax(logits / temperature, -1)
                chosen = torch.cat([torch.multinomial(row, 1, generator=own) for row, own in zip(shares, drawn)])
            else:
                chosen = logits.argmax(-1)
            chosen = torch.where(over, END, chosen)
            ids = torch.cat([ids, chosen[:, None]], 1)
            over |= chosen == END
            if over.all():
                break
        return ids[:, 1:]


def toy_generator(seed: int = 0) -> Generator:
    """An untrained generator of 16 x 16 pictures with priors fitted to noise: it runs, and knows nothing."""
    from reverie.generator.priors import PriorFitConfig, fit_prior
    from reverie.generator.priors.flow import FlowLessons
    from reverie.training import LoopConfig

    config = PRESETS.get("toy-16")
    draw = torch.Generator().manual_seed(seed)
    tokenizer = CaptionTokenizer.train(
        ["a ship in a storm", "a castle on a hill", "two old men", "a tree"], config.vocabulary
    )
    network = GeneratorNetwork(config, draw)
    latents = torch.randn(64, config.latent_size, generator=draw)
    loop = LoopConfig(
        steps=2, warmup_steps=0, precision="fp32", eval_every=0, checkpoint_every=0, tensorboard=False, curves=False
    )
    settings = PriorFitConfig(mixture_components=8, gaussians=(2,), flow=FlowLessons(8, 16, 1, 16), flow_loop=loop)
    parts = (latents[:48], latents[:48], latents[48:], latents[48:])
    priors = {name: fit_prior(name, *parts, settings) for name in ("mixture", "flow")}
    return Generator(network, tokenizer, priors, "flow", {"name": "toy"})


def _check(seeds: Sequence[int], temperature: float, guidance: float) -> None:
    for seed in seeds:
        if not 0 <= seed <= MAX_SEED:
            raise UsageError(f"a seed lies between 0 and 2^32 - 1, got {seed}")
    for name, value in (("temperature", temperature), ("guidance", guidance)):
        if not 0 <= value <= 100:
            raise UsageError(f"{name} lies between 0 and 100, got {value}")
