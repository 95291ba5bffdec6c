"""The engine: who dreams beside whom, who may say what, who is done."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from reverie.engine.changes import Cast, Experts
from reverie.engine.decoder import Decoder, Lanes
from reverie.engine.prefixes import PrefixCache, common_length
from reverie.engine.requests import Branch, Completion, Request, check_ids, open_branches
from reverie.engine.sampling import Sampler
from reverie.errors import UsageError
from reverie.experts.contract import Choice, ExpertSource, check_choice
from reverie.model import Backbone

__all__ = ["Engine"]

EXPERT_BYTES = 256 * 2**20
MAX_SOFT = 4096  # soft vectors kept at once; beyond that all are forgotten, with the prefixes that were read
REGROUP_SHARE = 0.75  # once no more than this share of a batch is alive, the rest leaves it: a copy, then cheaper steps


class Engine:
    """Dreams with a snapshot of ``backbone`` (later training does not reach it). One thread at a time.

    ``max_branches``: how many run side by side; more requests wait their turn. ``cached_ids``: how many ids of
    prefixes stay read between calls (about 10 kB each at width 256 and 5 layers). ``experts``: where the experts that
    requests name come from; ``expert_bytes``: how much memory they may take here. One that is changed under its name is
    used anew from the next call on.
    """

    def __init__(
        self,
        backbone: Backbone,
        max_branches: int = 64,
        cached_ids: int = 16384,
        experts: ExpertSource | None = None,
        expert_bytes: int = EXPERT_BYTES,
    ):
        self.config = backbone.config
        self._decoder = Decoder(backbone)
        self._experts = Experts(self._decoder, experts, expert_bytes)
        self._prefixes = PrefixCache(self._decoder, cached_ids)
        self._cached_ids = cached_ids
        self._max_branches = max_branches
        self._soft: dict[bytes, int] = {}  # a soft vector's bytes → its id

    def generate(
        self, requests: Sequence[Request], on_token: Callable[[int, int], None] | None = None
    ) -> list[Completion]:
        """One completion a request, in their order. ``on_token(row, id)`` is told each id as it is drawn.

        A branch's ids depend on its own request alone, whatever the batch (up to float32 rounding of the products).
        Raises UsageError for ids that the backbone cannot hold, GrammarError where a constraint allows nothing.
        """
        branches = self._open(requests)
        for branch in self._run(branches):
            if on_token is not None:
                on_token(branch.index, branch.ids[-1])
        return [branch.completion() for branch in branches]

    def soft_ids(self, vectors: np.ndarray) -> tuple[int, ...]:
        """Ids of their own for vectors (n, D) in the space of the embeddings: a soft prefix to begin requests with.

        They are good until ``MAX_SOFT`` others were made; equal vectors have equal ids. None of them is ever drawn.
        """
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.config.hidden_size or not np.isfinite(vectors).all():
            raise UsageError(f"soft vectors are finite and (n, {self.config.hidden_size}), got {vectors.shape}")
        new = {row.tobytes(): row for row in vectors if row.tobytes() not in self._soft}
        if len(self._soft) + len(new) > MAX_SOFT:
            self._soft, self._decoder.inputs = {}, self._decoder.embeddings
            self._prefixes = PrefixCache(self._decoder, self._cached_ids)
            new = {row.tobytes(): row for row in vectors}
        first = self.config.vocab_size + len(self._soft)
        self._soft |= {key: first + place for place, key in enumerate(new)}
        if new:
            rows = torch.from_numpy(np.stack(list(new.values())))
            self._decoder.inputs = torch.cat((self._decoder.inputs, rows))
        return tuple(self._soft[row.tobytes()] for row in vectors)

    def stream(self, request: Request) -> Iterator[int]:
        """The ids of one branch, each as soon as it is drawn: the same that ``generate`` returns."""
        return (branch.ids[-1] for branch in self._run(self._open([request])))

    def score(self, prefix: Sequence[int], continuation: Sequence[int], experts: Choice = ()) -> np.ndarray:
        """log p of each id of ``continuation`` after ``prefix``, unmasked, in nats: float32 (len(continuation),)."""
        prefix, continuation = tuple(prefix), tuple(continuation)
        self._check(prefix, continuation)
        return self._score(prefix, continuation, self._experts.cast(check_choice(experts))).numpy()

    def contributions(self, prefix: Sequence[int], ids: Sequence[int], experts: Choice) -> np.ndarray:
        """How much each expert gives to the state from which each of ``ids`` is drawn: float32 (len(ids), experts).

        It is the norm of everything that the expert, with its weight, adds to the linears' outputs at the position
        that the id is drawn from, over the norm of what these linears give there without experts: 0.1 means that it
        changes the layers' work by a tenth. Both are taken over all layers at once, and on the inputs as all experts
        together made them. What it changed at positions before, which is seen through attention, does not count.
        """
        prefix, ids, choice = tuple(prefix), tuple(ids), check_choice(experts)
        self._check(prefix, ids)
        cast = self._experts.cast(choice)
        if not ids or not cast:
            return np.zeros((len(ids), len(choice)), np.float32)
        weighing = self._experts.weighing(cast)
        with torch.inference_mode():
            self._decoder.read(torch.tensor((prefix + ids)[:-1]), None, weighing)
            shares = weighing.shares[len(prefix) - 1 :].numpy()
        places = [name for name, _, _ in cast]
        return shares[:, [places.index(name) for name, _ in choice]]

    def _check(self, prefix: tuple[int, ...], following: tuple[int, ...]) -> None:
        for ids in (prefix, prefix + following):
            check_ids(ids, len(self._decoder.inputs), self.config.max_positions)

    def embed(self, ids: Sequence[int], contextual: bool = True) -> np.ndarray:
        """The mean of the bare backbone's final hidden states over ``ids``, or of their embeddings: float32 (D,)."""
        check_ids(ids, self.config.vocab_size, self.config.max_positions)
        with torch.inference_mode():
            if not contextual:
                return self._decoder.embeddings[list(ids)].mean(0).numpy()
            hidden, _ = self._decoder.read(torch.tensor(ids))
            return self._decoder.normed(hidden).mean(0).numpy()

    def _open(self, requests: Sequence[Request]) -> list[Branch]:
        branches = open_branches(requests, len(self._decoder.inputs), self.config.max_positions)
        casts = {choice: self._experts.cast(choice) for choice in {request.experts for request in requests}}
        for branch in branches:
            branch.cast = casts[branch.request.experts]
        return branches

    @torch.inference_mode()
    def _score(self, prefix: tuple[int, ...], continuation: tuple[int, ...], cast: Cast) -> Tensor:
        if not continuation:
            return torch.zeros(0)
        mixture = self._experts.mixture([cast])
        last, past = self._prefixes.read(prefix, cast, mixture)
        hidden = last[None]
        if len(continuation) > 1:
            changes = mixture and mixture.alike(0, len(continuation) - 1)
            following, _ = self._decoder.read(torch.tensor(continuation[:-1]), past, changes)
            hidden = torch.cat((hidden, following))
        log_probs = torch.log_softmax(self._decoder.logits(hidden), -1)
        return log_probs.gather(1, torch.tensor(continuation)[:, None]).squeeze(1)

    def _run(self, branches: list[Branch]) -> Iterator[Branch]:
        """Yields a branch each time it has drawn an id."""
        waiting = sorted((branch for branch in branches if branch.alive), key=_reading)  # alike side by side
        for start in range(0, len(waiting), self._max_branches):
            together = waiting[start : start + self._max_branches]
            yield from self._run_batch(_Batch(self._decoder, self._prefixes, self._experts, together))

    def _run_batch(self, batch: _Batch) -> Iterator[Branch]:
        while True:
            for branch, token_id, log_prob in batch.draw():
                branch.take(token_id, log_prob)
                yield branch
            alive = [row for row, branch in enumerate(batch.branches) if branch.alive]
            if not alive:
                return
            if len(alive) <= REGROUP_SHARE * len(batch.branches):
                batch.keep(alive)
            batch.step()


