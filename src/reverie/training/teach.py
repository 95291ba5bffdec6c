"""Teaches a base made elsewhere the grammar: the rows of its new ids, and low-rank changes of its linears.

The base itself stays as it is, so that without the changes it says what it said before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from reverie.errors import BundleError, ConfigError, UsageError
from reverie.experts.files import save_adapter
from reverie.experts.lowrank import LoraConfig, attach
from reverie.experts.tuning import save_memory
from reverie.files import atomic_write_json
from reverie.jsonio import read_object
from reverie.model.transformers_base import TransformersBackbone, load_model
from reverie.paths import find_bundle
from reverie.progress import Progress, no_progress
from reverie.tokens.grammar_files import load_grammar
from reverie.tokens.image import ImageTokenizer
from reverie.training.lessons import LessonData, Lessons

__all__ = ["TeachData", "TeachObjective"]


@dataclass(frozen=True)
class TeachData(LessonData):
    """Which base learns, and how."""

    bundle: str = ""  # made by ``reverie init`` or ``reverie models pull``: its name or folder
    lora: LoraConfig = field(default_factory=lambda: LoraConfig(rank=16, alpha=32.0))
    start_from_text: bool = True  # new ids start as copies of text ids; else as they are in the bundle
    eval_seconds: float = 60.0  # for an evaluation, about; 0: as long as it takes
    gradient_checkpointing: bool = False  # states within a layer are computed again on the way back: less memory

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.eval_docs < 1 or self.eval_seconds < 0:
            raise ConfigError("teach: eval_docs is at least 1, eval_seconds at least 0")


class TeachObjective:
    """Weighted next-id prediction of nano's lessons; only new rows and changes are trained and kept in checkpoints."""

    gives_up = True

    metrics: ClassVar[Mapping[str, str]] = {"perplexity": "loss"}

    def __init__(self, data: TeachData, progress: Progress = no_progress):
        self.data, self.folder = data, find_bundle(data.bundle)
        self.before: dict[str, float] = {}  # the loop fills it in
        self.progress = progress
        base = _base_of(self.folder, data)
        self.grammar = load_grammar(self.folder)
        progress(f"preparing  reading {data.bundle}", 0, 0)
        model = load_model(self.folder / "backbone", dtype=torch.float32).eval().requires_grad_(False)
        self.backbone = TransformersBackbone(model, self.grammar.vocabulary.text_start)
        self.rows = self.backbone.teach_rows()  # before the changes, which are not to be tried with
        generator = torch.Generator().manual_seed(data.seed)
        if data.start_from_text and not base["taught"]:
            self.rows.copy_text(generator)
        changes, self.adapter = attach(self.backbone, data.lora, generator)
        if data.gradient_checkpointing:
            save_memory(self.backbone.base)
        self.rows.requires_grad_(True)
        self.module: nn.Module = nn.ModuleDict({"changes": changes, "rows": self.rows})
        progress("preparing  recording worlds", 0, 0)
        tokenizer = ImageTokenizer.load(self.folder / "image_tokenizer") if data.worlds else None
        self.lessons = Lessons(data, self.grammar, tokenizer, test_drills=True)

    def batch(self, step: int) -> list[tuple[Tensor, Tensor]]:
        """Buckets (ids (B, T) int64, weights (B, T) float) of one step's documents."""
        return self.lessons.batch(step)

    def compute_loss(self, batch: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        self.backbone.to(batch[0][0].device)  # the frozen part is not in the module that the loop moves
        self.rows.put()
        return self.lessons.losses(batch, self.backbone.loss)

    def evaluate(self, step: int) -> dict[str, float]:
        """See ``Lessons.figures``."""
        self.rows.put()
        return self.lessons.figures(self.backbone, self.progress, self.data.eval_seconds)

    def export(self, folder: Path) -> None:
        """What ``bundles.taught`` makes a bundle of: changes/ (PEFT's files), rows.safetensors, taught.json."""
        save_adapter(self.adapter(), folder / "changes")
        tensors = {name: rows.detach().cpu().contiguous() for name, rows in self.rows.named_parameters()}
        save_file(tensors, folder / "rows.safetensors")
        worlds = [name for name, count in self.data.worlds.items() if count]
        atomic_write_json(folder / "taught.json", {"worlds": worlds, "before": self.before, "after": self.evaluate(0)})


def _base_of(folder: Path, data: TeachData) -> dict[str, Any]:
    """What a bundle's manifest says of its base. Raises UsageError where it was not made elsewhere, or lacks the words
    and backdrops of a world."""
    manifest = read_object(folder / "manifest.json", BundleError, "the manifest of a bundle")
    said = manifest.get("base")
    if not isinstance(said, dict) or "taught" not in said:
        raise UsageError(f"{folder} was not made of a base: 'reverie init' and 'reverie models pull' make such bundles")
    if said.get("quantized"):
        raise UsageError(f"the base in {folder} is quantized, and cannot be taught; make its bundle without --quantize")
    if strange := data.worlds.keys() - manifest.get("worlds", {}).keys():
        raise ConfigError(
            f"{folder} has no backdrop of the world {min(strange)}; it has {', '.join(manifest['worlds'])}"
        )
    return said
