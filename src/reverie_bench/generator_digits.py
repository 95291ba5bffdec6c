"""Seeds of the generator on scikit-learn's digits (8 × 8 pixels), whose labels are their captions: "zero" … "nine".

A reader, taught on the real training digits alone, says which digit a sampled picture shows. ``joint_coherence`` is the
share of samples whose caption is that digit's word. ``fid`` is the Fréchet distance between the test digits and as many
samples as there are training digits, in the 64 numbers of the reader's last hidden layer, after its ReLU.

The reader: scikit-learn's ``MLPClassifier`` with hidden layers of 256 and 64, alpha 1e-3, 60 passes in batches of 128,
random_state 0, on the training digits in [0, 1] and eight copies of each turned by up to 12°, sized by up to a tenth
and moved by up to 0.7 px. ``floor_fid`` is what the real training digits get, ``reader_accuracy`` how often it is right
about real test digits.

Digits are split once for all seeds, by label, into 1,197 for training, 240 for choosing and 360 for testing. Everything
that had to be chosen (sizes, steps, the prior) was chosen on the 240.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.errors import ConfigError
from reverie.settings import load_settings
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings, Published

if TYPE_CHECKING:
    from reverie.data.pictures import Collection
    from reverie.generator import Generator
    from reverie.generator.recipe import GeneratorRecipe

__all__ = ["BENCHMARK", "DigitReader", "Digits", "DigitsBenchConfig", "digits_recipe"]

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIDE, LATENT = 8, 12
_VAL, _TEST = 240, 360
_COPIES = 8
_JITTER_DEGREES, _JITTER_SIZE, _JITTER_PX = 12.0, 0.1, 0.7


@dataclass(frozen=True)
class DigitsBenchConfig:
    """What `bench generator-digits` lets one set."""

    seeds: int = 3  # of weights, order and priors; the split and the reader are the same
    steps: int = 2000  # of training the networks
    flow_steps: int = 4000  # of fitting the flow, at most
    samples: int = 0  # of each prior; 0: as many as there are training digits

    def __post_init__(self) -> None:
        if min(self.seeds, self.steps, self.flow_steps) < 1 or self.samples < 0:
            raise ConfigError(
                f"generator-digits: seeds, steps and flow_steps are at least 1, samples 0 or more, got {self.seeds}, "
                f"{self.steps}, {self.flow_steps} and {self.samples}"
            )


def run(settings: BenchConfig) -> Findings:
    options = load_settings(DigitsBenchConfig, overrides=settings.options)
    digits = Digits.load(settings.limit)
    settings.progress("teaching the reader", 0, 1)
    reader = DigitReader(digits)
    count = options.samples or len(digits.train)
    found: dict[str, list[Figures]] = {}
    chosen: list[str] = []
    for number in range(options.seeds):
        settings.progress("training on digits", number, options.seeds)
        with TemporaryDirectory(prefix="digits-") as folder:
            made = _train(digits, options, settings.seed + number, Path(folder))
        chosen.append(made.default_prior)
        for name in made.priors:
            seeds = range(number * count, (number + 1) * count)
            found.setdefault(name, []).append(seed_figures(made, name, seeds, reader, digits.pictures[digits.test]))
    settings.progress("training on digits", options.seeds, options.seeds)
    by = {f"prior {name}": _over_seeds(rows) for name, rows in found.items() if name != "normal"}
    picked = [found[name][number] for number, name in enumerate(chosen)]
    return Findings(
        n=options.seeds * count,
        figures=_over_seeds(picked) | reader.figures(digits),
        by=by | {f"seed {settings.seed + number}": figures for number, figures in enumerate(picked)},
        baselines={
            "normal": _over_seeds(found["normal"]),
            "constant": {"joint_coherence": 1.0, "fid": _constant_fid(reader, digits)},
            "real_training_digits": {"fid": reader.floor(digits)},
        },
        settings={"default_priors": chosen, "test_digits": len(digits.test)},
    )


# digits --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Digits:
    """scikit-learn's digits."""

    pictures: np.ndarray  # uint8 (N, 8, 8, 3)
    labels: np.ndarray  # int (N,)
    train: np.ndarray  # places
    val: np.ndarray
    test: np.ndarray

    @classmethod
    def load(cls, limit: int = 0) -> Digits:
        """All of them, or ``limit`` of each split."""
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        found = load_digits()
        grey = np.round(found.images * (255 / 16)).astype(np.uint8)
        rest, test = train_test_split(np.arange(len(grey)), test_size=_TEST, stratify=found.target, random_state=0)
        train, val = train_test_split(rest, test_size=_VAL, stratify=found.target[rest], random_state=0)
        most = limit or None
        return cls(np.repeat(grey[..., None], 3, axis=3), found.target, train[:most], val[:most], test[:most])

    def write(self, folder: Path) -> Collection:
        """The training and choosing digits as a prepared collection; the test digits stay out of it."""
        from reverie.data.pictures import write_collection

        places = np.concatenate([self.train, self.val])
        splits = ["train"] * len(self.train) + ["val"] * len(self.val)
        return write_collection(folder, self.pictures[places], [WORDS[label] for label in self.labels[places]], splits)


