"""From a prepared collection to a generator's bundle: words, networks, priors. Running a recipe again goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from reverie.data.pictures import Collection, contact_sheet
from reverie.errors import ConfigError
from reverie.files import atomic_write_json
from reverie.generator.caption_tokenizer import CaptionTokenizer
from reverie.generator.config import PRESETS, GeneratorConfig
from reverie.generator.generator import Generator
from reverie.generator.network import GeneratorNetwork
from reverie.generator.objective import GeneratorData, GeneratorObjective, phrased, steps_per_epoch
from reverie.generator.priors import Prior, PriorFitConfig, fit_prior, need_fitters
from reverie.generator.priors.contract import energy_distance
from reverie.generator.store import PictureStore, all_grey
from reverie.progress import Progress, no_progress
from reverie.settings import build_settings, settings_to_dict
from reverie.tokens.image import to_float
from reverie.training.loop import TrainResult, train
from reverie.training.rundir import RunDir
from reverie.training.settings import LoopConfig

__all__ = [
    "GeneratorRecipe",
    "GeneratorResult",
    "finish",
    "fit_priors",
    "note_recipe",
    "sample_sheet",
    "train_generator",
]

_FREE = {"run_dir", "name", "priors", "fit", "checkpoint_epochs", "views"}  # may change after the networks are trained


@dataclass(frozen=True)
class GeneratorRecipe:
    """Everything that makes one generator again."""

    run_dir: str = "runs/generator"
    name: str = ""  # of the bundle; else that of the run folder
    preset: str = "tiny-64"
    model: dict[str, Any] = field(default_factory=dict)  # settings of GeneratorConfig that differ from the preset
    data: GeneratorData = field(default_factory=GeneratorData)
    epochs: int = 0  # passes over the training split; 0: loop.steps says how long
    checkpoint_epochs: int = 5  # passes between checkpoints; 0: loop.checkpoint_every says how often
    loop: LoopConfig = LoopConfig(steps=3000, lr=1e-3, weight_decay=0.02, warmup_steps=100)
    priors: tuple[Literal["mixture", "flow"], ...] = ("mixture", "flow")
    fit: PriorFitConfig = field(default_factory=PriorFitConfig)
    views: int = 4  # times that each training picture, cut and toned anew, is encoded for the priors

    def __post_init__(self) -> None:
        object.__setattr__(self, "priors", tuple(self.priors))
        if self.epochs < 0 or self.checkpoint_epochs < 0 or self.views < 0:
            raise ConfigError("generator: epochs, checkpoint_epochs and views are 0 or more")
        _ = self.config  # refuses a preset or a model that cannot be

    @property
    def config(self) -> GeneratorConfig:
        return build_settings(GeneratorConfig, settings_to_dict(PRESETS.get(self.preset)) | dict(self.model))


@dataclass(frozen=True)
class GeneratorResult:
    """How a training ended; ``product``, a bundle or an adapter, is None where it was stopped before its end."""

    trained: TrainResult
    product: Path | None
    sheet: Path | None
    figures: dict[str, float]


def train_generator(recipe: GeneratorRecipe, progress: Progress = no_progress) -> GeneratorResult:
    """Train, fit the priors and write ``run_dir/bundle``; a run that was stopped, or killed, goes on where it was.

    Raises DataError on a collection that is none, TrainingError where the run folder holds a run of other settings.
    """
    run_dir = Path(recipe.run_dir)
    collection = Collection.open(recipe.data.collection)
    need_fitters(recipe.priors)
    note_recipe(settings_to_dict(recipe), run_dir, _FREE)
    progress("learning words", 0, 1)
    tokenizer = _words(recipe, run_dir, collection)
    loop = _loop(recipe, steps_per_epoch(len(collection.split("train")), recipe.data.batch_size))
    config = recipe.config
    if "grey" not in recipe.model:
        config = replace(config, grey=bool(len(collection)) and all_grey(collection, progress))
    sheets = run_dir / "sheets"
    objective = GeneratorObjective(recipe.data, config, collection, tokenizer, loop.steps, sheets, progress=progress)
    trained = train(objective, loop, run_dir, progress)
    if trained.stopped != "done" or not trained.leads:
        return GeneratorResult(trained, None, None, trained.metrics)
    objective.network.load_state_dict(load_file(run_dir / "export" / "network.safetensors"))
    network = objective.network.cpu().eval()
    progress("evaluating", 0, 1)
    with torch.no_grad():
        figures = objective.evaluate(loop.steps)

    def write(made: Generator) -> Path:
        return made.save(run_dir / "bundle", sample_sheet(made))

    return finish(trained, network, objective, recipe, figures, {"recipe": settings_to_dict(recipe)}, write, progress)


def finish(
    trained: TrainResult,
    network: GeneratorNetwork,
    objective: GeneratorObjective,
    recipe: GeneratorRecipe,
    figures: dict[str, float],
    about: dict[str, Any],
    write: Callable[[Generator], Path],
    progress: Progress = no_progress,
) -> GeneratorResult:
    """Fit the priors to what a trained ``network`` makes of the objective's pictures, and ``write`` the generator.

    ``about``: what else its card says.
    """
    run_dir = Path(recipe.run_dir)
    priors, chosen, distances = fit_priors(
        network, objective.tokenizer, objective.train, objective.val, recipe, run_dir, progress
    )
    figures |= {f"{name}_distance": value for name, value in distances.items()}
    card = {"name": recipe.name or run_dir.name, "pictures": len(objective.train), "steps": trained.step}
    made = Generator(network, objective.tokenizer, priors, chosen, card | {"figures": figures} | about)
    progress("drawing samples", 0, 1)
    product = write(made)
    atomic_write_json(run_dir / "metrics.json", {"steps": trained.step, "figures": figures, "default_prior": chosen})
    return GeneratorResult(trained, product, product / "sheet.png", figures)


def sample_sheet(made: Generator) -> np.ndarray:
    """The first 24 samples with their captions: what a finished training shows."""
    samples = made.sample(range(24))
    return contact_sheet([one.picture for one in samples], [one.caption for one in samples], columns=6)


@torch.no_grad()
def _latents(
    network: GeneratorNetwork, store: PictureStore, recipe: GeneratorRecipe, views: int, progress: Progress
) -> Tensor:
    """Of every picture as it is, then of ``views`` variations of each: (N · (1 + views), D)."""
    rng = np.random.default_rng([recipe.data.seed, 3])
    rows = []
    for view in range(1 + views):
        for at in range(0, len(store), 32):
            places = range(at, min(at + 32, len(store)))
            progress("encoding pictures", view * len(store) + at, (1 + views) * len(store))
            seen = [store.varied(row, recipe.data.augment, rng) if view else store.original(row) for row in places]
            rows.append(network.encode_pictures(to_float(torch.from_numpy(np.stack(seen)))))
    return torch.cat(rows) if rows else torch.zeros(0, network.config.latent_size)


def fit_priors(
    network: GeneratorNetwork,
    tokenizer: CaptionTokenizer,
    known: PictureStore,
    unseen: PictureStore,
    recipe: GeneratorRecipe,
    run_dir: Path | None = None,
    progress: Progress = no_progress,
) -> tuple[dict[str, Prior], str, dict[str, float]]:
    """The priors by name, the name of the one whose latents lie nearest to unseen ones, and how far each lies."""
    latents, others = (
        _latents(network, store, recipe, views, progress) for store, views in ((known, recipe.views), (unseen, 0))
    )
    with torch.no_grad():
        captions, other_captions = (_embedded(network, tokenizer, store) for store in (known, unseen))
    captions = captions.repeat(1 + recipe.views, 1)
    priors: dict[str, Prior] = {}
    for name in recipe.priors:
        flow_dir = run_dir / "flow" if run_dir is not None else None
        priors[name] = fit_prior(name, latents, captions, others, other_captions, recipe.fit, flow_dir, progress)
    goal = others if len(others) > 1 else latents
    distances = {name: _distance(prior, goal) for name, prior in priors.items()}
    chosen = min(distances, key=lambda name: distances[name]) if distances else "normal"
    return priors, chosen, distances


def _embedded(network: GeneratorNetwork, tokenizer: CaptionTokenizer, store: PictureStore) -> Tensor:
    captions, length = store.collection.captions, network.config.caption_ids
    parts = [captions[at : at + 64] for at in range(0, len(captions), 64)]
    rows = [network.encode_captions(tokenizer.batch(part, length)) for part in parts]
    return torch.cat(rows) if rows else torch.zeros(0, network.config.latent_size)


@torch.no_grad()
def _distance(prior: Prior, latents: Tensor, draws: int = 1000) -> float:
    """Between a prior's latents and ``latents``."""
    return energy_distance(prior.latents(prior.noise(range(draws))), latents)


