"""A collection's pictures and captions: the mean picture, the original recipe, and ours from each source of seeds.

All are trained on the training split alone (``minutes`` each where nothing else is said) and measured on the same
held-out pictures, with the same features that none of them had a part in. ``figures`` are ours from its default prior;
``kid_over_normal`` is its KID over that of the original recipe with N(0, 1) seeds, ``kid_over_own_normal`` over that of
our own networks with N(0, 1) seeds. ``floor`` is what real training pictures get.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from reverie.errors import ConfigError, ReverieError
from reverie.settings import load_settings
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings

if TYPE_CHECKING:
    from reverie.data.pictures import Collection
    from reverie.generator.caption_tokenizer import CaptionTokenizer
    from reverie.generator.config import GeneratorConfig
    from reverie.generator.evaluation import EvaluateConfig
    from reverie.generator.generator import Generator
    from reverie.generator.objective import GeneratorData
    from reverie.generator.real_pictures import RealPictures
    from reverie.generator.recipe import GeneratorRecipe
    from reverie.training import LoopConfig, Objective
    from reverie_bench.generator_systems import OriginalObjective

__all__ = ["ABLATIONS", "BENCHMARK", "GeneratorBenchConfig", "ablated"]

DATA = "a prepared collection (see reverie data prepare)"
ABLATIONS: dict[str, dict[str, float]] = {  # settings of GeneratorData; those of its weights behind a dot
    "whole": {},
    "no_edge": {"weights.edge": 0.0, "weights.spectrum": 0.0},
    "no_adversarial": {"weights.adversarial": 0.0, "weights.critic": 0.0},
    "no_match": {"weights.match": 0.0},
    "no_noise": {"noise": 0.0},
}
_FAR_SEED = 1_000_000  # the hundred samples are none of those that are evaluated
_PROBE_STEPS = 4  # steps whose time says how many fit into the minutes


@dataclass(frozen=True)
class GeneratorBenchConfig:
    """What `bench generator` lets one set."""

    bundle: str = ""  # a trained generator of ours; "": one is trained here
    preset: str = "tiny-64"  # of what is trained here; with a bundle the original recipe takes the bundle's sizes
    minutes: float = 5.0  # of training, for each system that is trained here
    steps: int = 0  # instead of minutes, for ours and each ablation
    original_steps: int = 0  # instead of minutes, for the original recipe
    batch_size: int = 32
    flow_steps: int = 3000  # of fitting the flow, at most
    samples: int = 100  # of each prior
    hundred: int = 100  # samples one after the other, counted for crashes and repeats
    split: str = "val"
    phrasing: str = "{caption}"  # what is said of a picture: a template of its caption and given fields, as {work}
    features: str = "own"  # an extractor's name, or a Hugging Face vision folder
    feature_steps: int = 300  # of teaching "own"
    original: bool = True  # whether the original recipe is trained
    ablations: tuple[str, ...] = ()  # some of ABLATIONS, each trained anew
    onnx: bool = True  # export, and compare with torch, where onnx and onnxruntime are installed
    step512: bool = False  # time training steps of step_preset on four random pictures
    step_preset: str = "engraving-512"
    step_count: int = 2
    out: str = ""  # folder for sheets and figures of every system

    def __post_init__(self) -> None:
        object.__setattr__(self, "ablations", tuple(self.ablations))
        if self.minutes <= 0 or min(self.batch_size, self.flow_steps, self.samples, self.feature_steps) < 1:
            raise ConfigError(
                "generator: minutes is above 0; batch_size, flow_steps, samples and feature_steps are at least 1"
            )
        if min(self.steps, self.original_steps, self.hundred) < 0 or self.step_count < 1:
            raise ConfigError("generator: steps, original_steps and hundred are 0 or more, step_count at least 1")
        if unknown := [name for name in self.ablations if name not in ABLATIONS]:
            raise ConfigError(f"generator: there is no ablation '{unknown[0]}'. Known: {', '.join(ABLATIONS)}.")


def run(settings: BenchConfig) -> Findings:
    from reverie.data.pictures import Collection
    from reverie.generator.evaluate import extractor_for
    from reverie.generator.real_pictures import RealPictures

    options = load_settings(GeneratorBenchConfig, overrides=settings.options)
    if settings.data is None:
        raise ConfigError(f"the benchmark generator needs --data: {DATA}")
    collection = Collection.open(settings.data)
    with TemporaryDirectory(prefix="bench-generator-") as folder:
        bench = _Bench(settings, options, collection, Path(folder))
        ours = bench.ours()
        extractor = extractor_for(collection, bench.evaluation, settings.progress)
        reference = RealPictures.of(collection, options.split, ours.config.side, extractor)
        found = bench.evaluate(ours, reference, "ours")
        by = {f"ours {name.removeprefix('prior ')}": figures for name, figures in found.by.items() if name != "floor"}
        baselines = bench.baselines(ours, reference) | {"floor": found.by["floor"]}
        for name in options.ablations:
            by[f"ablation {name}"] = bench.ablation(name, reference)
        figures = found.figures | bench.terms(ours) | bench.hundred(ours) | bench.onnx(ours) | bench.step()
    figures["kid_over_own_normal"] = _over(figures["kid"], by["ours normal"]["kid"])
    if "original" in baselines:
        figures["kid_over_normal"] = _over(figures["kid"], baselines["original"]["kid"])
    return Findings(n=found.n, figures=figures, by=by, baselines=baselines, settings=dict(found.settings) | bench.noted)


@dataclass(frozen=True)
class _Bench:
    """What all systems share: the collection, and a folder for their runs."""

    settings: BenchConfig
    options: GeneratorBenchConfig
    collection: Collection
    folder: Path

    @property
    def noted(self) -> dict[str, Any]:
        return {"bundle": self.options.bundle or None, "minutes": self.options.minutes}

    @property
    def evaluation(self) -> EvaluateConfig:
        from reverie.generator.evaluation import EvaluateConfig
        from reverie.generator.own_features import OwnFeaturesConfig

        own = OwnFeaturesConfig(steps=self.options.feature_steps)
        return EvaluateConfig(
            samples=self.options.samples, features=self.options.features, own=own, phrasing=self.options.phrasing
        )

    def evaluate(self, system: Generator, reference: RealPictures, name: str, priors: Sequence[str] = ()) -> Any:
        from reverie.generator.evaluate import evaluate_beside
        from reverie.generator.evaluate_files import write_files

        chosen = replace(self.evaluation, priors=tuple(priors))
        found, shown = evaluate_beside(system, reference, self.options.split, chosen, self._tell(name))
        if self.options.out:
            write_files(found, shown, chosen.shown, Path(self.options.out) / name.replace(" ", "-"))
        return found

    # ours

    def ours(self) -> Generator:
        from reverie.generator.generator import Generator

        return Generator.load(self.options.bundle) if self.options.bundle else self._train("ours", {})

    def ablation(self, name: str, reference: RealPictures) -> Figures:
        """Trained anew with one thing left out, and measured like ours."""
        made = self._train(name, ABLATIONS[name])
        if made.config.side != reference.side:
            raise ConfigError(
                f"generator: an ablation paints {made.config.side} px and the bundle {reference.side} px; "
                f"give preset= one of the bundle's side"
            )
        found = self.evaluate(made, reference, f"ablation {name}", (made.default_prior,))
        return dict(found.figures)

    def recipe(self, name: str, changes: dict[str, float]) -> GeneratorRecipe:
        from reverie.generator.objective import GeneratorData
        from reverie.generator.priors import PriorFitConfig
        from reverie.generator.recipe import GeneratorRecipe

        options, seed = self.options, self.settings.seed
        phrasings = tuple(dict.fromkeys(("{caption}", options.phrasing)))
        data = GeneratorData(str(self.collection.folder), phrasings, options.batch_size, seed=seed)
        fit = PriorFitConfig(seed=seed)
        return GeneratorRecipe(
            run_dir=str(self.folder / name),
            preset=options.preset,
            data=ablated(data, changes),
            checkpoint_epochs=0,
            loop=_loop(options.steps or 1, seed),
            fit=replace(
                fit, flow_loop=replace(fit.flow_loop, steps=options.flow_steps, tensorboard=False, curves=False)
            ),
        )

    def _train(self, name: str, changes: dict[str, float]) -> Generator:
        from reverie.generator.caption_tokenizer import CaptionTokenizer
        from reverie.generator.generator import Generator
        from reverie.generator.objective import GeneratorObjective
        from reverie.generator.recipe import train_generator

        tell, recipe = self._tell(f"training {name}"), self.recipe(name, changes)
        tell("", 0, 1)
        steps = self.options.steps
        if not steps:
            tokenizer = CaptionTokenizer.train(self.collection.split("train").captions, recipe.config.vocabulary)
            data = replace(recipe.data, adversarial_from=0.0)  # the late, slower steps
            steps = self._fitting(GeneratorObjective(data, recipe.config, self.collection, tokenizer, _PROBE_STEPS))
        result = train_generator(replace(recipe, loop=_loop(steps, self.settings.seed)))
        if result.product is None:
            raise KeyboardInterrupt  # the loop saves and returns on Ctrl-C; nobody would find what it saved
        return Generator.load(result.product)

    def _fitting(self, objective: Objective) -> int:
        """How many steps fit into the minutes."""
        from reverie.training.checkpoint import kept_random_states
        from reverie.training.run import Run

        with kept_random_states():
            run = Run(objective, _loop(_PROBE_STEPS, self.settings.seed))
            batches = iter([objective.batch(number) for number in range(_PROBE_STEPS)])
            run.take_step(batches)
            started = time.perf_counter()
            for _ in range(_PROBE_STEPS - 1):
                run.take_step(batches)
        seconds = (time.perf_counter() - started) / (_PROBE_STEPS - 1)
        return max(2, round(self.options.minutes * 60 / max(seconds, 1e-4)))

    # what it is held against

    def baselines(self, ours: Generator, reference: RealPictures) -> dict[str, Figures]:
        from reverie_bench.generator_systems import constant_figures

        length = ours.config.caption_ids
        found = {"mean_picture": constant_figures(reference, self.options.samples, ours.tokenizer, length)}
        if self.options.original:
            found["original"] = self._original(ours.config, ours.tokenizer, reference)
        return found

    def _objective(self, config: GeneratorConfig, tokenizer: CaptionTokenizer) -> OriginalObjective:
        """The original recipe with ours' sizes and words, without dropout: its loss is to be low on training."""
        from reverie_bench.generator_systems import OriginalObjective

        plain, options = replace(config, dropout=0.0), self.options
        return OriginalObjective(
            self.collection, plain, tokenizer, options.batch_size, self.settings.seed, options.phrasing
        )

    def _original(self, config: GeneratorConfig, tokenizer: CaptionTokenizer, reference: RealPictures) -> Figures:
        from reverie.training.loop import train

        self._tell("training original")("", 0, 1)
        made, seed = self._objective(config, tokenizer), self.settings.seed
        steps = self.options.original_steps or self._fitting(self._objective(config, tokenizer))
        result = train(made, replace(_loop(steps, seed), weight_decay=0.0), self.folder / "original", progress=False)
        if result.stopped != "done":
            raise KeyboardInterrupt
        losses = {name: value for name, value in result.metrics.items() if name.startswith(("train_", "val_"))}
        found = self.evaluate(made.generator(), reference, "original")
        return dict(found.figures) | losses | {"steps": float(steps), "train_seconds": result.metrics["seconds"]}

    def terms(self, ours: Generator) -> Figures:
        """The three terms of the original loss, of ours, on both splits."""
        objective = self._objective(ours.config, ours.tokenizer)
        figures: Figures = {}
        for name, (pictures, ids) in objective.splits.items():
            found = objective.terms(ours.network, pictures, ids)
            figures |= {f"original_{name}_{key}": value for key, value in found.items()}
        return figures

    # what else is asked of it

    def hundred(self, ours: Generator) -> Figures:
        """So many samples one after the other: how many failed, how many differ, how long each took."""
        from reverie.generator.measures import distinct_share

        crashes, pictures = 0, []
        started = time.perf_counter()
        for number in range(self.options.hundred):
            self._tell("ours")("a hundred samples", number, self.options.hundred)
            try:
                pictures += [sample.picture for sample in ours.sample([_FAR_SEED + number])]
            except (ReverieError, RuntimeError, ValueError, IndexError):
                crashes += 1
        seconds = (time.perf_counter() - started) / max(self.options.hundred, 1)
        return {
            "hundred_crashes": float(crashes),
            "hundred_distinct_share": distinct_share(pictures),
            "hundred_seconds_per_picture": seconds,
        }

    def onnx(self, ours: Generator) -> Figures:
        """The largest difference between a number of the ONNX export and torch's; nothing where onnx is missing."""
        import importlib.util

        if not self.options.onnx or not all(map(importlib.util.find_spec, ("onnx", "onnxruntime", "onnxscript"))):
            return {}
        from reverie.generator.onnx import export_onnx

        self._tell("ours")("exporting to ONNX", 0, 1)
        bundle = Path(self.options.bundle) if self.options.bundle else ours.save(self.folder / "for-onnx")
        differences = export_onnx(bundle, self.folder / "onnx").differences
        return {"onnx_difference": max(differences.values())}

    def step(self) -> Figures:
        from reverie_bench.generator_step import step_cost

        if not self.options.step512:
            return {}
        self.settings.progress("timing steps", 0, 1)
        return step_cost(self.options.step_preset, self.options.step_count)

    def _tell(self, name: str) -> Any:
        return lambda what, done, of: self.settings.progress(f"{name}: {what}" if what else name, done, of)


def ablated(data: GeneratorData, changes: dict[str, float]) -> GeneratorData:
    """``data`` with some settings changed; a name with a dot is one of its loss weights."""
    weights = {name.removeprefix("weights."): value for name, value in changes.items() if "." in name}
    plain: dict[str, Any] = {name: value for name, value in changes.items() if "." not in name}
    return replace(data, weights=replace(data.weights, **weights), **plain)


def _loop(steps: int, seed: int) -> LoopConfig:
    from reverie.training import LoopConfig

    return LoopConfig(
        steps=steps, lr=1e-3, weight_decay=0.02, warmup_steps=min(100, steps // 4), precision="fp32", eval_every=0,
        checkpoint_every=0, tensorboard=False, curves=False, seed=seed,
    )  # fmt: skip


def _over(value: float, other: float) -> float:
    """A ratio of two distances; NaN where the other is none (an unbiased estimate may fall below 0)."""
    return value / other if other > 0 else float("nan")


BENCHMARK = Benchmark(
    name="generator",
    about="pictures and captions from seeds: ours from each prior, the original recipe, and the mean picture",
    run=run,
    data=DATA,
    options=GeneratorBenchConfig,
)
