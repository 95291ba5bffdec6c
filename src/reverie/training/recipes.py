"""Recipes: everything that makes one trained thing again, in one YAML file of ``recipes/``."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar

from reverie.errors import ConfigError
from reverie.progress import Progress
from reverie.ranks import leads
from reverie.settings import settings_to_dict
from reverie.training.backbone import BackboneData, BackboneObjective
from reverie.training.distillation import DistillData, DistillObjective
from reverie.training.expert import ExpertData, ExpertObjective
from reverie.training.fact_attention import FactAttentionData, FactAttentionObjective
from reverie.training.graph import GraphData, LinkObjective
from reverie.training.loop import train, watched
from reverie.training.objective import Objective
from reverie.training.perception import PerceptionData, PerceptionObjective
from reverie.training.preferences import PreferenceData, PreferenceObjective
from reverie.training.replay import remember
from reverie.training.reward import RewardData, RewardObjective
from reverie.training.routing import RouterData, RouterObjective, measure_library
from reverie.training.rundir import RunDir, TrainResult
from reverie.training.settings import LoopConfig
from reverie.training.spelling import SpellingData, SpellingObjective
from reverie.training.teach import TeachData, TeachObjective
from reverie.training.text import TextData, TextObjective
from reverie.training.tokenizer import TokenizerData, TokenizerObjective

__all__ = [
    "BackboneRecipe",
    "DistillRecipe",
    "ExpertRecipe",
    "GraphRecipe",
    "PerceptionRecipe",
    "PreferenceRecipe",
    "FactAttentionRecipe",
    "Recipe",
    "RewardRecipe",
    "RouterRecipe",
    "SpellingRecipe",
    "TeachRecipe",
    "TextRecipe",
    "TokenizerRecipe",
]


class Recipe:
    """What all recipes have: where the run goes, what is learned from, how long, and the objective of it."""

    run_dir: str
    data: Any
    loop: LoopConfig
    free: ClassVar[frozenset[str]] = frozenset({"run_dir", "loop"})  # settings that may change when a run goes on

    def objective(self, progress: Progress) -> Objective:
        """What the loop trains. ``progress`` is told of long work before the first step."""
        raise NotImplementedError

    def settled(self, objective: Objective) -> LoopConfig:
        """The loop's settings, now that the objective is there."""
        return self.loop

    def train(self, progress: bool | Progress = True) -> TrainResult:
        """Train, and leave the product in ``run_dir/export``; a run that was stopped goes on, one that is done stays.

        ``progress``: who is told, True shows it on stderr. Raises as the objective and ``training.train`` do.
        """
        place, settings = RunDir(self.run_dir), settings_to_dict(self)
        free = self.free | {f"data.{one.name}" for one in fields(self.data) if one.name.startswith("eval_")}
        place.check(settings, free)
        if done := place.result(self.loop):
            return done
        with watched(progress) as report:
            report("preparing", 0, 0)
            objective = self.objective(report)
            place.note(settings, free)
            if leads():
                remember(self)
            return train(objective, self.settled(objective), self.run_dir, report)


