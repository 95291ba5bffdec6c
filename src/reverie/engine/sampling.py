"""From logits to an id: grammar mask, temperature, top-k, top-p, and one number in [0, 1) from the branch's own seed.

An id is found by inverting the cumulated distribution at that number. So a branch needs one random number an id,
drawn from its own generator: the same seed gives the same dream whatever else is in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.errors import ConfigError

__all__ = ["Sampler", "Sampling"]


@dataclass(frozen=True)
class Sampling:
    """How an id is drawn. First logits of ids that the row holds already are weakened by ``repetition_penalty``, then
    filters apply in this order: temperature, top-k, then top-p of what is left, then min-p of what is left."""

    temperature: float = 1.0  # 0 = greedy: the likeliest id
    top_k: int = 0  # keep the k likeliest ids; 0 = all
    top_p: float = 1.0  # keep the fewest likeliest ids whose probabilities reach p; 1 = all
    min_p: float = 0.0  # keep ids at least so probable as this share of the likeliest; 0 = all
    repetition_penalty: float = (
        1.0  # logits above 0 of ids that were read or drawn are divided by it, others multiplied
    )

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature < float("inf"):
            raise ConfigError(f"temperature is a number of at least 0 (0 = greedy), got {self.temperature}")
        if not isinstance(self.top_k, int) or self.top_k < 0:
            raise ConfigError(f"top_k is a whole number of at least 0 (0 = all ids), got {self.top_k}")
        if not 0.0 < self.top_p <= 1.0:
            raise ConfigError(f"top_p lies above 0 and at most at 1 (1 = all ids), got {self.top_p}")
        if not 0.0 <= self.min_p <= 1.0:
            raise ConfigError(f"min_p lies between 0 (all ids) and 1, got {self.min_p}")
        if not 0.0 < self.repetition_penalty < float("inf"):
            raise ConfigError(f"repetition_penalty is a number above 0 (1 = none), got {self.repetition_penalty}")

    @property
    def filters(self) -> bool:
        return self.temperature > 0 and (self.top_k > 0 or self.top_p < 1.0)


class Sampler:
    """Draws for N branches at once; branch i has sampling i and, in its s-th draw, the s-th number of seed i."""

    def __init__(self, samplings: Sequence[Sampling] = (), seeds: Sequence[int] = (), num_steps: Sequence[int] = ()):
        self._samplings: list[Sampling] = []
        self._noise: list[Tensor] = []  # a branch
        self._num_drawn: list[int] = []
        self.add(samplings, seeds, num_steps)

    def add(self, samplings: Sequence[Sampling], seeds: Sequence[int], num_steps: Sequence[int]) -> None:
        """More branches, each of which draws ``num_steps`` ids at most."""
        self._samplings += samplings
        self._noise += [
            torch.rand(count, generator=torch.Generator().manual_seed(seed))
            for seed, count in zip(seeds, num_steps, strict=True)
        ]
        self._num_drawn += [0] * len(seeds)
        self._prepare()

    def _prepare(self) -> None:
        each = self._samplings
        self._temperature = torch.tensor([[s.temperature or 1.0] for s in each])
        self._greedy = torch.tensor([[s.temperature == 0] for s in each])
        self._top_k = torch.tensor([[s.top_k or torch.iinfo(torch.int64).max] for s in each])
        self._top_p = torch.tensor([[s.top_p if s.top_p < 1 else float("inf")] for s in each])  # all: rounding-proof
        self._any_scaled = any(s.temperature not in (0, 1) for s in each)
        self._any_filters = any(s.filters for s in each)
        self._any_greedy = any(s.temperature == 0 for s in each)
        self._all_greedy = all(s.temperature == 0 for s in each)

    def keep(self, rows: Sequence[int]) -> None:
        """Drops every branch but ``rows``, which become 0, 1, … in that order."""
        self._samplings = [self._samplings[row] for row in rows]
        self._noise = [self._noise[row] for row in rows]
        self._num_drawn = [self._num_drawn[row] for row in rows]
        self._prepare()

    def draw(self, logits: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """logits (N, V), mask bool (N, V) or (V,), True = allowed → ids int64 (N,) and their log-probabilities (N,).

        The log-probabilities, in nats, are those of the masked distribution at temperature 1, before the filters.
        They are NaN for a branch whose mask allows nothing.
        """
        if mask is not None:
            logits = torch.where(mask, logits, float("-inf"))
        log_probs = torch.log_softmax(logits, -1)
        if self._all_greedy:
            ids = log_probs.argmax(-1, keepdim=True)
        else:
            noise = [drawn[count] for drawn, count in zip(self._noise, self._num_drawn, strict=True)]
            ids = self._invert(log_probs, torch.stack(noise)[:, None])
            if self._any_greedy:
                ids = torch.where(self._greedy, log_probs.argmax(-1, keepdim=True), ids)
        self._num_drawn = [count + 1 for count in self._num_drawn]
        return ids.squeeze(1), log_probs.gather(1, ids).squeeze(1)

    def _invert(self, log_probs: Tensor, noise: Tensor) -> Tensor:  # (N, V), (N, 1) → (N, 1)
        scaled = log_probs / self._temperature if self._any_scaled else log_probs
        if self._any_filters:
            scaled = self._filter(scaled)
        # In float64 a 24-bit noise below 1 times the total stays below the total: the last id is never overrun.
        cumulated = torch.softmax(scaled, -1).cumsum(-1, dtype=torch.float64)
        goal = noise * cumulated[:, -1:]
        return torch.searchsorted(cumulated, goal, right=True).clamp_max_(log_probs.shape[1] - 1)

    def _filter(self, scores: Tensor) -> Tensor:  # (N, V) → (N, V), -inf where top-k or top-p shut an id out
        ordered, order = torch.sort(scores, dim=-1, descending=True, stable=True)
        kept = torch.arange(scores.shape[1]) < self._top_k
        probs = torch.softmax(torch.where(kept, ordered, float("-inf")), -1)
        kept &= probs.cumsum(-1) - probs < self._top_p
        return torch.where(torch.empty_like(kept).scatter_(1, order, kept), scores, float("-inf"))
