"""Who runs beside whom, and who is done: rows join and leave between steps (continuous batching). No tensors of a base.

Read with ``engine.py``, which opens requests, and ``contract.py``, which says what a decoder does for a step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from reverie.engine.contract import Decoder
from reverie.engine.prefixes import PrefixCache
from reverie.engine.requests import Branch, likeliest
from reverie.engine.sampling import Sampler
from reverie.errors import ReverieError

__all__ = ["Scheduler"]

_ALONE = 8  # parts that are read in a step where nobody else waits


class Scheduler:
    """Moves branches on together, up to ``max_branches`` of them; others wait their turn. One thread at a time.

    ``read_ids``: of prefixes that a step reads, about; then those that run get their next id. A longer prefix is read
    in parts, and short ones pass it meanwhile. The parts are the same whoever else is there, so that a request is
    answered alone as among others, to the last bit.
    """

    def __init__(self, decoder: Decoder, prefixes: PrefixCache, max_branches: int, read_ids: int):
        self._decoder, self._prefixes, self._max_branches = decoder, prefixes, max_branches
        self._read_ids = read_ids
        self._waiting: deque[Branch] = deque()
        self._batches: dict[Any, _Batch] = {}
        self._num_groups = 0

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._batches)

    def add(self, branches: Sequence[Branch]) -> None:
        """They are moved on from the next step on."""
        self._waiting += [branch for branch in branches if branch.alive]

    def step(self) -> list[Branch]:
        """Draw one id for every branch that runs → those that got one. A branch that cannot go on has an ``error``.

        Where this itself is interrupted, all that ran is over.
        """
        try:
            self._admit()
            drawn = [branch for batch in self._batches.values() for branch in batch.draw()]
            self._drop_finished()
            for batch in self._batches.values():
                batch.feed()
            return drawn
        except BaseException as error:
            for branch in [*self._waiting, *(one for batch in self._batches.values() for one in batch.branches)]:
                branch.error = branch.error or error
            self._waiting.clear()
            self._batches.clear()
            raise

    def _admit(self) -> None:
        self._drop_finished()  # some were cancelled since the last step
        room = self._max_branches - sum(len(batch.branches) for batch in self._batches.values())
        groups: dict[Any, list[Branch]] = {}
        for branch in self._next(room):
            groups.setdefault(self._group(branch), []).append(branch)
        self._num_groups += 1
        for key, branches in groups.items():
            batch = self._batches.setdefault(key, _Batch(self._decoder, self._prefixes))
            batch.add(branches)

    def _next(self, room: int) -> list[Branch]:
        """Those that begin now: as many as there are places for, and whose prefixes are read within a step."""
        chosen, read, left = list[Branch](), set[Any](), self._read_ids
        long = self._first_long()
        for _ in range(1 if self._batches or self._waiting else _ALONE):
            if long is not None and room and self._is_long(long):
                left -= self._read_part(long)
        while self._waiting and len(chosen) < room:
            branch = self._waiting[0]
            who = branch.experts, branch.request.prefix
            unread = self._prefixes.unread(*who) if branch.alive and who not in read else 0
            if unread > left and (read or long is not None):
                break
            self._waiting.popleft()
            if branch.alive:
                chosen.append(branch)
                read.add(who)
                left -= unread
        if long is not None and long.alive:
            self._waiting.appendleft(long)
        return chosen

    def _first_long(self) -> Branch | None:
        """Whoever is next, taken out, where its prefix is too long for one step."""
        while self._waiting and not self._waiting[0].alive:
            self._waiting.popleft()
        if not self._waiting or not self._decoder.traits.resumes:
            return None
        branch = self._waiting[0]
        return self._waiting.popleft() if self._is_long(branch) else None

    def _is_long(self, branch: Branch) -> bool:
        return self._prefixes.unread(branch.experts, branch.request.prefix) > self._read_ids

    def _read_part(self, branch: Branch) -> int:
        """Reads on to the next whole part, of half as many ids as a step reads; how many that are at most. What cannot
        be read is the branch's ``error``."""
        prefix, experts = branch.request.prefix, branch.experts
        size = max(1, self._read_ids // 2)
        known = len(prefix) - self._prefixes.unread(experts, prefix)
        branch.num_read = min((max(known, branch.num_read) // size + 1) * size, len(prefix) - 1)
        try:
            self._decoder.prepare([experts])
            self._prefixes.read([(prefix[: branch.num_read], experts)])
        except ReverieError as error:
            branch.error = error
        return size

    def _drop_finished(self) -> None:
        self._batches = {key: batch for key, batch in self._batches.items() if batch.keep_living()}

    def _group(self, branch: Branch) -> Any:
        """Branches of one key can share steps."""
        traits = self._decoder.traits
        apart = () if traits.per_row_experts else branch.experts
        alone = () if traits.joins else (self._num_groups, branch.experts, branch.request.prefix)
        return apart, alone


class _Batch:
    """Branches that share steps; row n is that of ``branches[n]``."""

    def __init__(self, decoder: Decoder, prefixes: PrefixCache):
        self.branches: list[Branch] = []
        self._decoder, self._prefixes = decoder, prefixes
        self._rows = decoder.rows()
        self._sampler = Sampler()
        self._logits = torch.empty(0, decoder.vocab_size)
        self._drawn = torch.empty(0, dtype=torch.int64)

    def add(self, branches: Sequence[Branch]) -> None:
        """A branch whose prefix cannot be read gets an ``error``, and the others go on."""
        with suppress(ReverieError):  # the branch that is to blame is found when its prefix is read
            self._decoder.prepare([branch.experts for branch in (*self.branches, *branches)])
        states, able = [], [*branches]
        try:
            states = self._prefixes.read([(branch.request.prefix, branch.experts) for branch in branches])
        except ReverieError:
            able = [branch for branch in branches if self._can_read(branch)]
            states = self._prefixes.read([(branch.request.prefix, branch.experts) for branch in able])
        if not able:
            return
        requests = [branch.request for branch in able]
        self._rows.add(states, [b.experts for b in able], [request.max_new_ids - 1 for request in requests])
        samplings, seeds = [request.sampling for request in requests], [request.seed for request in requests]
        lengths, prefixes = [request.max_new_ids for request in requests], [request.prefix for request in requests]
        self._sampler.add(samplings, seeds, lengths, prefixes)
        self._logits = torch.cat((self._logits, torch.stack([state.logits for state in states])))
        self._drawn = torch.cat((self._drawn, torch.zeros(len(able), dtype=torch.int64)))
        self.branches = [*self.branches, *able]

    def _can_read(self, branch: Branch) -> bool:
        try:
            self._prefixes.read([(branch.request.prefix, branch.experts)])
        except ReverieError as error:
            branch.error = error
        return branch.error is None

    @torch.inference_mode()
    def draw(self) -> list[Branch]:
        """The next id of each branch."""
        self._drawn, log_probs = self._sampler.draw(self._logits, self._mask())
        drawn = log_probs.gather(1, self._drawn[:, None]).squeeze(1)
        for row, (token_id, log_prob) in enumerate(zip(self._drawn.tolist(), drawn.tolist(), strict=True)):
            branch = self.branches[row]
            branch.take(token_id, log_prob, likeliest(log_probs[row], branch.request.top))
        return self.branches

    def _mask(self) -> Tensor | None:
        """bool (N, V), or (V,) when all share one, or None when all is allowed."""
        masks = [branch.allowed() for branch in self.branches]
        first = next((mask for mask in masks if mask is not None), None)
        if first is None or all(mask is first for mask in masks):
            return first
        anything = torch.ones_like(first)
        return torch.stack([anything if mask is None else mask for mask in masks])

    def keep_living(self) -> bool:
        """Let those go that are done; whether any is left."""
        rows = [row for row, branch in enumerate(self.branches) if branch.alive]
        if len(rows) < len(self.branches):
            self.branches = [self.branches[row] for row in rows]
            if rows:
                self._logits, self._drawn = self._logits[rows], self._drawn[rows]
                self._sampler.keep(rows)
                self._rows.keep(rows)
        return bool(rows)

    def feed(self) -> None:
        """What was drawn."""
        self._logits = self._rows.step(self._drawn)
