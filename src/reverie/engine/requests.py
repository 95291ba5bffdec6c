"""What the engine is asked for and what it gives back: requests, constraints, completions, and branches in between."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from reverie.engine.sampling import Sampling
from reverie.errors import ConfigError, GrammarError, UsageError
from reverie.experts.contract import Choice, ResolvedExperts, check_choice

__all__ = ["Branch", "Completion", "Constraint", "Likeliest", "Request", "check_ids", "likeliest"]

Likeliest = tuple[tuple[int, float], ...]  # ids with their log-probabilities in nats, the likeliest first


class Constraint(Protocol):
    """Walks along one branch and says what may come next. It is used up by its branch: one object a request."""

    def allowed(self) -> Tensor | None:
        """bool (V,), True where an id may come next; None = any. May be shared: the engine never changes it."""

    def advance(self, token_id: int) -> None:
        """Takes the id that was drawn."""

    @property
    def done(self) -> bool:
        """Nothing more is wanted."""


@dataclass(frozen=True)
class Request:
    """One branch to dream. ``prefix`` ids are read, then up to ``max_new_ids`` are drawn.

    The branch ends when ``constraint`` is done or an id of ``stop_ids`` was drawn (which stays in the completion).
    ``experts``: names with weights, at most MAX_EXPERTS; () is the bare backbone. Other rows may have others.
    ``top``: of so many likeliest ids the log-probabilities are told wherever an id is drawn.
    """

    prefix: tuple[int, ...]
    seed: int = 0
    sampling: Sampling = field(default_factory=Sampling)
    constraint: Constraint | None = None
    max_new_ids: int = 256
    stop_ids: frozenset[int] = frozenset()
    experts: Choice = ()
    top: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "prefix", tuple(self.prefix))
        object.__setattr__(self, "stop_ids", frozenset(self.stop_ids))
        object.__setattr__(self, "experts", check_choice(self.experts))
        if not isinstance(self.max_new_ids, int) or self.max_new_ids < 1:
            raise ConfigError(f"max_new_ids is a whole number of at least 1, got {self.max_new_ids}")
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise ConfigError(f"a seed is a whole number from 0 to 2^63 - 1, got {self.seed}")


@dataclass(frozen=True)
class Completion:
    """The drawn ids with their log-probabilities in nats (masked, at temperature 1).

    ``finished``: the constraint was done or a stop id came; False when ``max_new_ids`` ran out. ``likeliest``: where
    each id was drawn, those that ``Request.top`` asked for.
    """

    ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    finished: bool
    likeliest: tuple[Likeliest, ...] = ()

    @property
    def log_prob(self) -> float:
        """Their sum."""
        return math.fsum(self.log_probs)


class Branch:
    """One request under way."""

    def __init__(self, request: Request, index: int):
        self.request = request
        self.index = index  # where its completion goes
        self.experts: ResolvedExperts = ()  # who they are now, set by the engine
        self.ids: list[int] = []
        self.log_probs: list[float] = []
        self.likeliest: list[Likeliest] = []
        self.finished = request.constraint is not None and request.constraint.done
        self.cancelled = False
        self.num_read = 0  # ids of a long prefix that were read before it begins
        self.error: BaseException | None = None  # why it cannot go on

    @property
    def alive(self) -> bool:
        return not (self.finished or self.cancelled or self.error) and len(self.ids) < self.request.max_new_ids

    def allowed(self) -> Tensor | None:
        return None if self.request.constraint is None else self.request.constraint.allowed()

    def take(self, token_id: int, log_prob: float, likely: Likeliest = ()) -> None:
        """One id more; where there was none to draw, ``error`` says so."""
        if math.isnan(log_prob):
            self.error = GrammarError(
                f"branch {self.index} cannot go on after {len(self.ids)} ids: its constraint allows no id, "
                "or the model's logits are not finite"
            )
            return
        self.ids.append(token_id)
        self.log_probs.append(log_prob)
        self.likeliest.append(likely)
        self.finished = token_id in self.request.stop_ids
        if self.request.constraint is not None:
            self.request.constraint.advance(token_id)
            self.finished |= self.request.constraint.done

    def completion(self) -> Completion:
        """Raises what kept it from going on."""
        if self.error is not None:
            raise self.error
        told = tuple(self.likeliest) if self.request.top else ()
        return Completion(tuple(self.ids), tuple(self.log_probs), self.finished, told)


def likeliest(log_probs: Tensor, top: int) -> Likeliest:
    """The ``top`` likeliest of log-probabilities (V,); those that are not allowed are left out."""
    if not top:
        return ()
    values, ids = log_probs.topk(min(top, len(log_probs)))
    return tuple((token, value) for token, value in zip(ids.tolist(), values.tolist()) if value > float("-inf"))


def open_branches(requests: Iterable[Request], vocab_size: int, max_positions: int) -> list[Branch]:
    """Checked branches, one a request. Raises UsageError for ids that the backbone cannot read or hold."""
    branches = [Branch(request, index) for index, request in enumerate(requests)]
    constraints = [id(b.request.constraint) for b in branches if b.request.constraint is not None]
    if len(set(constraints)) < len(constraints):
        raise UsageError("two requests share one constraint object: give each its own, it walks along with one branch")
    for request in (branch.request for branch in branches):
        check_ids(request.prefix, vocab_size, max_positions)
        if len(request.prefix) + request.max_new_ids > max_positions:
            raise UsageError(
                f"a prefix of {len(request.prefix)} ids and {request.max_new_ids} new ones do not fit into the "
                f"{max_positions} positions of the backbone: shorten the prefix or lower max_new_ids"
            )
    return branches


def check_ids(ids: Sequence[int], vocab_size: int, max_positions: int) -> None:
    """Raises UsageError for no ids, too many, or ids outside the vocabulary."""
    if not ids:
        raise UsageError("there are no ids to read: start with at least one (BOS)")
    if len(ids) > max_positions:
        raise UsageError(f"{len(ids)} ids are more than the {max_positions} positions of the backbone")
    if min(ids) < 0 or max(ids) >= vocab_size:
        wrong = next(i for i in ids if not 0 <= i < vocab_size)
        raise UsageError(f"id {wrong} is not in the vocabulary of {vocab_size} ids (0 to {vocab_size - 1})")