class DigitReader:
    """Says which digit a picture shows."""

    def __init__(self, digits: Digits):
        from sklearn.neural_network import MLPClassifier

        rng = np.random.default_rng(0)
        rows = _flat(digits.pictures[digits.train])
        copies = [np.stack([_jittered(row, rng) for row in rows]) for _ in range(_COPIES)]
        self._net = MLPClassifier((256, 64), alpha=1e-3, batch_size=128, max_iter=60, tol=0.0, random_state=0)
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that 60 passes are few is known
            self._net.fit(np.concatenate([rows, *copies]), np.tile(digits.labels[digits.train], _COPIES + 1))

    def read(self, pictures: np.ndarray) -> np.ndarray:
        """uint8 (N, 8, 8, 3) → digits (N,)."""
        return np.asarray(self._net.predict(_flat(pictures)))

    def features(self, pictures: np.ndarray) -> np.ndarray:
        """uint8 (N, 8, 8, 3) → (N, 64), the last hidden layer after its ReLU."""
        x = _flat(pictures)
        for weights, bias in zip(self._net.coefs_[:-1], self._net.intercepts_[:-1]):
            x = np.maximum(x @ weights + bias, 0)
        return np.asarray(x)

    def figures(self, digits: Digits) -> Figures:
        """How it does on real digits that it was not taught on."""
        right = self.read(digits.pictures[digits.test]) == digits.labels[digits.test]
        return {"reader_accuracy": float(right.mean()), "floor_fid": self.floor(digits)}

    def floor(self, digits: Digits) -> float:
        """The distance between real training digits and real test digits."""
        from reverie.generator.measures import fid

        return fid(self.features(digits.pictures[digits.test]), self.features(digits.pictures[digits.train]))


def _constant_fid(reader: DigitReader, digits: Digits) -> float:
    """The mean of the zeros, again and again, with the caption "zero": coherent, and of no use."""
    from reverie.generator.measures import fid

    zeros = digits.pictures[digits.train][digits.labels[digits.train] == 0]
    mean = np.round(zeros.mean(0)).astype(np.uint8)
    return fid(reader.features(digits.pictures[digits.test]), reader.features(np.repeat(mean[None], 10, axis=0)))


def _flat(pictures: np.ndarray) -> np.ndarray:
    grey: np.ndarray = pictures.astype(np.float64).mean(-1)
    return grey.reshape(len(pictures), -1) / 255


