"""What a generator is worth: repainted pictures, captions, samples of every prior, what it may have learned by heart.

Everything is measured on a split that it was not trained on, with features that it had no part in (``features.py``),
and beside what real pictures get. ``evaluate`` reads top to bottom; ``reference.py`` holds the real pictures,
``measures.py`` the formulas, ``evaluate_files.py`` draws what can be looked at.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from reverie.data.pictures import Collection
from reverie.errors import ConfigError, UnknownNameError
from reverie.generator import measures
from reverie.generator.features import FeatureExtractor, Lesson, make_features
from reverie.generator.generator import Sample
from reverie.generator.objective import phrased
from reverie.generator.own_features import OwnFeaturesConfig
from reverie.generator.reference import Reference
from reverie.generator.words import PAD, CaptionTokenizer

__all__ = [
    "EvaluateSettings",
    "Evaluation",
    "Progress",
    "System",
    "caption_perplexity",
    "evaluate",
    "evaluate_beside",
    "extractor_for",
    "joint_figures",
]

Figures = dict[str, float]
Progress = Callable[[str, int, int], None]  # what is being done, how many are done, of how many

RECALLS = (1, 5, 10)
_AT_ONCE = 32
_LESSON_SIDE = 128  # px: the most that an extractor is taught on


class System(Protocol):
    """What can be evaluated: a ``Generator``, or whatever else makes pictures with captions from seeds."""

    network: Any  # has ``caption_logits(latents, ids)``
    tokenizer: CaptionTokenizer
    default_prior: str
    priors: dict[str, Any]

    @property
    def config(self) -> Any: ...  # has ``side`` and ``caption_ids``

    def encode(self, pictures: Sequence[np.ndarray]) -> Tensor: ...

    def paint(self, latents: Tensor) -> np.ndarray: ...

    def describe(self, latents: Tensor) -> list[str]: ...

    def match_pictures(self, pictures: Sequence[np.ndarray]) -> Tensor: ...

    def match_captions(self, captions: Sequence[str]) -> Tensor: ...

    def sample(
        self, seeds: Sequence[int], prior: str = "", temperature: float = 1.0, prompt: str = "", guidance: float = 2.0
    ) -> list[Sample]: ...


@dataclass(frozen=True)
class EvaluateSettings:
    """How a generator is evaluated."""

    samples: int = 100  # pictures sampled from each prior
    first_seed: int = 0  # the seeds are first_seed, first_seed + 1, …
    temperature: float = 1.0
    priors: tuple[str, ...] = ()  # which ones; empty: all that the generator has
    prompts: int = 50  # held-out captions that are asked for, where a prior follows captions
    guidance: float = 2.0  # how strictly
    phrasing: str = "{caption}"  # what is said of a held-out picture: a template of its caption and given fields
    features: str = "own"  # an extractor's name, a Hugging Face folder or id
    own: OwnFeaturesConfig = field(default_factory=OwnFeaturesConfig)  # how "own" is taught
    cache_dir: str = ""  # where taught extractors are kept; "": under $REVERIE_HOME
    shown: int = 24  # pictures on each sheet

    def __post_init__(self) -> None:
        object.__setattr__(self, "priors", tuple(self.priors))
        if self.samples < 1 or self.shown < 1 or self.first_seed < 0 or self.prompts < 0:
            raise ConfigError(
                f"evaluate: samples and shown are at least 1, first_seed and prompts 0 or more, got samples="
                f"{self.samples}, shown={self.shown}, first_seed={self.first_seed} and prompts={self.prompts}"
            )
        for name in ("temperature", "guidance"):
            if not 0 <= getattr(self, name) <= 100:
                raise ConfigError(f"evaluate: {name} lies between 0 and 100, got {getattr(self, name)}")


@dataclass(frozen=True)
class Evaluation:
    """What was found. ``figures``: of the default prior and of everything that needs no prior.

    ``by``: "prior NAME" for each prior, and "floor": what real pictures of the training split get.
    """

    n: int  # held-out pictures
    figures: Figures
    by: dict[str, Figures]
    settings: Mapping[str, Any]
    files: tuple[str, ...] = ()  # below ``out``


def evaluate(
    generator: System,
    collection: Collection,
    split: str = "val",
    settings: EvaluateSettings | None = None,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure ``generator`` on a split of ``collection``; with ``out`` also write sheets and evaluation.json there.

    Raises DataError for a split without pictures, UnknownNameError for a prior that it does not have or a phrasing with
    fields that no picture has, what ``make_features`` raises for features, and MissingExtraError without torchmetrics.
    """
    settings = settings or EvaluateSettings()
    chosen_priors(generator, settings)  # before any work
    extractor = extractor_for(collection, settings, progress)
    return evaluate_beside(
        generator, Reference.of(collection, split, generator.config.side, extractor), split, settings, out, progress
    )


