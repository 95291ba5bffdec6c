"""The table of what can be trained: ``reverie train`` has a command for each row. Nothing here needs torch.

To train something new, write its objective, a recipe (``recipes.Recipe``) and one row.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reverie.training.recipes import Recipe

__all__ = ["TRAINED", "Flag", "Trained"]


@dataclass(frozen=True)
class Flag:
    """An option of a command that stands for a setting which many give."""

    option: str
    key: str  # the setting, with dots
    help: str
    kind: type[str] | type[int] | type[Path] = str
    metavar: str | None = None
    least: int | None = None  # of a whole number
    folder: bool = False  # it must be there
    also: tuple[str, ...] = ()  # overrides that it brings along; ``{}`` is what was given


@dataclass(frozen=True)
class Trained:
    """A trained thing: its recipe (``module:class``), and how its command speaks of it."""

    recipe: str
    help: str
    examples: tuple[str, ...]
    flags: tuple[Flag, ...] = ()

    def load(self) -> type[Recipe]:
        module, name = self.recipe.split(":")
        found: type[Recipe] = getattr(importlib.import_module(module), name)
        return found


_RECIPES = "reverie.training.recipes"
_MODEL = Flag("--model", "data.bundle", "Whose backbone it is for (default: nano).", metavar="BUNDLE")
TRAINED = {
    "tokenizer": Trained(
        f"{_RECIPES}:TokenizerRecipe",
        "Train the image tokenizer on worlds, or on a folder of pictures.",
        (
            "reverie train tokenizer --config recipes/image-tokenizer.yaml",
            "reverie train tokenizer --folder photos/ --epochs 20 --batch-size 64 run_dir=runs/photos data.side=128",
        ),
        (
            Flag("--folder", "data.folder", "Learn from this folder of pictures.", Path, folder=True,
                 also=("data.worlds=[]",)),
            Flag("--epochs", "epochs", "Passes over the distinct patches.", int, least=1),
            Flag("--batch-size", "data.batch_size", "Patches a step.", int, least=2),
            Flag("--max-samples", "data.max_samples", "Pictures from the folder.", int, least=1),
            Flag("--device", "loop.device", "auto, cpu or cuda."),
        ),
    ),
    "backbone": Trained(
        f"{_RECIPES}:BackboneRecipe",
        "Train the backbone: drills first, then worlds.",
        (
            "reverie train backbone --config recipes/nano.yaml",
            "reverie train backbone --config recipes/nano.yaml loop.steps=100 run_dir=runs/try",
        ),
    ),
    "text": Trained(
        f"{_RECIPES}:TextRecipe",
        "Train a backbone of words alone, a plain language model: a small base for experts.",
        (
            "reverie train text --config recipes/routing-base.yaml",
            "reverie train text data.texts=[notes.txt] run_dir=runs/notes loop.steps=500",
        ),
    ),
    "graph": Trained(
        f"{_RECIPES}:GraphRecipe",
        "Train attention over subgraphs to complete triples.",
        (
            "reverie train graph --config recipes/graph-links.yaml",
            "reverie train graph --config recipes/graph-links.yaml data.triples=triples/ loop.steps=100 "
            "run_dir=runs/try",
        ),
    ),
    "fact-attention": Trained(
        f"{_RECIPES}:FactAttentionRecipe",
        "Train a bundle's reader: attention over recalled facts, and soft tokens that say them to the backbone.",
        ("reverie train fact-attention --config recipes/nano-fact-attention.yaml data.bundle=bundles/nano",),
    ),
    "perception": Trained(
        f"{_RECIPES}:PerceptionRecipe",
        "Train experts of vision, graph and text and the network that joins them: pictures, facts and questions.",
        (
            "reverie train perception --config recipes/perception.yaml",
            "reverie train perception --config recipes/perception.yaml data.model.graph=[attention] loop.steps=500",
        ),
    ),
    "expert": Trained(
        f"{_RECIPES}:ExpertRecipe",
        'Train an expert on questions with answers, or on a part of the worlds; add it with "reverie experts add".',
        (
            "reverie train expert --rows chemistry.jsonl --name chemistry",
            "reverie train expert --config recipes/expert-causal.yaml",
            "reverie train expert --rows chemistry.jsonl --name chemistry data.lora.rank=16 loop.steps=1000",
        ),
        (
            Flag("--rows", "data.rows", 'JSONL of {"question": …, "answer": …}.', Path, "FILE",
                 also=("data.skill=''",)),
            Flag("--name", "data.name", "The expert's name.", also=("run_dir=runs/expert-{}",)),
            _MODEL,
        ),
    ),
    "router": Trained(
        f"{_RECIPES}:RouterRecipe",
        'Train the router on which expert lowers the loss of which row; judge it with "reverie experts eval".',
        (
            "reverie train router --config recipes/nano-router.yaml",
            "reverie train router --library experts/ data.rows.chemistry=test.jsonl data.outsiders=[strange]",
        ),
        (
            Flag("--library", "data.library", "The experts to route to, beside the bundle's own.", Path, "DIR"),
            _MODEL,
        ),
    ),
    "spelling": Trained(
        f"{_RECIPES}:SpellingRecipe",
        "Train the rows of a backbone's text ids that never occurred, so that experts can say any word.",
        ("reverie train spelling --config recipes/nano-spelling.yaml",),
        (_MODEL,),
    ),
    "reward": Trained(
        f"{_RECIPES}:RewardRecipe",
        "Train an expert by what its dreams are worth; \"reverie learn --world\" is the short way.",
        (
            "reverie train reward --config recipes/reward-frozenlake.yaml",
            "reverie train reward --questions asked.jsonl --reward thumbs --judge runs/preferences/export --model smol",
        ),
        (
            Flag("--questions", "data.questions", 'JSONL of {"question": …} to dream about, instead of a world.', Path,
                 "FILE", also=("data.world=''", "data.shown_steps=0")),
            Flag("--reward", "data.reward", "What dreams are judged by."),
            Flag("--judge", "data.judge", "The reward model of thumbs.", Path, "DIR", folder=True),
            _MODEL,
        ),
    ),
    "preferences": Trained(
        f"{_RECIPES}:PreferenceRecipe",
        "Train a reward model on people's thumbs and corrections, for the reward thumbs.",
        ("reverie train preferences --feedback feedback.jsonl --model nano",),
        (
            Flag("--feedback", "data.feedback", "JSONL of judged answers, or of pairs.", Path, "FILE"),
            _MODEL,
        ),
    ),
}  # fmt: skip