def _words(recipe: GeneratorRecipe, run_dir: Path, collection: Collection) -> CaptionTokenizer:
    folder = run_dir / "captions"
    if (folder / "tokenizer.json").exists():
        return CaptionTokenizer.load(folder)
    said = phrased(collection.split("train"), recipe.data.phrasings)
    tokenizer = CaptionTokenizer.train((one for row in said for one in row), recipe.config.vocabulary)
    tokenizer.save(folder)
    return tokenizer


def note_recipe(now: Mapping[str, Any], run_dir: Path, free: set[str]) -> None:
    """Keep the settings of a run beside it; TrainingError where it holds a run whose others than ``free`` differ.

    A flow that was fitted by other settings is removed: it is fitted anew, and the networks stay.
    """
    if {"fit", "views"} & RunDir(run_dir).note(now, free | {"loop"}):  # the loop says itself which of its may change
        shutil.rmtree(run_dir / "flow", ignore_errors=True)


def _loop(recipe: GeneratorRecipe, epoch: int) -> LoopConfig:
    """The loop of the recipe; ``epoch``: steps of a pass over the training split."""
    loop = replace(recipe.loop, steps=recipe.epochs * epoch) if recipe.epochs else recipe.loop
    return replace(loop, checkpoint_every=recipe.checkpoint_epochs * epoch) if recipe.checkpoint_epochs else loop
