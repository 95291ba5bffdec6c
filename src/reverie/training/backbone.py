"""Trains the backbone on documents of dreams: first looking cells up, then worlds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from reverie.errors import ConfigError
from reverie.model import Backbone, BackboneConfig
from reverie.tokens import ImageTokenizer
from reverie.tokens.grammar_files import save_grammar
from reverie.training.documents import flatten, pad
from reverie.training.lessons import LessonData, Lessons
from reverie.worlds.documents import build_grammar

__all__ = ["BackboneData", "BackboneObjective", "flatten", "pad"]


@dataclass(frozen=True)
class BackboneData(LessonData):
    """What the backbone learns from, and its size. The words and backdrops of ``worlds`` make its vocabulary, in their
    order."""

    image_tokenizer: str = "runs/tokenizer/export"  # folder of the trained image tokenizer; unused without worlds
    text_size: int = 752  # byte-level BPE ids, the 256 bytes included
    corpus: int = 2000  # episodes of each world whose words the BPE is trained on
    start_from: str = ""  # folder of a backbone to go on from, empty = random weights
    model: BackboneConfig = field(default_factory=lambda: BackboneConfig(vocab_size=0))  # vocab_size is filled in


class BackboneObjective:
    """Weighted next-id prediction; the loss is also reported for each kind of id on its own."""

    metrics: ClassVar[Mapping[str, str]] = {"perplexity": "loss"}

    def __init__(self, data: BackboneData):
        self.data = data
        self.tokenizer = ImageTokenizer.load(Path(data.image_tokenizer)) if data.worlds else None
        self.grammar = build_grammar(self.tokenizer, list(data.worlds), data.text_size, data.corpus)
        config = BackboneConfig(**{**vars(data.model), "vocab_size": self.grammar.vocabulary.size})
        if data.start_from:
            self.module = Backbone.load(Path(data.start_from)).requires_grad_(True).train()
            if self.module.config != config:
                raise ConfigError(
                    f"{data.start_from} has other sizes than the recipe: {self.module.config}, not {config}"
                )
        else:
            self.module = Backbone(config, torch.Generator().manual_seed(data.seed))
        self.lessons = Lessons(data, self.grammar, self.tokenizer)

    def batch(self, step: int) -> list[tuple[Tensor, Tensor]]:
        """A list of buckets (ids (B, T) int64, weights (B, T) float): all documents of one step."""
        return self.lessons.batch(step)

    def compute_loss(self, batch: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        return self.lessons.losses(batch, self.module.loss)

    def evaluate(self, step: int) -> dict[str, float]:
        """See ``Lessons.figures``."""
        return self.lessons.figures(self.module)

    def export(self, folder: Path) -> None:
        """Everything a bundle needs but its manifest: backbone, both tokenizers and the vocabulary."""
        self.module.save(folder / "backbone")
        if self.tokenizer is not None:
            self.tokenizer.save(folder / "image_tokenizer")
        save_grammar(self.grammar, folder)
