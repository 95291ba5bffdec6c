"""What a generator is worth: repainted pictures, captions, samples of every prior, what it may have learned by heart.

Everything is measured on a split that it was not trained on, with features that it had no part in (``features.py``),
and beside what real pictures get. ``evaluate`` reads top to bottom; ``real_pictures.py`` holds the real pictures,
``measures.py`` the formulas, ``evaluation.py`` what is asked and found, ``evaluate_files.py`` draws it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from reverie.data.pictures import Collection
from reverie.errors import UnknownNameError
from reverie.generator import measures
from reverie.generator.caption_tokenizer import PAD
from reverie.generator.evaluation import EvaluateConfig, Evaluation, Figures, Shown, System
from reverie.generator.features import FeatureExtractor, Lesson, make_features
from reverie.generator.generator import Sample
from reverie.generator.objective import phrased
from reverie.generator.real_pictures import RealPictures
from reverie.progress import Progress, no_progress

__all__ = ["caption_perplexity", "evaluate", "evaluate_beside", "extractor_for", "joint_figures"]

RECALLS = (1, 5, 10)
_AT_ONCE = 32
_LESSON_SIDE = 128  # px: the most that an extractor is taught on


def evaluate(
    generator: System,
    collection: Collection,
    split: str = "val",
    settings: EvaluateConfig | None = None,
    progress: Progress = no_progress,
) -> tuple[Evaluation, Shown]:
    """Measure ``generator`` on a split of ``collection``; ``evaluate_files.py`` writes what comes of it.

    Raises DataError for a split without pictures, UnknownNameError for a prior that it does not have or a phrasing with
    fields that no picture has, what ``make_features`` raises for features, and MissingExtraError without torchmetrics.
    """
    settings = settings or EvaluateConfig()
    chosen_priors(generator, settings)  # before any work
    extractor = extractor_for(collection, settings, progress)
    progress("reading pictures", 0, len(collection))
    reference = RealPictures.of(collection, split, generator.config.side, extractor)
    return evaluate_beside(generator, reference, split, settings, progress)


def extractor_for(
    collection: Collection, settings: EvaluateConfig, progress: Progress = no_progress
) -> FeatureExtractor:
    """The extractor that the settings name, taught on the training split where it has to be."""
    train = collection.split("train")
    progress("reading pictures", 0, len(train))
    needed = settings.features.casefold() == "own"
    lesson = Lesson(
        train.pictures(min(collection.side, _LESSON_SIDE)) if needed else np.zeros((0, 1, 1, 3), np.uint8),
        settings.own,
        Path(settings.cache_dir) if settings.cache_dir else None,
        progress,
    )
    return make_features(settings.features, lesson)


def evaluate_beside(
    generator: System,
    reference: RealPictures,
    split: str,
    settings: EvaluateConfig,
    progress: Progress = no_progress,
) -> tuple[Evaluation, Shown]:
    """``evaluate`` with the real pictures ready, for several systems that are held against the same ones."""
    priors = chosen_priors(generator, settings)
    said = [row[0] for row in phrased(reference.held, [settings.phrasing])]
    progress("repainting", 0, len(reference.pictures))
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
        samples[name], seconds = _sample(generator, name, settings, progress)
        pictures, captions = np.stack([one.picture for one in samples[name]]), [one.caption for one in samples[name]]
        nearest[name] = reference.near(pictures)
        by[f"prior {name}"] = {
            "n": float(len(pictures)),
            **reference.sample_figures(pictures, nearest[name]),
            "distinct_captions_share": measures.distinct_share(captions),
            **_joint(generator, pictures, captions, "sampled_"),
            **_prompted(generator, name, said[: settings.prompts], settings, progress),
            "seconds_per_picture": seconds / len(pictures),
        }
    by["floor"] = reference.floors(settings.samples)
    figures |= {key: value for key, value in by[f"prior {_main(generator, priors)}"].items() if key != "n"}
    noted = {
        "split": split, "held_out": len(reference.held), "trained_on": len(reference.train), "side": reference.side,
        "features": reference.extractor.name, "samples": settings.samples, "default_prior": _main(generator, priors),
        "temperature": settings.temperature, "first_seed": settings.first_seed, "phrasing": settings.phrasing,
    }  # fmt: skip
    shown = Shown(reference, repainted, generator.describe(latents[: settings.shown]), samples, nearest)
    return Evaluation(len(reference.held), figures, by, noted), shown


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


def chosen_priors(generator: System, settings: EvaluateConfig) -> tuple[str, ...]:
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


def _sample(generator: System, prior: str, settings: EvaluateConfig, progress: Progress) -> tuple[list[Sample], float]:
    """The samples, and the seconds that they took."""
    started, samples = time.perf_counter(), list[Sample]()
    for number in range(settings.samples):
        progress(f"sampling, {prior}", number, settings.samples)
        samples += generator.sample([settings.first_seed + number], prior, settings.temperature)
    return samples, time.perf_counter() - started


def _prompted(
    generator: System, prior: str, prompts: Sequence[str], settings: EvaluateConfig, progress: Progress
) -> Figures:
    """Ask for held-out captions, and see whether the pictures that come find them again among all that were asked."""
    if not prompts or not getattr(generator.priors[prior], "follows_captions", False):
        return {}
    pictures = []
    for number, prompt in enumerate(prompts):
        progress(f"prompting, {prior}", number, len(prompts))
        seeds = [settings.first_seed + number]
        pictures += generator.sample(seeds, prior, settings.temperature, prompt, settings.guidance)
    found = _joint(generator, np.stack([one.picture for one in pictures]), prompts, "prompt_")
    names = ("prompt_picture_to_caption_recall_at_10", "prompt_chance_recall_at_10")
    return {"prompt_recall_at_10": found[names[0]], names[1]: found[names[1]]}


def _parts(pictures: np.ndarray) -> list[np.ndarray]:
    return [pictures[start : start + _AT_ONCE] for start in range(0, len(pictures), _AT_ONCE)]
