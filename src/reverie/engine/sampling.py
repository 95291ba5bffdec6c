"""From logits to an id: grammar mask, penalties, temperature, filters, one number in [0, 1) of the branch's own seed.

An id is found by inverting the cumulated distribution, in the order of the vocabulary, at that number. So a branch
needs one random number an id, drawn from its own generator: the same seed gives the same dream whatever else is in the
batch. Nothing of the size of the vocabulary is sorted or cumulated where a part of it decides: of 50,000 ids the
likeliest few hundred hold what top-k and top-p leave, and sums of blocks tell in which block the number falls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from reverie.errors import ConfigError

__all__ = ["Sampler", "Sampling"]

COLD = 1e-4  # a temperature below which float32 tells no second id apart
ALL = torch.iinfo(torch.int64).max  # more than any vocabulary
NUM_LIKELY = 256  # ids that are ordered at first where top-p alone cuts
MAX_CUMULATED = 4096  # ids that are cumulated in one step: below that, blocks do not pay
BLOCK = 256


@dataclass(frozen=True)
class Sampling:
    """How an id is drawn. First logits of ids that the row holds already are weakened by the penalties, then filters
    apply in this order: temperature, top-k, then top-p of what is left, then min-p of what is left."""

    temperature: float = 1.0  # 0 = greedy: the likeliest id
    top_k: int = 0  # keep the k likeliest ids; 0 = all
    top_p: float = 1.0  # keep the fewest likeliest ids whose probabilities reach p; 1 = all
    min_p: float = 0.0  # keep ids at least so probable as this share of the likeliest; 0 = all
    repetition_penalty: float = (
        1.0  # divides logits above 0 of ids that were read or drawn, multiplies others; 1 = none
    )
    presence_penalty: float = 0.0  # taken off the logit of an id that was drawn before; 0 = none
    frequency_penalty: float = 0.0  # the same, once for each time that it was

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature < float("inf"):
            raise ConfigError(f"temperature is a number of at least 0 (0 = greedy), got {self.temperature}")
        if not isinstance(self.top_k, int) or self.top_k < 0:
            raise ConfigError(f"top_k is a whole number of at least 0 (0 = all ids), got {self.top_k}")
        if not 0.0 < self.top_p <= 1.0:
            raise ConfigError(f"top_p lies above 0 and at most at 1 (1 = all ids), got {self.top_p}")
        if not 0.0 <= self.min_p <= 1.0:
            raise ConfigError(f"min_p lies between 0 (all ids) and 1, got {self.min_p}")
        if not 1e-3 <= self.repetition_penalty <= 1e6:
            said = f"repetition_penalty lies between 0.001 and 1e6 (1 = none), got {self.repetition_penalty}"
            raise ConfigError(said)
        for name in ("presence_penalty", "frequency_penalty"):
            if not -100.0 <= getattr(self, name) <= 100.0:
                raise ConfigError(f"{name} lies between -100 and 100 (0 = none), got {getattr(self, name)}")

    @property
    def penalizes(self) -> bool:
        """What a row holds changes what may follow."""
        return self.repetition_penalty != 1 or self.presence_penalty != 0 or self.frequency_penalty != 0

    @property
    def greedy(self) -> bool:
        """The likeliest id of all is drawn, which no filter shuts out."""
        return self.temperature < COLD or self.top_k == 1

    @property
    def cuts(self) -> bool:
        """Which ids may be drawn depends on their order."""
        return self.top_k > 0 or self.top_p < 1.0


class Sampler:
    """Draws for N branches at once; branch i has sampling i and, in its s-th draw, the s-th number of seed i."""

    def __init__(
        self,
        samplings: Sequence[Sampling] = (),
        seeds: Sequence[int] = (),
        num_steps: Sequence[int] = (),
        prefixes: Sequence[Sequence[int]] = (),
    ):
        self._samplings: list[Sampling] = []
        self._noise: list[Tensor] = []  # a branch
        self._num_drawn: list[int] = []
        self._held: list[set[int]] = []  # what a branch with penalties holds already
        self._counts: list[Counter[int]] = []  # and how often each id of it was drawn
        self.add(samplings, seeds, num_steps, prefixes)

    def add(
        self,
        samplings: Sequence[Sampling],
        seeds: Sequence[int],
        num_steps: Sequence[int],
        prefixes: Sequence[Sequence[int]] = (),
    ) -> None:
        """More branches, each of which draws ``num_steps`` ids at most; penalties are for ids of its prefix too."""
        self._samplings += samplings
        self._noise += [
            torch.rand(count, generator=torch.Generator().manual_seed(seed))
            for seed, count in zip(seeds, num_steps, strict=True)
        ]
        self._num_drawn += [0] * len(seeds)
        read = prefixes or [()] * len(seeds)
        self._held += [set(p) if s.penalizes else set() for s, p in zip(samplings, read, strict=True)]
        self._counts += [Counter() for _ in seeds]
        self._prepare()

    def _prepare(self) -> None:
        ways = ["greedy" if one.greedy else "cut" if one.cuts else "plain" for one in self._samplings]
        rows = {way: [row for row, own in enumerate(ways) if own == way] for way in ("greedy", "cut", "plain")}
        self._groups = [_Group(own, [self._samplings[row] for row in own]) for own in rows.values() if own]
        self._penalized = [row for row, one in enumerate(self._samplings) if one.penalizes]

    def keep(self, rows: Sequence[int]) -> None:
        """Drops every branch but ``rows``, which become 0, 1, … in that order."""
        self._samplings = [self._samplings[row] for row in rows]
        self._noise = [self._noise[row] for row in rows]
        self._num_drawn = [self._num_drawn[row] for row in rows]
        self._held = [self._held[row] for row in rows]
        self._counts = [self._counts[row] for row in rows]
        self._prepare()

    def draw(self, logits: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """logits (N, V), mask bool (N, V) or (V,), True = allowed → ids int64 (N,) and log-probabilities (N, V).

        The log-probabilities, in nats, are those of the masked distribution at temperature 1, before the penalties and
        the filters: what the model thinks. They are NaN for a branch whose mask allows nothing.
        """
        if mask is not None:
            logits = logits.masked_fill(~mask, float("-inf"))
        log_probs = torch.log_softmax(logits, -1)
        scores = self._penalize(logits, log_probs) if self._penalized else log_probs
        if len(self._groups) == 1:
            ids = self._groups[0].draw(scores, self._noise, self._num_drawn)
        else:
            ids = torch.empty(len(logits), 1, dtype=torch.int64)
            for group in self._groups:
                ids[group.rows] = group.draw(scores[group.rows], self._noise, self._num_drawn)
        self._num_drawn = [count + 1 for count in self._num_drawn]
        for row in self._penalized:
            self._held[row].add(int(ids[row]))
            self._counts[row][int(ids[row])] += 1
        return ids.squeeze(1), log_probs

    def _penalize(self, logits: Tensor, log_probs: Tensor) -> Tensor:  # (N, V) twice → (N, V)
        """``log_probs``, with the rows that have penalties weakened (repetition: Keskar et al. 2019, arXiv:1909.05858;
        presence and frequency: as OpenAI's API has them)."""
        scores = log_probs.clone()
        for row in self._penalized:
            held = torch.tensor([one for one in self._held[row] if one < logits.shape[1]], dtype=torch.int64)
            own, how = logits[row].clone(), self._samplings[row]
            penalty = how.repetition_penalty
            own[held] = torch.where(own[held] > 0, own[held] / penalty, own[held] * penalty)
            drawn = torch.tensor([*self._counts[row]], dtype=torch.int64)
            times = torch.tensor([*self._counts[row].values()], dtype=own.dtype)
            own[drawn] -= how.presence_penalty + how.frequency_penalty * times
            scores[row] = own.log_softmax(-1)
        return scores


class _Group:
    """Rows that are drawn in one way."""

    def __init__(self, rows: Sequence[int], samplings: Sequence[Sampling]):
        self.rows, first = rows, samplings[0]
        self._greedy, self._cuts = first.greedy, first.cuts
        if self._greedy:
            return
        self._temperature = torch.tensor([[s.temperature] for s in samplings])
        self._scaled = any(s.temperature != 1 for s in samplings)
        self._floor = torch.tensor([[s.min_p] for s in samplings]).log()  # below the likeliest, in nats
        self._floored = any(s.min_p > 0 for s in samplings)
        self._top_k = torch.tensor([[s.top_k or ALL] for s in samplings])
        self._top_p = torch.tensor([[s.top_p if s.top_p < 1 else float("inf")] for s in samplings], dtype=torch.float64)
        self._width = max(s.top_k + 1 if s.top_k else NUM_LIKELY for s in samplings)

    def draw(self, scores: Tensor, noises: Sequence[Tensor], nth: Sequence[int]) -> Tensor:  # (n, V) → ids (n, 1)
        """Row r by ``noises[r][nth[r]]``, in [0, 1)."""
        if self._greedy:
            return scores.argmax(-1, keepdim=True)
        noise = torch.stack([noises[row][nth[row]] for row in self.rows])[:, None]
        if self._scaled:
            scores = scores / self._temperature
        if not self._cuts:
            if self._floored:
                low = scores < scores.amax(-1, keepdim=True) + self._floor
                scores = scores.masked_fill(low, float("-inf"))
            return _invert(torch.softmax(scores, -1), noise)
        total = scores.logsumexp(-1, keepdim=True)
        return self._draw_likely(scores, noise, total, torch.arange(len(scores)), self._width)

    def _draw_likely(self, scores: Tensor, noise: Tensor, total: Tensor, rows: Tensor, width: int) -> Tensor:
        """Draw from the ``width`` likeliest, and for rows where more might count from more of them. → ids (n, 1)"""
        if width < (size := scores.shape[1]):
            ids = scores.topk(width, sorted=False).indices.sort(-1).values
        else:
            width, ids = size, torch.arange(size).expand(len(scores), -1)
        likely, order = scores.gather(1, ids).sort(dim=-1, descending=True, stable=True)
        weights = (likely.double() - total).exp_()  # float64: the same whatever the width
        cumulated, top_k = weights.cumsum(-1), self._top_k[rows]
        whole = torch.where(top_k < size, cumulated.gather(1, top_k.clamp(max=width) - 1), 1.0)
        kept = (torch.arange(width) < top_k) & (cumulated - weights < whole * self._top_p[rows])
        last, border = likely.gather(1, kept.sum(-1, keepdim=True).clamp(min=1) - 1), likely[:, -1:]
        kept &= likely >= likely[:, :1] + self._floor[rows]
        weights = torch.zeros_like(weights).scatter_(1, order, weights * kept)  # in the order of the vocabulary again
        ids = ids.gather(1, _invert(weights, noise))
        unsure = ((last <= border) & (border > float("-inf"))).squeeze(1)  # too flat, or equals at the border
        if width < size and unsure.any():
            ids[unsure] = self._draw_likely(scores[unsure], noise[unsure], total[unsure], rows[unsure], 16 * width)
        return ids


def _invert(weights: Tensor, noise: Tensor) -> Tensor:
    """weights (n, V) of at least 0, noise (n, 1) in [0, 1) → (n, 1), the first where their sum is above that share.

    One of weight 0 is never taken. Long rows are cumulated in two steps: their blocks, then the block that it is in.
    """
    if weights.shape[1] <= MAX_CUMULATED:
        cumulated = weights.cumsum(-1, dtype=torch.float64)
        return _first_above(cumulated, noise * cumulated[:, -1:])
    short = -weights.shape[1] % BLOCK
    blocks = (pad(weights, (0, short)) if short else weights).unflatten(1, (-1, BLOCK))
    sums = blocks.sum(-1).double()
    cumulated = sums.cumsum(-1)
    goal = noise * cumulated[:, -1:]
    block = _first_above(cumulated, goal)
    before = (cumulated - sums).gather(1, block)
    inside = blocks[torch.arange(len(weights)), block.squeeze(1)]
    return block * BLOCK + _first_above(inside.cumsum(-1, dtype=torch.float64), goal - before)


def _first_above(cumulated: Tensor, goal: Tensor) -> Tensor:  # (n, size), (n, 1) → (n, 1)
    """The first place above ``goal``; where rounding leaves none, the last that adds anything."""
    place = torch.searchsorted(cumulated, goal, right=True)
    last = torch.searchsorted(cumulated, cumulated[:, -1:].contiguous())
    return torch.minimum(place, last).clamp_max_(cumulated.shape[1] - 1)
