"""Trains an expert on new lessons without losing old ones: replay and elastic weight consolidation in one objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from torch import Tensor

from reverie.errors import ConfigError, DataError
from reverie.experts.files import save_adapter
from reverie.training.adapted import Adapted, documents_of
from reverie.training.consolidation import FISHER_FILE, Consolidation, Fisher, fisher_of, save_fisher
from reverie.training.documents import Document, bucketed

__all__ = ["ContinualData", "ContinualObjective", "Replayed"]


class Replayed(NamedTuple):
    """An old lesson; ``surprise``: nats an id that it cost when it was looked at last."""

    question: str
    answer: str
    surprise: float = 1.0


@dataclass(frozen=True)
class ContinualData:
    """How new lessons are mixed with old ones."""

    batch_size: int = 8  # documents a step
    buckets: int = 2  # a step's documents are sorted by length and padded in this many groups
    replay_share: float = 0.5  # of a step's documents that are old lessons, where there are any; 0: no replay
    priority: float = 0.6  # old lessons are drawn by their surprise to this power (arXiv 1511.05952); 0: evenly
    consolidation: float = 1.0  # weight of the penalty, a document of the old against one of the new; 0: none
    kept: float = 0.95  # of the old importances, when those of the new lessons are added
    fisher_rows: int = 32  # documents that importances are measured on; 0: they are not
    question_weight: float = 0.0  # of a question's ids beside the answer's
    seed: int = 0

    def __post_init__(self) -> None:
        shares = 0 <= self.replay_share < 1 and 0 <= self.kept <= 1
        least = min(self.priority, self.consolidation, self.fisher_rows, self.question_weight) >= 0
        if not (shares and least and self.batch_size >= 1 and self.buckets >= 1):
            raise ConfigError(
                "continual: batch_size and buckets are at least 1, replay_share in [0, 1), kept in [0, 1], the others "
                "at least 0"
            )


class ContinualObjective:
    """Next-id prediction of answers, old ones among the new, held to what mattered before.

    Args:
        adapted: the base with its changes as they stand; the penalty pulls to there
        new: (question, answer), each drawn equally often
        old: lessons to draw again
        fisher: importances of earlier lessons; None: nothing is held
        tests: (question, answer) to evaluate on; without any, on the first of the new ones
    """

    metrics: ClassVar[Mapping[str, str]] = {"ewc": "penalty"}

    def __init__(
        self,
        adapted: Adapted,
        new: Sequence[tuple[str, str]],
        old: Sequence[Replayed] = (),
        fisher: Fisher | None = None,
        data: ContinualData | None = None,
        tests: Sequence[tuple[str, str]] = (),
    ):
        if not new:
            raise DataError("there is no new lesson to learn")
        self.data, self.adapted, self.module = data or ContinualData(), adapted, adapted.module
        self.new = documents_of(adapted.prompter, new, self.data.question_weight)
        self.old = documents_of(adapted.prompter, [one[:2] for one in old], self.data.question_weight)
        self.tests = documents_of(adapted.prompter, tests) if tests else self.new[:64]
        weights = np.array([max(one.surprise, 0.0) + 0.01 for one in old]) ** self.data.priority
        self._chances = weights / weights.sum() if len(old) else weights
        self.fisher = fisher
        self._held = Consolidation.of(self.module, fisher) if fisher and self.data.consolidation else None

    def batch(self, step: int) -> list[tuple[Tensor, Tensor]]:
        """Buckets (ids (B, T) int64, weights (B, T) float) of one step's documents."""
        return bucketed(self._drawn(step), self.data.buckets)

    def _drawn(self, step: int) -> list[Document]:
        data, rng = self.data, np.random.default_rng([self.data.seed, step])
        again = round(data.replay_share * data.batch_size) if self.old else 0
        fresh = max(data.batch_size - again, 1)
        places = [self._place(step * fresh + number) for number in range(fresh)]
        replayed = rng.choice(len(self.old), again, p=self._chances).tolist() if again else []
        return [self.new[place] for place in places] + [self.old[place] for place in replayed]

    def _place(self, number: int) -> int:
        """Which new lesson is drawn as the ``number``th: all of them in turn, in an order of each round's own."""
        turn, place = divmod(number, len(self.new))
        return int(np.random.default_rng([self.data.seed, turn, 3]).permutation(len(self.new))[place])

    def compute_loss(self, batch: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        parts = self.adapted.losses(batch)
        if self._held is None:
            return parts
        penalty = self.data.consolidation * self._held.penalty(self.module)
        return parts | {"loss": parts["loss"] + penalty, "penalty": penalty, "nats": parts["loss"]}

    def evaluate(self, step: int) -> dict[str, float]:
        """How well the tests, or new lessons, are known: nats an id, the share of exact answers."""
        return self.adapted.figures(self.tests)

    def export(self, folder: Path) -> None:
        """What PEFT loads, and the importances of all lessons so far."""
        save_adapter(self.adapted.adapter(), folder)
        if self.data.fisher_rows:
            save_fisher(self.importances(), folder / FISHER_FILE)

    def importances(self) -> Fisher:
        """Those of the new lessons, added to what is kept of the old ones."""
        rng = np.random.default_rng([self.data.seed, 11])
        some = rng.permutation(len(self.new))[: self.data.fisher_rows]
        own = fisher_of(self.adapted, [self.new[int(place)] for place in some], self.data.seed)
        old = self.fisher or {}
        return {name: one + self.data.kept * old[name] if name in old else one for name, one in own.items()}
