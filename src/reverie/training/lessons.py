"""The lessons of the grammar, for whatever backbone learns it: first looking cells up, then worlds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.errors import ConfigError
from reverie.model import Backbone
from reverie.model.transformers_base import TransformersBackbone
from reverie.progress import Progress, no_progress
from reverie.tokens.grammar import Grammar
from reverie.tokens.image import ImageTokenizer
from reverie.training.documents import bucketed, flatten, pad
from reverie.training.judging import judged
from reverie.training.sources import Drills
from reverie.worlds import make_world
from reverie.worlds.contract import Source
from reverie.worlds.documents import document_config, documents_of

__all__ = ["LessonData", "Lessons"]

Buckets = list[tuple[Tensor, Tensor]]  # (ids (B, T) int64, weights (B, T) float)
Loss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # as ``Backbone.loss``


@dataclass(frozen=True)
class LessonData:
    """What is learned, and how much of each a step."""

    # world → its documents a step; {} = drills alone
    worlds: dict[str, int] = field(default_factory=dict)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)  # world → settings of its ``document_config``
    episodes: int = 12_000  # recorded before training starts, of each world whose documents come from recordings
    drill_steps: int = 0  # first steps that only drill looking up
    drill_docs: int = 96  # documents a step while drilling
    drills: int = 6  # drills a step afterwards
    drill_questions: int = 14  # of one drill
    buckets: int = 4  # a step's documents are sorted by length and padded in this many groups
    eval_docs: int = 64  # documents of each kind in an evaluation
    seed: int = 0

    def __post_init__(self) -> None:
        if self.drills + sum(self.worlds.values()) < 1 or min(self.buckets, self.drill_questions) < 1:
            raise ConfigError(
                "lessons: at least one document a step, one question of a drill and one bucket are needed"
            )
        if strange := set(self.documents) - set(self.worlds):
            raise ConfigError(f"lessons: documents has settings of {min(strange)}, which is not among the worlds")


class Lessons:
    """Documents to learn from and to be tested on; losses and figures are of each kind of id on its own.

    ``test_drills``: looking up is tested, too, as "drills".
    """

    def __init__(self, data: LessonData, grammar: Grammar, tokenizer: ImageTokenizer | None, test_drills: bool = False):
        self.data = data
        self.sources: dict[str, tuple[Source, int]] = {}
        self.tests: dict[str, Source] = {}
        if data.drills or data.drill_steps:
            drills = Drills(grammar, questions=data.drill_questions)
            self.sources["drills"] = drills, data.drills
            if test_drills:
                self.tests["drills"] = drills
        for name, count in data.worlds.items():
            if tokenizer and count:
                world, words = make_world(name), (grammar, tokenizer)
                config = document_config(world, data.documents.get(name, {}))
                train = documents_of(world, *words, config, episodes=data.episodes, seed=data.seed)
                test = documents_of(world, *words, episodes=data.eval_docs, seed=data.seed + 1, test=True)
                self.sources[name.lower()], self.tests[name.lower()] = (train, count), test
        kinds = ("special", "position", "code", "backdrop", "text")
        v = grammar.vocabulary
        self.kinds = kinds
        self.kind_of = torch.tensor([kinds.index(k) if (k := v.kind(i)) in kinds else 0 for i in range(v.size)])

    def batch(self, step: int) -> Buckets:
        """All documents of one step."""
        rng = np.random.default_rng([self.data.seed, step])
        if step < self.data.drill_steps:
            counts = [(self.sources["drills"][0], self.data.drill_docs)]
        else:
            counts = list(self.sources.values())
        documents = [flatten(source.draw(rng)) for source, count in counts for _ in range(count)]
        return bucketed(documents, self.data.buckets)

    def losses(self, batch: Buckets, loss_of: Loss) -> dict[str, Tensor]:
        """The weighted mean of a step in nats, that of each kind of id, and how many ids there are."""
        device = batch[0][0].device
        kind_of = self.kind_of.to(device)
        total = torch.zeros((), device=device)
        sums, weights = (torch.zeros(len(self.kinds), device=device) for _ in range(2))
        for ids, weight in batch:
            loss, nll = loss_of(ids, weight)
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
    def figures(
        self, backbone: Backbone | TransformersBackbone, progress: Progress = no_progress, seconds: float = 0.0
    ) -> dict[str, float]:
        """Per kind of id, the share predicted right on unseen maps and scenes, and of documents without a mistake.

        ``seconds``: after so long only one more batch of each; 0: no limit.
        """
        figures: dict[str, float] = {}
        started = time.monotonic()
        for place, (name, source) in enumerate(self.tests.items()):
            rng = np.random.default_rng(7)
            documents = [flatten(source.draw(rng)) for _ in range(self.data.eval_docs)]
            right: dict[int, list[bool]] = {}
            whole: list[bool] = []
            for start in range(0, len(documents), 16):
                progress(f"evaluating  {name}", start, len(documents))
                if whole and 0 < seconds * (place + 1) / len(self.tests) < time.monotonic() - started:
                    break
                ids, weight = pad(documents[start : start + 16])
                where, goals = weight[:, 1:] >= 1.0, ids[:, 1:]
                hits = judged(backbone, ids, where)[1] == goals[where]
                whole += torch.ones_like(where).masked_scatter(where, hits).all(1).tolist()
                for kind, hit in zip(self.kind_of[goals][where].tolist(), hits.tolist(), strict=True):
                    right.setdefault(kind, []).append(hit)
            progress(f"evaluating  {name}", len(documents), len(documents))
            figures |= {f"{name}_{self.kinds[kind]}": float(np.mean(hits)) for kind, hits in sorted(right.items())}
            figures[f"{name}_whole"] = float(np.mean(whole))
        return figures
