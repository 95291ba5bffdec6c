"""Trains the backbone on documents of dreams: first looking cells up, then worlds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.errors import ConfigError
from reverie.model import Backbone, BackboneConfig
from reverie.tokens import ImageTokenizer
from reverie.tokens.grammar_files import save_grammar
from reverie.training.documents import bucketed, flatten, pad
from reverie.training.sources import Drills
from reverie.worlds import make_world
from reverie.worlds.contract import Source
from reverie.worlds.documents import build_grammar, document_config, documents_of

__all__ = ["BackboneData", "BackboneObjective", "flatten", "pad"]


@dataclass(frozen=True)
class BackboneData:
    """What the backbone learns from, and its size."""

    image_tokenizer: str = "runs/tokenizer/export"  # folder of the trained image tokenizer; unused without worlds
    # world → its documents a step; their words and backdrops make the vocabulary, in this order; {} = drills alone
    worlds: dict[str, int] = field(default_factory=dict)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)  # world → settings of its ``document_config``
    episodes: int = 12_000  # recorded before training starts, of each world whose documents come from recordings
    text_size: int = 752  # byte-level BPE ids, the 256 bytes included
    corpus: int = 2000  # episodes of each world whose words the BPE is trained on
    start_from: str = ""  # folder of a backbone to go on from, empty = random weights
    drill_steps: int = 0  # first steps that only drill looking up
    drill_docs: int = 96  # documents a step while drilling
    drills: int = 6  # drills a step afterwards
    buckets: int = 4  # a step's documents are sorted by length and padded in this many groups
    eval_docs: int = 64  # documents of each kind in an evaluation
    seed: int = 0
    model: BackboneConfig = field(default_factory=lambda: BackboneConfig(vocab_size=0))  # vocab_size is filled in

    def __post_init__(self) -> None:
        if self.drills + sum(self.worlds.values()) < 1 or self.buckets < 1:
            raise ConfigError("backbone: at least one document a step and one bucket are needed")
        if strange := set(self.documents) - set(self.worlds):
            raise ConfigError(f"backbone: documents has settings of {min(strange)}, which is not among the worlds")


class BackboneObjective:
    """Weighted next-id prediction; the loss is also reported for each kind of id on its own."""

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
        self.sources: dict[str, tuple[Source, int]] = {}
        self.tests: dict[str, Source] = {}
        if data.drills or data.drill_steps:
            self.sources["drills"] = Drills(self.grammar), data.drills
        for name, count in data.worlds.items():
            if self.tokenizer and count:
                world, words = make_world(name), (self.grammar, self.tokenizer)
                config = document_config(world, data.documents.get(name, {}))
                train = documents_of(world, *words, config, episodes=data.episodes, seed=data.seed)
                test = documents_of(world, *words, episodes=data.eval_docs, seed=data.seed + 1, test=True)
                self.sources[name.lower()], self.tests[name.lower()] = (train, count), test
        kinds = ("special", "position", "code", "backdrop", "text")
        v = self.grammar.vocabulary
        self.kinds = kinds
        self.kind_of = torch.tensor([kinds.index(k) if (k := v.kind(i)) in kinds else 0 for i in range(v.size)])

    def batch(self, step: int) -> list[tuple[Tensor, Tensor]]:
        """A list of buckets (ids (B, T) int64, weights (B, T) float): all documents of one step."""
        rng = np.random.default_rng([self.data.seed, step])
        if step < self.data.drill_steps:
            counts = [(self.sources["drills"][0], self.data.drill_docs)]
        else:
            counts = list(self.sources.values())
        documents = [flatten(source.draw(rng)) for source, count in counts for _ in range(count)]
        return bucketed(documents, self.data.buckets)

    def compute_loss(self, batch: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        device = batch[0][0].device
        kind_of = self.kind_of.to(device)
        total = torch.zeros((), device=device)
        sums, weights = (torch.zeros(len(self.kinds), device=device) for _ in range(2))
        for ids, weight in batch:
            loss, nll = self.module.loss(ids, weight)
            mass = weight[:, 1:].sum()
            total = total + loss * mass
            with torch.no_grad():
                kind = kind_of[ids[:, 1:]].ravel()
                sums.index_add_(0, kind, (nll[:, 1:] * weight[:, 1:]).ravel().float())
                weights.index_add_(0, kind, weight[:, 1:].ravel())
        parts = {name: sums[i] / weights[i] for i, name in enumerate(self.kinds) if weights[i] > 0}
        num_ids = torch.tensor(sum(ids.numel() for ids, _ in batch))
        return {"loss": total / weights.sum(), **parts, "num_ids": num_ids}

    @torch.no_grad()
    def evaluate(self, step: int) -> dict[str, float]:
        """Per kind of id, the share predicted right on unseen maps and scenes, and of documents without a mistake."""
        device = next(self.module.parameters()).device
        figures: dict[str, float] = {}
        for name, source in self.tests.items():
            rng = np.random.default_rng(7)
            documents = [flatten(source.draw(rng)) for _ in range(self.data.eval_docs)]
            right: dict[int, list[bool]] = {}
            whole = []
            for start in range(0, len(documents), 16):
                ids, weight = pad(documents[start : start + 16])
                guess = self.module(ids.to(device))[:, :-1].argmax(-1).cpu()
                judged = weight[:, 1:] >= 1.0
                hits = guess == ids[:, 1:]
                whole += (hits | ~judged).all(1).tolist()
                for kind, hit in zip(self.kind_of[ids[:, 1:]][judged].tolist(), hits[judged].tolist(), strict=True):
                    right.setdefault(kind, []).append(hit)
            figures |= {f"{name}_{self.kinds[kind]}": float(np.mean(hits)) for kind, hits in sorted(right.items())}
            figures[f"{name}_whole"] = float(np.mean(whole))
        return figures

    def export(self, folder: Path) -> None:
        """Everything a bundle needs but its manifest: backbone, both tokenizers and the vocabulary."""
        self.module.save(folder / "backbone")
        if self.tokenizer is not None:
            self.tokenizer.save(folder / "image_tokenizer")
        save_grammar(self.grammar, folder)
