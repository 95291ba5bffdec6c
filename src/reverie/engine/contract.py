"""What the engine asks of a decoder: tensors alone. Who runs beside whom, and who is done, is the scheduler's.

A decoder reads a prefix into a ``State``, and moves ``Rows`` on, each of which goes on from a state. Whatever rows join
and leave, each gets the logits that it would get alone. ``check_decoder`` holds a decoder to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from reverie.experts.contract import Choice, ResolvedExperts

__all__ = ["Decoder", "Read", "Rows", "State", "Traits"]


@dataclass(frozen=True)
class Traits:
    """What the base's kind of memory allows."""

    joins: bool = True  # rows of any lengths share a step, and a state can be cut to its first ids
    resumes: bool = True  # several ids can be read at once after a state
    per_row_experts: bool = True  # rows of one step may have different experts


@dataclass(frozen=True, eq=False)
class State:
    """A prefix that was read: what the decoder keeps of it, and what may follow."""

    ids: np.ndarray  # int64 (P,)
    logits: Tensor  # float32 (V,), on the CPU
    kept: Any  # the decoder's own; never changed once it is made


@dataclass(frozen=True, eq=False)
class Read:
    """Ids to read, int64 (T,), after ``past``; logits are wanted after each of the last ``keep`` of them."""

    ids: np.ndarray
    past: State | None = None
    experts: ResolvedExperts = ()
    keep: int = 1


class Rows(Protocol):
    """Rows that share steps, in the order in which they were added."""

    def add(self, states: Sequence[State], experts: Sequence[ResolvedExperts], room: Sequence[int]) -> None:
        """More rows, each after a state, with its experts, and room for so many further ids."""

    def keep(self, rows: Sequence[int]) -> None:
        """Only these rows, in that order."""

    def step(self, ids: Tensor) -> Tensor:
        """Feed int64 (N,), one id a row → float32 logits (N, V) of the next, on the CPU."""


class Decoder(Protocol):
    """One base at work. One thread at a time."""

    vocab_size: int
    hidden_size: int
    max_positions: int
    traits: Traits

    def resolve(self, choice: Choice) -> ResolvedExperts:
        """Who ``choice`` is now. Raises UsageError where there are no experts, UnknownNameError for unknown ones."""

    def prepare(self, experts: Sequence[ResolvedExperts]) -> None:
        """What the next reads and rows have: they may be made ready together. Raises ExpertError for a misfit."""

    def read(self, reads: Sequence[Read]) -> list[tuple[Tensor, State]]:
        """Each read's float32 logits (keep, V), and the state after it; none depends on what is read beside it.

        Where ``traits.resumes`` is False, ``past`` is None or ``ids`` is one id.
        """

    def cut(self, state: State, length: int) -> State:
        """The state after the first ``length`` ids, without logits; only where ``traits.joins``."""

    def rows(self) -> Rows:
        """No rows yet."""

    def embed(self, texts: Sequence[np.ndarray], contextual: bool, layers: int = 0) -> Tensor:
        """The mean of the bare base's states over each text's ids, or of their embeddings: float32 (n, D).

        ``layers``: states after so many layers and the last norm, whose cost is theirs alone where the base allows
        it; 0, or as many as there are: the final ones.
        """

    def weigh(self, ids: np.ndarray, experts: ResolvedExperts) -> Tensor:
        """How much each expert adds to the layers' work at each id: float32 (T, experts)."""

    def set_prefix_embeddings(self, vectors: Tensor) -> None:
        """Ids from ``vocab_size`` on are read as these float32 (n, D)."""
