"""Fine-tuning a trained generator on a second, small collection by low-rank changes (Hu et al., arXiv:2106.09685).

PEFT hangs two thin factors onto every linear and convolution; they alone are trained, on the one training loop and with
the generator's own objective. What is left is a folder:

    adapter_config.json, adapter_model.safetensors    what PEFT itself loads
    priors/NAME/                                      fitted anew: the collection lies elsewhere among the latents
    card.json                                         which base it belongs to, figures, recipe, files with SHA-256
    sheet.png                                         samples

``load_with_lora`` (``lora_merge.py``) adds the factors to the weights of their base, without PEFT.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from reverie.data.pictures import Collection, save_picture
from reverie.errors import ConfigError, MissingExtraError, TrainingError
from reverie.experts.files import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE
from reverie.files import atomic_folder, atomic_write_bytes, atomic_write_json
from reverie.generator.generator import Generator
from reverie.generator.lora_merge import PREFIX, load_with_lora, merged_network, owner_of
from reverie.generator.network import GeneratorNetwork
from reverie.generator.objective import GeneratorData, GeneratorObjective
from reverie.generator.priors import PriorFitConfig, need_fitters
from reverie.generator.recipe import GeneratorRecipe, GeneratorResult, finish, note_recipe, sample_sheet
from reverie.manifest import seal
from reverie.progress import Progress, no_progress
from reverie.settings import settings_to_dict
from reverie.training.loop import train
from reverie.training.settings import LoopConfig

if TYPE_CHECKING:
    from peft import LoraConfig

__all__ = [
    "LoraObjective",
    "LoraRecipe",
    "GeneratorLoraConfig",
    "load_with_lora",
    "train_lora",
]

_FREE = {"run_dir", "name", "base", "priors", "fit", "views"}  # may change when a run goes on
Part = Literal["picture_encoder", "picture_decoder", "caption_encoder", "caption_decoder", "match_head"]
PARTS: tuple[Part, ...] = ("picture_encoder", "picture_decoder", "caption_encoder", "caption_decoder", "match_head")


@dataclass(frozen=True)
class GeneratorLoraConfig:
    """How much may change."""

    rank: int = 8  # of each change
    alpha: float = 16.0  # a change counts alpha / rank times
    dropout: float = 0.0  # of what goes into the changes, while training
    parts: tuple[Part, ...] = PARTS  # the networks that may change

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))
        if self.rank < 1 or not 0 < self.alpha < math.inf or not 0 <= self.dropout < 1:
            raise ConfigError(
                f"lora: rank is at least 1, alpha above 0, dropout in [0, 1); "
                f"got {self.rank}, {self.alpha} and {self.dropout}"
            )
        if not self.parts or set(self.parts) - set(PARTS):
            raise ConfigError(f"lora: parts are some of {', '.join(PARTS)}; got {', '.join(self.parts) or 'none'}")


@dataclass(frozen=True)
class LoraRecipe:
    """Everything that makes one fine-tuning again."""

    run_dir: str = "runs/generator-lora"
    base: str = ""  # the folder of the generator that is fine-tuned
    name: str = ""  # of the fine-tuning; else that of the run folder
    # A new critic joins at once: without one, the sharpness goes that the base learned from its own.
    data: GeneratorData = field(default_factory=lambda: GeneratorData(batch_size=16, adversarial_from=0.0))
    lora: GeneratorLoraConfig = field(default_factory=GeneratorLoraConfig)
    loop: LoopConfig = LoopConfig(
        steps=600, lr=2e-3, weight_decay=0.0, warmup_steps=20, eval_every=50, patience=4, checkpoint_every=50
    )
    priors: tuple[Literal["mixture", "flow"], ...] = ("mixture", "flow")
    fit: PriorFitConfig = field(default_factory=PriorFitConfig)
    views: int = 4  # times that each training picture, cut and toned anew, is encoded for the priors

    def __post_init__(self) -> None:
        object.__setattr__(self, "priors", tuple(self.priors))
        if self.views < 0:
            raise ConfigError(f"lora: views is 0 or more, got {self.views}")


def train_lora(recipe: LoraRecipe, progress: Progress = no_progress) -> GeneratorResult:
    """Train the factors, fit the priors and write ``run_dir/adapter``; run again, it goes on where it was stopped.

    The figures are those on the new collection, and those of the base as ``before_…``.

    Raises MissingExtraError without PEFT; ConfigError without a base; BundleError and DataError on a base or collection
    that is none; TrainingError where the collection is too small, or the run folder holds a run of other settings.
    """
    _need_peft()
    if not recipe.base:
        raise ConfigError("a fine-tuning needs the generator that it starts from: base=FOLDER")
    run_dir, base_dir = Path(recipe.run_dir), Path(recipe.base)
    base = Generator.load(base_dir)
    collection = Collection.open(recipe.data.collection)
    if (num := len(collection.split("train"))) < 2:
        raise TrainingError(
            f"a fine-tuning learns from two pictures or more; {collection.folder} has {num} to train on"
        )
    owner = owner_of(base_dir)
    need_fitters(recipe.priors)
    note_recipe(settings_to_dict(recipe) | {"base_sha256": owner["base"]}, run_dir, _FREE)
    objective = LoraObjective(recipe, base, collection, run_dir / "sheets")
    trained = train(objective, recipe.loop, run_dir, progress)
    if trained.stopped != "done" or not trained.leads:
        return GeneratorResult(trained, None, None, trained.metrics)
    progress("evaluating", 0, 1)
    figures = objective.compare(run_dir / "export")
    network = merged_network(base, run_dir / "export")
    plain = GeneratorRecipe(
        recipe.run_dir, recipe.name, data=recipe.data, priors=recipe.priors, fit=recipe.fit, views=recipe.views
    )
    about = owner | {"recipe": settings_to_dict(recipe)}

    def write(made: Generator) -> Path:
        return _write_adapter(run_dir / "adapter", run_dir / "export", made)

    return finish(trained, network, objective.whole, plain, figures, about, write, progress)


class LoraObjective:
    """The generator's own objective ``whole``, of which the factors alone are trained and kept in checkpoints."""

    def __init__(self, recipe: LoraRecipe, base: Generator, collection: Collection, sheets_dir: Path | None = None):
        network = GeneratorNetwork(base.config)
        network.load_state_dict(base.network.state_dict())
        self.whole = GeneratorObjective(
            recipe.data, base.config, collection, base.tokenizer, recipe.loop.steps, sheets_dir, network
        )
        from peft import inject_adapter_in_model

        self.lora = _lora_config(recipe.lora, network)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.data.seed)
            inject_adapter_in_model(self.lora, network)
        self.module: nn.Module = _Factors(network, self.whole.module.critic)  # type: ignore[arg-type]

    def batch(self, step: int) -> dict[str, Tensor]:
        return self.whole.batch(step)

    def compute_loss(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        return self.whole.compute_loss(batch)

    def evaluate(self, step: int) -> dict[str, float]:
        return self.whole.evaluate(step)

    def export(self, folder: Path) -> None:
        """The two files that PEFT loads."""
        tensors = {PREFIX + name: factor.detach().cpu().contiguous() for name, factor in self._factors().items()}
        atomic_write_bytes(folder / WEIGHTS_FILE, save(tensors, metadata={"format": "pt"}))
        atomic_write_json(folder / CONFIG_FILE, _config_file(self.lora))

    @torch.no_grad()
    def compare(self, folder: Path) -> dict[str, float]:
        """Figures with the factors that lie in ``folder``, and as ``before_…`` those without any: of the base."""
        trained = load((folder / WEIGHTS_FILE).read_bytes())
        self.module.cpu().eval()
        for factor in self._factors().values():
            factor.zero_()
        before = self.evaluate(0)
        for name, factor in self._factors().items():
            factor.copy_(trained[PREFIX + name])
        after = self.evaluate(self.whole.steps)
        return after | {f"before_{name}": value for name, value in before.items()}

    def _factors(self) -> dict[str, nn.Parameter]:
        """By PEFT's names, which leave out that of the adapter."""
        network = self.whole.network
        return {name.replace(".default.", "."): one for name, one in network.named_parameters() if ".lora_" in name}


class _Factors(nn.Module):
    """What the loop sees: factors and critic. The base lies beside it, so that no checkpoint holds it."""

    def __init__(self, network: GeneratorNetwork, critic: nn.Module):
        super().__init__()
        self.critic = critic
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                self.register_parameter(name.replace(".", "/"), parameter)
        self._beside = [network]

    @property
    def network(self) -> GeneratorNetwork:
        return self._beside[0]

    def train(self, mode: bool = True) -> _Factors:
        self.network.train(mode)
        super().train(mode)
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> _Factors:
        self.network._apply(fn, recurse)  # to the device that the loop picks
        super()._apply(fn, recurse)
        return self


def _lora_config(settings: GeneratorLoraConfig, network: GeneratorNetwork) -> LoraConfig:
    from peft import LoraConfig

    targets = [
        name
        for name, module in network.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d)) and name.split(".")[0] in settings.parts
    ]
    return LoraConfig(r=settings.rank, lora_alpha=settings.alpha, lora_dropout=settings.dropout, target_modules=targets)


def _config_file(lora: LoraConfig) -> dict[str, Any]:
    """What PEFT reads back, as JSON."""
    return {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": None,
        "r": lora.r,
        "lora_alpha": lora.lora_alpha,
        "lora_dropout": lora.lora_dropout,
        "bias": "none",
        "target_modules": sorted(lora.target_modules or ()),
        "inference_mode": True,
        "use_rslora": False,
        "use_dora": False,
        "fan_in_fan_out": False,
    }


def _write_adapter(folder: Path, export: Path, made: Generator) -> Path:
    with atomic_folder(folder) as new:
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            atomic_write_bytes(new / name, (export / name).read_bytes())
        made.save_priors(new)
        save_picture(sample_sheet(made), new / "sheet.png")
        seal(new, made.card | {"default_prior": made.default_prior}, CARD_FILE)
    return folder


def _need_peft() -> None:
    # bitsandbytes, which comes along where it is installed, misses kernels for what is not done here.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    try:
        import peft  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("fine-tuning a generator", "train") from error
