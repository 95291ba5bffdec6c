"""Recipes: everything that makes one trained thing again, in one YAML file of ``recipes/``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from reverie.errors import ConfigError
from reverie.training.backbone import BackboneData, BackboneObjective
from reverie.training.expert import ExpertData, ExpertObjective
from reverie.training.graph import GraphData, LinkObjective
from reverie.training.loop import TrainResult, train
from reverie.training.perception import PerceptionData, PerceptionObjective
from reverie.training.reading import ReadingData, ReadingObjective, support_examples
from reverie.training.routing import RouterData, RouterObjective, measure_library
from reverie.training.settings import LoopConfig
from reverie.training.support import GraphExample, SupportObjective
from reverie.training.text import TextData, TextObjective
from reverie.training.tokenizer import TokenizerData, TokenizerObjective

__all__ = [
    "BackboneRecipe",
    "ExpertRecipe",
    "GraphRecipe",
    "PerceptionRecipe",
    "ReaderRecipe",
    "RouterRecipe",
    "TextRecipe",
    "TokenizerRecipe",
    "train_backbone",
    "train_expert",
    "train_graph",
    "train_perception",
    "train_reader",
    "train_router",
    "train_text",
    "train_tokenizer",
]


@dataclass(frozen=True)
class TokenizerRecipe:
    """An image tokenizer."""

    run_dir: str = "runs/image-tokenizer"
    epochs: int = 0  # passes over the distinct patches; 0: loop.steps says how long
    data: TokenizerData = field(default_factory=TokenizerData)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(precision="fp32"))


@dataclass(frozen=True)
class BackboneRecipe:
    """A backbone."""

    run_dir: str = "runs/backbone"
    data: BackboneData = field(default_factory=BackboneData)
    loop: LoopConfig = field(default_factory=LoopConfig)


@dataclass(frozen=True)
class TextRecipe:
    """A backbone of words alone: a plain language model."""

    run_dir: str = "runs/text"
    data: TextData = field(default_factory=TextData)
    loop: LoopConfig = field(default_factory=LoopConfig)


@dataclass(frozen=True)
class GraphRecipe:
    """A network that attends over recalled subgraphs."""

    run_dir: str = "runs/graph"
    data: GraphData = field(default_factory=GraphData)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(precision="fp32"))


@dataclass(frozen=True)
class ReaderRecipe:
    """The reader of recalled facts."""

    run_dir: str = "runs/reader"
    data: ReadingData = field(default_factory=ReadingData)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(precision="fp32"))


@dataclass(frozen=True)
class PerceptionRecipe:
    """Experts of vision, graph and text behind gates, joined into one state."""

    run_dir: str = "runs/perception"
    data: PerceptionData = field(default_factory=PerceptionData)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(precision="fp32"))


@dataclass(frozen=True)
class ExpertRecipe:
    """An expert: low-rank changes of a frozen base."""

    run_dir: str = "runs/expert"
    data: ExpertData = field(default_factory=lambda: ExpertData(skill="causal"))
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(
            steps=400, lr=3e-3, weight_decay=0.0, warmup_steps=20, eval_every=50, patience=3, checkpoint_every=50
        )
    )


@dataclass(frozen=True)
class RouterRecipe:
    """Which experts, if any, a row gets."""

    run_dir: str = "runs/router"
    data: RouterData = field(default_factory=RouterData)
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(
            steps=1500, lr=3e-3, weight_decay=1e-4, warmup_steps=50, precision="fp32", eval_every=250, log_every=50
        )
    )


def train_tokenizer(recipe: TokenizerRecipe, resume: bool = False, progress: bool = True) -> TrainResult:
    """Train, and leave the tokenizer in ``run_dir/export``."""
    objective = TokenizerObjective(recipe.data)
    loop = recipe.loop
    if recipe.epochs:
        batches = -(-len(objective.patches) // recipe.data.batch_size)
        loop = replace(loop, steps=recipe.epochs * batches)
    return train(objective, loop, recipe.run_dir, resume, progress)


def train_backbone(recipe: BackboneRecipe, resume: bool = False, progress: bool = True) -> TrainResult:
    """Train, and leave what a bundle is made of in ``run_dir/export``."""
    data = recipe.data
    for needed in filter(None, (data.image_tokenizer if data.worlds else "", data.start_from)):
        if not Path(needed).is_dir():
            raise ConfigError(f"there is no folder {needed}; run the recipe that makes it first, or name another")
    return train(BackboneObjective(data), recipe.loop, recipe.run_dir, resume, progress)


def train_text(recipe: TextRecipe, resume: bool = False, progress: bool = True) -> TrainResult:
    """Train, and leave backbone, text tokenizer and vocabulary in ``run_dir/export``: experts can be trained on it."""
    return train(TextObjective(recipe.data), recipe.loop, recipe.run_dir, resume, progress)


def train_graph(recipe: GraphRecipe, resume: bool = False, progress: bool = True) -> TrainResult:
    """Train, and leave the network in ``run_dir/export``."""
    data = recipe.data
    if data.task == "links":
        return train(LinkObjective(data), recipe.loop, recipe.run_dir, resume, progress)
    made: list[list[GraphExample]] = []
    if data.bundle:
        _need_bundle(data.bundle)
        for count, test in ((data.num_examples, False), (max(1, data.num_examples // 10), True)):
            made.append(support_examples(Path(data.bundle), count, data.seed + test, test))
    return train(SupportObjective(data, *made), recipe.loop, recipe.run_dir, resume, progress)


def train_reader(recipe: ReaderRecipe, resume: bool = False, progress: bool = True) -> TrainResult:
    """Train, and leave the reader in ``run_dir/export/reader``."""
    _need_bundle(recipe.data.bundle)
    return train(ReadingObjective(recipe.data), recipe.loop, recipe.run_dir, resume, progress)


def train_perception(recipe: PerceptionRecipe, resume: bool = False, progress: bool = True) -> TrainResult:
    """Train, and leave the network in ``run_dir/export``."""
    _need_bundle(recipe.data.bundle)
    return train(PerceptionObjective(recipe.data), recipe.loop, recipe.run_dir, resume, progress)


def train_expert(recipe: ExpertRecipe, resume: bool = False, progress: bool = True) -> TrainResult:
    """Train, and leave the expert's folder in ``run_dir/export``: it can be added to a library, and PEFT loads it."""
    _need_bundle(recipe.data.bundle)
    return train(ExpertObjective(recipe.data), recipe.loop, recipe.run_dir, resume, progress)


def train_router(
    recipe: RouterRecipe,
    resume: bool = False,
    progress: bool = True,
    measured: Callable[[str, float], None] | None = None,
) -> TrainResult:
    """Measure the rows with every expert of the library, train, and leave the router in ``run_dir/export/router``.

    The measured table stays in the run folder: a run that was stopped goes on with it, also with --resume.
    ``measured``: told what was measured, and the share that is done.
    """
    _need_bundle(recipe.data.bundle)
    table = measure_library(recipe.data, Path(recipe.run_dir) / "measured.safetensors", measured).table
    return train(RouterObjective(recipe.data, table), recipe.loop, recipe.run_dir, resume, progress)


def _need_bundle(folder: str) -> None:
    if not Path(folder).is_dir():
        raise ConfigError(f"there is no bundle {folder}; name one with data.bundle")