def _reading(branch: Branch) -> tuple[Cast, tuple[int, ...]]:
    """Branches that are alike in this have the same keys and values before they begin."""
    return branch.cast, branch.request.prefix


class _Batch:
    """Branches that run side by side, sorted by what they have read, and their tensors."""

    @torch.inference_mode()
    def __init__(self, decoder: Decoder, prefixes: PrefixCache, experts: Experts, branches: list[Branch]):
        self.branches = branches
        self._decoder = decoder
        requests = [branch.request for branch in branches]
        most = max(request.max_new_ids for request in requests)
        self._sampler = Sampler([r.sampling for r in requests], [r.seed for r in requests], most)
        self._changes = experts.mixture([branch.cast for branch in branches])
        readings = [_reading(branch) for branch in branches]
        self._read = {
            (cast, prefix): prefixes.read(prefix, cast, self._changes, row)
            for row, (cast, prefix) in enumerate(readings)
        }
        self._hidden = torch.stack([self._read[reading][0] for reading in readings])
        self._lanes = Lanes(*self._arrange(), capacity=most - 1)
        self._drawn = torch.empty(0, dtype=torch.int64)
        self._num_drawn = 0

    def _arrange(self) -> tuple[list[Tensor], int, int]:
        """The widest lanes that split every group of alike branches evenly.

        Returns each lane's keys and values, how many of their first ones all share, and the width.
        """
        sizes = Counter(map(_reading, self.branches))
        width = math.gcd(*sizes.values())
        caches = [self._read[reading][1] for reading, size in sizes.items() for _ in range(size // width)]
        (cast, first), (other, last) = _reading(self.branches[0]), _reading(self.branches[-1])
        common = common_length(np.asarray(first), np.asarray(last)) if cast == other else 0
        return caches, common, width  # sorted: what the first and the last share, all in between share

    @torch.inference_mode()
    def draw(self) -> list[tuple[Branch, int, float]]:
        """The next id of each living branch and its log-probability."""
        logits = self._decoder.logits(self._hidden)
        self._drawn, log_probs = self._sampler.draw(logits, self._mask(), self._num_drawn)
        self._num_drawn += 1
        drawn = zip(self.branches, self._drawn.tolist(), log_probs.tolist(), strict=True)
        return [each for each in drawn if each[0].alive]

    def _mask(self) -> Tensor | None:
        """bool (N, V), or (V,) when all share one, or None when all is allowed. Dead branches take any."""
        masks = [branch.allowed() if branch.alive else None for branch in self.branches]
        first = next((mask for mask in masks if mask is not None), None)
        if first is None or all(mask is first for mask in masks):
            return first
        anything = torch.ones_like(first)
        return torch.stack([anything if mask is None else mask for mask in masks])

    @torch.inference_mode()
    def step(self) -> None:
        """Feeds the drawn ids."""
        self._hidden = self._decoder.step(self._drawn, self._lanes, self._changes)

    @torch.inference_mode()
    def keep(self, rows: list[int]) -> None:
        self.branches = [self.branches[row] for row in rows]
        self._drawn = self._drawn[rows]
        self._sampler.keep(rows)
        self._changes = self._changes and self._changes.keep(rows)
        self._lanes = self._lanes.regrouped(rows, *self._arrange())
