"""A question as a model meets it: what a ``Prompter`` makes of it, and the dreams start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from reverie.dreaming.dreamer import Prompt
from reverie.dreaming.expert_pool import branch_choices
from reverie.dreaming.question import DreamSettings
from reverie.errors import UsageError
from reverie.experts.contract import Choice
from reverie.nouns import Check, Fact
from reverie.worlds import World

__all__ = ["Prompted"]


@dataclass(frozen=True, eq=False)
class Prompted:
    """A question as the model meets it.

    Args:
        asked: its words, as the memory is asked
        ids: of the question alone; the first ``given`` of them are no surprise to anybody
        features: what the router sees of it (``experts.features``), float32 (2 D,)
        embedding: the mean of the bare model's final states over it, float64 (D,)
        experts: who was chosen to dream it
        prefix: the ids that its dreams start from
        forced, direct: the ids that every dream, and an answer without dreams, must begin with
        world: the world it plays in, where one is named
        pictured: whether the dreams start from a picture
        actions: what a dream must do, in this order, where the question says so
        checks: what had to hold of the question and what it shows, before anything was dreamed
        facts: what was recalled for it; ``prefix_embeddings``: ids of what they say in soft tokens, where they
            are to be heard before a direct answer; ``attention``: a fact's id -> how much of it that got
    """

    asked: str
    ids: tuple[int, ...]
    given: int
    features: np.ndarray
    embedding: np.ndarray
    experts: Choice
    prefix: tuple[int, ...]
    forced: tuple[int, ...] = ()
    direct: tuple[int, ...] = ()
    world: World | None = None
    pictured: bool = False
    actions: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    facts: tuple[Fact, ...] = ()
    prefix_embeddings: tuple[int, ...] = ()
    attention: Mapping[int, float] = field(default_factory=dict)

    def rows(self, settings: DreamSettings) -> list[Prompt]:
        """The rows to dream; with 0 branches one that answers at once, greedily."""
        dreams, seeds = settings.branches > 0, settings.branch_seeds
        if self.pictured and not dreams:
            raise UsageError("a question about a picture is answered by dreaming on from it; give at least 1 branch")
        return [
            Prompt(
                self.prefix,
                self.forced if dreams else self.direct,
                seed=seed,
                temperature=temperature,
                depth=settings.depth,
                actions=self.actions if dreams else (),
                pictured=True,
                prefix_embeddings=() if dreams else self.prefix_embeddings,
                experts=experts,
            )
            for seed, temperature, experts in zip(
                seeds, settings.temperatures, branch_choices(self.experts, len(seeds)), strict=True
            )
        ]
