"""Which experts dream: chosen by the router, or named; and what each of them gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from reverie.engine import AnyEngine
from reverie.errors import UsageError, shorten
from reverie.experts.contract import Choice, check_choice
from reverie.experts.dynamic_router import DynamicRouter
from reverie.nouns import Check, ExpertShare, LeftOut
from reverie.tokens.vocabulary import ANS

if TYPE_CHECKING:
    from reverie.experts.library import Library
    from reverie.experts.router import Router

__all__ = ["ExpertPool", "branch_choices", "expert_shares", "read_choice"]


class ExpertPool:
    """The experts of a session: the library they are in, and the router that chooses among them.

    ``lessons`` says whether those of experts (name → folder) spoke of a question.

    Without a trained router experts are chosen by the prototypes beside them; without a library nobody but the bare
    backbone dreams. What is added to the library while the session lasts is there for the next question.
    """

    def __init__(
        self,
        library: Library | None = None,
        router: Router | None = None,
        lessons: Callable[[str, Mapping[str, Path]], Check | None] = lambda question, experts: None,
    ):
        self.library, self._lessons = library, lessons
        self.router = DynamicRouter(library, router, library.base) if library is not None else None

    @property
    def layers(self) -> int:
        """Of the base, after which the router wants its features; 0: all."""
        return 0 if self.router is None else self.router.layers

    def lessons(self, question: str, choice: Choice) -> Check | None:
        """Whether the lessons of those who are chosen spoke of a question's words; None where nobody knows."""
        if self.library is None or not choice:
            return None
        return self._lessons(question, {name: self.library.folder_of(name) for name, _ in choice})

    def choose(self, features: Sequence[np.ndarray], named: Sequence[Sequence[str] | None]) -> list[Choice]:
        """Who answers each question. ``features``: what the router sees of it (``experts.features``).

        ``named``: for each, ``name`` or ``name=weight``; () for nobody, None to let the router choose.
        Raises UnknownNameError for an expert that the library does not hold.
        """
        choices = [() if one is None else self._named(one) for one in named]
        free = [place for place, one in enumerate(named) if one is None]
        if self.router is not None and free:
            routed = self.router.route(torch.from_numpy(np.stack([features[place] for place in free])))
            for place, choice in zip(free, routed, strict=True):
                choices[place] = choice
        return choices

    def _named(self, named: Sequence[str]) -> Choice:
        choice = read_choice(named)
        for name, _ in choice:
            if self.library is None:
                raise UsageError(f"this model has no library of experts to take '{name}' from")
            self.library.key(name)
        return choice

    def distance(self, features: np.ndarray, choice: Choice) -> float:
        """How far a question is from what the nearest of its experts was taught: about 1 for their own; else inf."""
        prototypes = self.router.prototypes if self.router and choice else {}
        near = [prototypes[name].distances(torch.from_numpy(features)) for name, _ in choice if name in prototypes]
        return min((float(one) for one in near), default=float("inf"))


def read_choice(named: Sequence[str]) -> Choice:
    """``["causal", "spatial=0.5"]`` as names with weights. Raises UsageError."""
    choice = []
    for one in named:
        name, _, weight = one.partition("=")
        try:
            choice.append((name.strip(), float(weight) if weight else 1.0))
        except ValueError as error:
            raise UsageError(f"an expert is named as 'name' or 'name=weight', got '{shorten(one)}'") from error
    return check_choice(choice)


def branch_choices(choice: Choice, branches: int) -> list[Choice]:
    """Who dreams each branch: the first by all that were chosen, the next by each of them alone, and so on in turn."""
    ways = [choice, *(((name, 1.0),) for name, _ in choice)] if len(choice) > 1 else [choice]
    return [ways[branch % len(ways)] for branch in range(branches)]


def expert_shares(
    engine: AnyEngine, prefix: Sequence[int], ids: Sequence[int], choice: Choice, alone: bool = False
) -> dict[str, ExpertShare]:
    """What each expert gave to ``ids``, drawn after ``prefix``, by name.

    ``alone``: also by how many nats they would be less probable without that expert.
    """
    prefix, ids = list(prefix), list(ids)
    given = engine.contributions(prefix, ids, choice)  # (T, experts)
    answer = ids.index(ANS) + 1 if ANS in ids else 0
    shares: dict[str, ExpertShare] = {}
    whole = engine.score(prefix, ids, choice) if alone else None
    for place, (name, weight) in enumerate(choice):
        sizes, left_out = given[:, place], None
        if whole is not None:
            less = whole - engine.score(prefix, ids, choice[:place] + choice[place + 1 :])
            left_out = LeftOut(float(less.sum()), float(less[answer:].sum()))
        by_id = tuple(round(float(size), 4) for size in sizes)
        shares[name] = ExpertShare(weight, float(sizes.mean()) if len(sizes) else 0.0, by_id, left_out)
    return shares