def _jittered(row: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A digit turned, sized and moved a little, by bilinear interpolation."""
    from scipy.ndimage import affine_transform

    angle = np.deg2rad(rng.uniform(-_JITTER_DEGREES, _JITTER_DEGREES))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn /= rng.uniform(1 - _JITTER_SIZE, 1 + _JITTER_SIZE)
    middle = np.full(2, (SIDE - 1) / 2)
    offset = middle - turn @ (middle + rng.uniform(-_JITTER_PX, _JITTER_PX, 2))
    return np.asarray(affine_transform(row.reshape(SIDE, SIDE), turn, offset, order=1)).ravel()


# training and measuring ----------------------------------------------------------------------------------------------


def digits_recipe(options: DigitsBenchConfig, seed: int, folder: Path) -> GeneratorRecipe:
    """How ours is trained on the collection in ``folder / "digits"``."""
    from reverie.generator.losses import LossWeights
    from reverie.generator.objective import GeneratorData
    from reverie.generator.priors import PriorFitConfig
    from reverie.generator.priors.flow import FlowLessons
    from reverie.generator.recipe import GeneratorRecipe
    from reverie.generator.store import Augment
    from reverie.training import LoopConfig

    quiet: dict[str, Any] = {
        "precision": "fp32", "device": "cpu", "eval_every": 0, "checkpoint_every": 0,
        "tensorboard": False, "curves": False,
    }  # fmt: skip
    return GeneratorRecipe(
        run_dir=str(folder / "run"),
        preset="toy-16",
        model={"side": SIDE, "widths": [32, 64, 96], "latent_size": LATENT, "caption_ids": 8},
        data=GeneratorData(
            collection=str(folder / "digits"),
            batch_size=64,
            noise=0.5,
            pull=1.0,
            weights=LossWeights(spectrum=0.0, adversarial=0.0),
            augment=Augment(flip=False, crop=0.0, tone=0.0),
            seed=seed,
        ),
        checkpoint_epochs=0,
        loop=LoopConfig(steps=options.steps, lr=2e-3, weight_decay=0.02, seed=seed, **quiet),
        fit=PriorFitConfig(
            mixture_components=LATENT,
            gaussians=(10, 20, 30, 40),
            flow=FlowLessons(num_components=LATENT, hidden_size=128, num_layers=4, batch_size=256),
            flow_loop=LoopConfig(steps=options.flow_steps, lr=2e-3, weight_decay=0.01, ema_decay=0.995, **quiet),
            seed=seed,
        ),
        views=0,
    )


def _train(digits: Digits, options: DigitsBenchConfig, seed: int, folder: Path) -> Generator:
    from reverie.generator import Generator
    from reverie.generator.recipe import train_generator

    digits.write(folder / "digits")
    result = train_generator(digits_recipe(options, seed, folder))
    if result.product is None:
        raise KeyboardInterrupt  # the loop saves and returns on Ctrl-C; there is nothing here to go on with
    return Generator.load(result.product)


def seed_figures(made: Generator, prior: str, seeds: Sequence[int], reader: DigitReader, held: np.ndarray) -> Figures:
    """Coherence and distance of the samples of one prior; ``held``: real digits, uint8 (N, 8, 8, 3), to compare with.

    joint_coherence   share of samples whose caption is the word of the digit that the reader sees in the picture
    word_share        share of captions that are one of the ten words
    rarest_share      of the ten digits as the reader sees them, the one that comes least; a tenth would be even
    """
    from reverie.generator.measures import distinct_share, fid, kid

    latents = made.latents(seeds, prior)
    pictures, captions = made.paint(latents), made.describe(latents)
    read = reader.read(pictures)
    real, sampled = reader.features(held), reader.features(pictures)
    return {
        "joint_coherence": float(np.mean([WORDS[digit] == caption for digit, caption in zip(read, captions)])),
        "fid": fid(real, sampled),
        "kid": kid(real, sampled),
        "word_share": float(np.mean([caption in WORDS for caption in captions])),
        "rarest_share": float(np.bincount(read, minlength=len(WORDS)).min() / len(read)),
        "distinct_share": distinct_share(pictures),
    }


def _over_seeds(rows: Sequence[Figures]) -> Figures:
    """Means, and for the two that matter the spread and the worst."""
    found = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    for name in ("joint_coherence", "fid"):
        values = [row[name] for row in rows]
        found[f"{name}_deviation"] = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    found["joint_coherence_lowest"] = min(row["joint_coherence"] for row in rows)
    found["fid_highest"] = max(row["fid"] for row in rows)
    return found


BENCHMARK = Benchmark(
    name="generator-digits",
    about="scikit-learn's digits with their words: do sampled picture and caption agree, and how real do they look",
    run=run,
    published=tuple(
        Published(system, figure, value, "measured elsewhere on the same digits; its reader's features are not ours")
        for system, coherence, distance in (
            ("plain autoencoder, N(0, 1) seeds", 0.47, 186.0),
            ("fitted Gaussian mixture", 0.98, 3.2),
            ("flow matching", 0.91, 4.3),
        )
        for figure, value in (("joint_coherence", coherence), ("fid", distance))
    ),
    options=DigitsBenchConfig,
)