@dataclass(frozen=True)
class TokenizerRecipe(Recipe):
    """An image tokenizer: ``export`` is its folder."""

    run_dir: str = "runs/image-tokenizer"
    free: ClassVar[frozenset[str]] = Recipe.free | {"epochs"}
    epochs: int = 0  # passes over the distinct patches; 0: loop.steps says how long
    data: TokenizerData = field(default_factory=TokenizerData)
    loop: LoopConfig = LoopConfig(precision="fp32")

    def objective(self, progress: Progress) -> TokenizerObjective:
        return TokenizerObjective(self.data)

    def settled(self, objective: Objective) -> LoopConfig:
        if not self.epochs or not isinstance(objective, TokenizerObjective):
            return self.loop
        return replace(self.loop, steps=self.epochs * -(-len(objective.patches) // self.data.batch_size))


@dataclass(frozen=True)
class BackboneRecipe(Recipe):
    """A backbone: ``export`` is what a bundle is made of."""

    run_dir: str = "runs/backbone"
    data: BackboneData = field(default_factory=BackboneData)
    loop: LoopConfig = field(default_factory=LoopConfig)

    def objective(self, progress: Progress) -> Objective:
        data = self.data
        for needed in filter(None, (data.image_tokenizer if data.worlds else "", data.start_from)):
            if not Path(needed).is_dir():
                raise ConfigError(f"there is no folder {needed}; run the recipe that makes it first, or name another")
        return BackboneObjective(data)


@dataclass(frozen=True)
class TextRecipe(Recipe):
    """A backbone of words alone, a plain language model: experts can be trained on its ``export``."""

    run_dir: str = "runs/text"
    data: TextData = field(default_factory=TextData)
    loop: LoopConfig = field(default_factory=LoopConfig)

    def objective(self, progress: Progress) -> Objective:
        return TextObjective(self.data)


@dataclass(frozen=True)
class GraphRecipe(Recipe):
    """A network that attends over subgraphs, and completes triples."""

    run_dir: str = "runs/graph"
    data: GraphData = field(default_factory=GraphData)
    loop: LoopConfig = LoopConfig(precision="fp32")

    def objective(self, progress: Progress) -> Objective:
        return LinkObjective(self.data)


@dataclass(frozen=True)
class FactAttentionRecipe(Recipe):
    """The reader of recalled facts: ``export/reader``."""

    run_dir: str = "runs/reader"
    data: FactAttentionData = field(default_factory=FactAttentionData)
    loop: LoopConfig = LoopConfig(precision="fp32")

    def objective(self, progress: Progress) -> Objective:
        return FactAttentionObjective(self.data)


@dataclass(frozen=True)
class PerceptionRecipe(Recipe):
    """Experts of vision, graph and text behind gates, joined into one state."""

    run_dir: str = "runs/perception"
    data: PerceptionData = field(default_factory=PerceptionData)
    loop: LoopConfig = LoopConfig(precision="fp32")

    def objective(self, progress: Progress) -> Objective:
        return PerceptionObjective(self.data)


@dataclass(frozen=True)
class ExpertRecipe(Recipe):
    """An expert, low-rank changes of a frozen base: its ``export`` can be added to a library, and PEFT loads it."""

    run_dir: str = "runs/expert"
    data: ExpertData = field(default_factory=lambda: ExpertData(skill="causal"))
    loop: LoopConfig = LoopConfig(
        steps=400, lr=3e-3, weight_decay=0.0, warmup_steps=20, eval_every=50, patience=3, checkpoint_every=50
    )

    def objective(self, progress: Progress) -> Objective:
        made = ExpertObjective(self.data, progress)
        if self.loop.precision == "fp32":  # a base in bf16 is read as it is where that is fast
            made.adapted.backbone.float()
        return made


@dataclass(frozen=True)
class SpellingRecipe(Recipe):
    """The rows of ids that never occurred: ``export/backbone``, of which ``bundles.respelled`` makes a bundle."""

    run_dir: str = "runs/spelling"
    data: SpellingData = field(default_factory=SpellingData)
    loop: LoopConfig = LoopConfig(
        steps=400, lr=3e-3, weight_decay=0.0, warmup_steps=20, precision="fp32", eval_every=200
    )

    def objective(self, progress: Progress) -> Objective:
        return SpellingObjective(self.data, progress)


@dataclass(frozen=True)
class RouterRecipe(Recipe):
    """Which experts, if any, a row gets: ``export/router``."""

    run_dir: str = "runs/router"
    data: RouterData = field(default_factory=RouterData)
    loop: LoopConfig = LoopConfig(
        steps=1500, lr=3e-3, weight_decay=1e-4, warmup_steps=50, precision="fp32", eval_every=250, log_every=50
    )

    def objective(self, progress: Progress) -> Objective:
        """The rows are measured with every expert first; the table stays in the run folder, for when a run goes on."""
        table = measure_library(self.data, Path(self.run_dir) / "measured.safetensors", progress).table
        return RouterObjective(self.data, table)


@dataclass(frozen=True)
class TeachRecipe(Recipe):
    """The grammar for a base made elsewhere: of its ``export`` and the base's bundle ``bundles.taught`` makes one."""

    run_dir: str = "runs/teach"
    data: TeachData = field(default_factory=TeachData)
    loop: LoopConfig = LoopConfig(
        steps=600, lr=1e-3, weight_decay=0.0, warmup_steps=20, eval_every=100, checkpoint_every=25, log_every=10
    )

    def objective(self, progress: Progress) -> Objective:
        return TeachObjective(self.data, progress)


@dataclass(frozen=True)
class DistillRecipe(Recipe):
    """What a teacher's traces teach: an expert, or all weights of a small bundle."""

    run_dir: str = "runs/distill"
    data: DistillData = field(default_factory=DistillData)
    loop: LoopConfig = LoopConfig(steps=150, lr=1e-3, weight_decay=0.0, warmup_steps=10, eval_every=25)

    def objective(self, progress: Progress) -> Objective:
        return DistillObjective(self.data, progress)


@dataclass(frozen=True)
class RewardRecipe(Recipe):
    """An expert that is rewarded for its dreams: its ``export`` can be added to a library."""

    run_dir: str = "runs/reward"
    data: RewardData = field(default_factory=RewardData)
    loop: LoopConfig = LoopConfig(
        steps=400, lr=2e-3, weight_decay=0.0, warmup_steps=10, schedule="wsd", decay_fraction=0.3, precision="fp32",
        eval_every=50, checkpoint_every=25, log_every=10,
    )  # fmt: skip

    def objective(self, progress: Progress) -> Objective:
        return RewardObjective(self.data, progress)


@dataclass(frozen=True)
class PreferenceRecipe(Recipe):
    """A reward model of what people like better: its ``export`` is what the reward ``thumbs`` goes by."""

    run_dir: str = "runs/preferences"
    data: PreferenceData = field(default_factory=lambda: PreferenceData(feedback="feedback.jsonl"))
    loop: LoopConfig = LoopConfig(steps=200, lr=1e-3, warmup_steps=10, precision="fp32", eval_every=20, patience=3)

    def objective(self, progress: Progress) -> Objective:
        return PreferenceObjective(self.data, progress)