def extractor_for(
    collection: Collection, settings: EvaluateSettings, progress: Progress | None = None
) -> FeatureExtractor:
    """The extractor that the settings name, taught on the training split where it has to be."""
    tell = progress or _silent
    train = collection.split("train")
    needed = settings.features == "own"
    lesson = Lesson(
        train.pictures(min(collection.side, _LESSON_SIDE)) if needed else np.zeros((0, 1, 1, 3), np.uint8),
        settings.own,
        Path(settings.cache_dir) if settings.cache_dir else None,
        lambda done, of: tell("teaching the features", done, of),
    )
    return make_features(settings.features, lesson)


def evaluate_beside(
    generator: System,
    reference: Reference,
    split: str,
    settings: EvaluateSettings,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """``evaluate`` with the real pictures ready, for several systems that are held against the same ones."""
    from reverie.generator.evaluate_files import Shown, write_files

    tell = progress or _silent
    priors = chosen_priors(generator, settings)
    said = [row[0] for row in phrased(reference.held, [settings.phrasing])]
    tell("repainting", 0, 1)
    latents, repainted = _repaint(generator, reference.pictures)
    figures = {
        "psnr": measures.psnr(reference.pictures, repainted),
        "ms_ssim": measures.ms_ssim(reference.pictures, repainted),
        "caption_perplexity": caption_perplexity(generator, latents, said),
    }
    figures |= _joint(generator, reference.pictures, said)
    by: dict[str, Figures] = {}
    samples: dict[str, list[Sample]] = {}
    nearest = {}
    for name in priors:
        samples[name], seconds = _sample(generator, name, settings, tell)
        pictures, captions = np.stack([one.picture for one in samples[name]]), [one.caption for one in samples[name]]
        nearest[name] = reference.near(pictures)
        by[f"prior {name}"] = {
            "n": float(len(pictures)),
            **reference.sample_figures(pictures, nearest[name]),
            "distinct_captions_share": measures.distinct_share(captions),
            **_joint(generator, pictures, captions, "sampled_"),
            **_prompted(generator, name, said[: settings.prompts], settings, tell),
            "seconds_per_picture": seconds / len(pictures),
        }
    by["floor"] = reference.floors(settings.samples)
    figures |= {key: value for key, value in by[f"prior {_main(generator, priors)}"].items() if key != "n"}
    noted = {
        "split": split, "held_out": len(reference.held), "trained_on": len(reference.train), "side": reference.side,
        "features": reference.extractor.name, "samples": settings.samples, "default_prior": _main(generator, priors),
        "temperature": settings.temperature, "first_seed": settings.first_seed, "phrasing": settings.phrasing,
    }  # fmt: skip
    found = Evaluation(len(reference.held), figures, by, noted)
    if out is None:
        return found
    tell("writing", 0, 1)
    shown = Shown(repainted, generator.describe(latents[: settings.shown]), samples, nearest)
    return write_files(found, reference, shown, settings.shown, out)


def caption_perplexity(system: System, latents: Tensor, captions: Sequence[str]) -> float:
    """How many ids the caption network wavers between at each place, told the true ones before it (teacher forced).

    The exponential of the mean cross entropy over all ids after the first, the end among them; ``latents`` (N, D).
    """
    nats, count = 0.0, 0
    for start in range(0, len(captions), _AT_ONCE):
        ids = system.tokenizer.batch(captions[start : start + _AT_ONCE], system.config.caption_ids)
        with torch.inference_mode():
            logits = system.network.caption_logits(latents[start : start + _AT_ONCE], ids)  # (B, T, V)
        goal = ids[:, 1:].flatten()
        nats += float(F.cross_entropy(logits[:, :-1].flatten(0, 1), goal, ignore_index=PAD, reduction="sum"))
        count += int((goal != PAD).sum())
    return math.exp(min(nats / count, 700.0)) if count else float("nan")


def joint_figures(pictures: np.ndarray, captions: np.ndarray, prefix: str = "") -> Figures:
    """Does a picture find its caption, and a caption its picture? Matched unit vectors (N, M) of both.

    ``joint_recall_at_k`` is the mean of both ways, ``…_over_chance`` its ratio to that of vectors that know nothing.
    """
    figures: Figures = {}
    for k in RECALLS:
        ways = measures.recall_at(pictures, captions, k), measures.recall_at(captions, pictures, k)
        figures[f"{prefix}picture_to_caption_recall_at_{k}"], figures[f"{prefix}caption_to_picture_recall_at_{k}"] = (
            ways
        )
        figures[f"{prefix}joint_recall_at_{k}"] = (ways[0] + ways[1]) / 2
        chance = measures.chance_at(k, len(pictures))
        figures[f"{prefix}chance_recall_at_{k}"] = chance
        figures[f"{prefix}joint_recall_at_{k}_over_chance"] = (ways[0] + ways[1]) / 2 / chance
    return figures


def chosen_priors(generator: System, settings: EvaluateSettings) -> tuple[str, ...]:
    """The priors to sample from; UnknownNameError for one that the generator does not have."""
    for name in settings.priors:
        if name not in generator.priors:
            raise UnknownNameError("prior", name, generator.priors)
    return settings.priors or tuple(generator.priors)


def _main(generator: System, priors: Sequence[str]) -> str:
    return generator.default_prior if generator.default_prior in priors else priors[0]


def _repaint(generator: System, pictures: np.ndarray) -> tuple[Tensor, np.ndarray]:
    latents = torch.cat([generator.encode(list(part)) for part in _parts(pictures)])
    return latents, np.concatenate([generator.paint(part) for part in latents.split(_AT_ONCE)])


def _joint(generator: System, pictures: np.ndarray, captions: Sequence[str], prefix: str = "") -> Figures:
    seen = torch.cat([generator.match_pictures(list(part)) for part in _parts(pictures)])
    return joint_figures(seen.numpy(), generator.match_captions(captions).numpy(), prefix)


def _sample(generator: System, prior: str, settings: EvaluateSettings, tell: Progress) -> tuple[list[Sample], float]:
    """The samples, and the seconds that they took."""
    started, samples = time.perf_counter(), list[Sample]()
    for number in range(settings.samples):
        tell(f"sampling, {prior}", number, settings.samples)
        samples += generator.sample([settings.first_seed + number], prior, settings.temperature)
    return samples, time.perf_counter() - started


def _prompted(
    generator: System, prior: str, prompts: Sequence[str], settings: EvaluateSettings, tell: Progress
) -> Figures:
    """Ask for held-out captions, and see whether the pictures that come find them again among all that were asked."""
    if not prompts or not getattr(generator.priors[prior], "follows_captions", False):
        return {}
    pictures = []
    for number, prompt in enumerate(prompts):
        tell(f"prompting, {prior}", number, len(prompts))
        seeds = [settings.first_seed + number]
        pictures += generator.sample(seeds, prior, settings.temperature, prompt, settings.guidance)
    found = _joint(generator, np.stack([one.picture for one in pictures]), prompts, "prompt_")
    names = ("prompt_picture_to_caption_recall_at_10", "prompt_chance_recall_at_10")
    return {"prompt_recall_at_10": found[names[0]], names[1]: found[names[1]]}


def _parts(pictures: np.ndarray) -> list[np.ndarray]:
    return [pictures[start : start + _AT_ONCE] for start in range(0, len(pictures), _AT_ONCE)]


def _silent(what: str, done: int, of: int) -> None:
    """Nobody is watching."""
