"""Answers of a base under its experts, row by row: who answers, what is likeliest, and where that strays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from reverie.experts.contract import MAX_EXPERTS, Adapter, Choice
from reverie.experts.dynamic_router import DynamicRouter
from reverie.experts.library import Library
from reverie.experts.lowrank import LoraConfig
from reverie.experts.mixing import mixed
from reverie.experts.prototypes import Prototype
from reverie.experts.router import Router, RouterConfig
from reverie.learning.guard import Guard, Probe
from reverie.training.adapted import Adapted, documents_of
from reverie.training.documents import Document, pad
from reverie.training.judging import judged

__all__ = ["Examiner", "Seen", "open_examiner"]

_SIDE_BY_SIDE = 16  # rows that are judged at once


@dataclass(frozen=True)
class Seen:
    """A row under an expert. ``right``: every id of its answer is the likeliest, or, of a probe with ``others``, its
    answer is likelier than each of them. ``strayed``: where another id is likelier first, and which; None if nowhere.
    """

    nats: float
    right: bool
    strayed: tuple[int, int] | None = None


class Routed(Protocol):
    """Who answers questions, by what a router sees of them, (B, D)."""

    def route(self, features: Tensor) -> list[Choice]: ...


class Examiner:
    """Judges rows as they are answered: by whom the router chooses.

    Args:
        adapted: a base whose changes have room for all experts that answer a row together; they are others after use
        library: of the experts that are there
        router: the trained one of the bundle, if any
        guard: one that has seen questions of this base before
    """

    def __init__(self, adapted: Adapted, library: Library, router: Router | None = None, guard: Guard | None = None):
        self.adapted, self.library = adapted, library
        self.guard = guard or Guard(adapted, {})
        self._trained = router
        self._bare: dict[Probe, Seen] = {}

    def features(self, questions: Sequence[str]) -> Tensor:
        """float32 (n, D), of the bare base."""
        return self.guard.features(questions)

    def router(self, more: Mapping[str, Prototype] | None = None, without: str = "") -> Routed:
        """Who routes now, or would with ``more`` experts; ``without``: one that is left out."""
        return (
            DynamicRouter(_Shelf(self.library, without), self._trained, self.library.base)
            if not more
            else (_Joined(self.router(without=without), self._trained, more))
        )

    def seen(
        self, probes: Sequence[Probe], choices: Sequence[Choice], candidates: Mapping[str, Adapter] | None = None
    ) -> list[Seen]:
        """Each probe under the experts that were chosen for it. ``candidates``: experts that are in no library yet."""
        found = dict[int, Seen]()
        for choice in dict.fromkeys(choices):
            places = [at for at, one in enumerate(choices) if one == choice]
            some = [probes[at] for at in places]
            told = self._unrouted(some) if not choice else self.under(self._mixture(choice, candidates or {}), some)
            found |= dict(zip(places, told, strict=True))
        return [found[at] for at in range(len(probes))]

    def under(self, adapter: Adapter | None, probes: Sequence[Probe]) -> list[Seen]:
        """All of them under one expert, whoever would be chosen."""
        self.adapted.put(adapter)
        asked = [(one.question, said) for one in probes for said in (one.answer, *one.others)]
        looked, found = self._look(documents_of(self.adapted.prompter, asked)), list[Seen]()
        for one in probes:
            own, others = looked[0], looked[1 : 1 + len(one.others)]
            looked = looked[1 + len(one.others) :]
            right = own.nats < min(other.nats for other in others) if others else own.right
            found.append(Seen(own.nats, right, own.strayed))
        return found

    def _unrouted(self, probes: Sequence[Probe]) -> list[Seen]:
        if new := [one for one in dict.fromkeys(probes) if one not in self._bare]:
            self._bare |= dict(zip(new, self.under(None, new), strict=True))
        return [self._bare[one] for one in probes]

    def _mixture(self, choice: Choice, candidates: Mapping[str, Adapter]) -> Adapter:
        parts = [(candidates[name] if name in candidates else self.library.adapter(name), w) for name, w in choice]
        return mixed(parts, self.adapted.lora.rank)

    @torch.no_grad()
    def _look(self, documents: Sequence[Document]) -> list[Seen]:
        found = list[Seen]()
        for start in range(0, len(documents), _SIDE_BY_SIDE):
            ids, weights = pad(documents[start : start + _SIDE_BY_SIDE])
            where = weights[:, 1:] >= 1.0
            said, counts = self.adapted.prompter.answered(ids, where), where.sum(1).tolist()
            log_probs, guesses = judged(self.adapted.backbone, ids, where)
            for row, (nats, guess) in enumerate(zip(log_probs.split(counts), guesses.split(counts), strict=True)):
                goal, own = ids[row, 1:][where[row]], said[row][where[row]]
                stray = ((guess != goal) & own).nonzero().flatten().tolist()
                strayed = (stray[0], int(guess[stray[0]])) if stray else None
                found.append(Seen(-float(nats[own].sum()), not stray, strayed))
        return found


def open_examiner(bundle: Path, library: Library, rank: int = 0) -> Examiner:
    """An examiner for the bundle in a folder, with room for as many experts as answer a row together, and for one of
    ``rank`` beside them."""
    ranks = sorted((library.describe(name)["rank"] for name in library.names()), reverse=True)
    room = sum(ranks[:MAX_EXPERTS]) + rank
    trained = bundle / "router"
    router = Router.load(trained, library.base) if trained.is_dir() else None
    return Examiner(Adapted(bundle, LoraConfig(rank=max(room, 1))), library, router)


class _Shelf:
    """A library without one of its experts."""

    def __init__(self, library: Library, without: str):
        self._library, self._without = library, without
        self.key, self.folder_of = library.key, library.folder_of

    def names(self) -> list[str]:
        return [name for name in self._library.names() if name != self._without]


class _Joined:
    """A router with gates beside it that it does not know of yet."""

    def __init__(self, router: Routed, trained: Router | None, more: Mapping[str, Prototype]):
        assert isinstance(router, DynamicRouter)
        there = list(router.names)
        base = trained or Router((), next(iter(more.values())).size, RouterConfig())
        self._router = base.eval().with_prototypes({**router.prototypes, **more})
        self._among = [*there, *more]

    def route(self, features: Tensor) -> list[Choice]:
        return self._router.route(features, training=False, among=self._among)
