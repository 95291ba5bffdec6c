"""The engine's contract over a base of transformers: the same requests, constraints and samplers, its own KV cache."""

from __future__ import annotations

import copy
import inspect
import typing
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.engine.engine import EXPERT_BYTES, MAX_SOFT, REGROUP_SHARE, Engine
from reverie.engine.prefixes import common_length
from reverie.engine.requests import Branch, Completion, Request, check_ids, open_branches
from reverie.engine.sampling import Sampler
from reverie.errors import BundleError, UsageError, shorten
from reverie.experts.contract import Choice, ExpertSource, check_choice
from reverie.experts.inject import Cast, inject
from reverie.model import Backbone
from reverie.model.foreign import ForeignBackbone

__all__ = ["ForeignEngine", "open_engine"]


def open_engine(backbone: Backbone | ForeignBackbone, **settings: Any) -> Engine:
    """The engine of ``backbone``; ``settings`` as for either. All that is public of ``Engine`` is in both."""
    if isinstance(backbone, ForeignBackbone):
        return typing.cast(Engine, ForeignEngine(backbone, **settings))
    return Engine(backbone, **settings)


class ForeignEngine:
    """Dreams with ``backbone``; arguments as for ``Engine``. One thread at a time.

    Prefixes are read once for all rows that share them (and their experts), and stay read between calls. Rows with
    different prefixes run side by side, padded on the left, where the base keeps plain keys and values; a base with
    another kind of state (sliding windows, recurrences) runs each prefix's rows on their own.
    """

    def __init__(
        self,
        backbone: ForeignBackbone,
        max_branches: int = 64,
        cached_ids: int = 16384,
        experts: ExpertSource | None = None,
        expert_bytes: int = EXPERT_BYTES,
    ):
        self.config = backbone.config
        self._decoder = _Decoder(backbone)
        self._experts = None if experts is None else inject(backbone.base, experts, expert_bytes)
        self._prefixes = _Prefixes(self._decoder, cached_ids)
        self._max_branches, self._cached_ids = max_branches, cached_ids
        self._soft: dict[bytes, int] = {}

    def generate(
        self, requests: Sequence[Request], on_token: Callable[[int, int], None] | None = None
    ) -> list[Completion]:
        """As ``Engine.generate``."""
        branches = self._open(requests)
        for branch in self._run(branches):
            if on_token is not None:
                on_token(branch.index, branch.ids[-1])
        return [branch.completion() for branch in branches]

    def stream(self, request: Request) -> Iterator[int]:
        """As ``Engine.stream``."""
        return (branch.ids[-1] for branch in self._run(self._open([request])))

    def soft_ids(self, vectors: np.ndarray) -> tuple[int, ...]:
        """As ``Engine.soft_ids``."""
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.config.hidden_size or not np.isfinite(vectors).all():
            raise UsageError(f"soft vectors are finite and (n, {self.config.hidden_size}), got {vectors.shape}")
        new = {row.tobytes(): row for row in vectors if row.tobytes() not in self._soft}
        if len(self._soft) + len(new) > MAX_SOFT:
            self._soft, self._decoder.soft = {}, self._decoder.soft[:0]
            self._prefixes = _Prefixes(self._decoder, self._cached_ids)
            new = {row.tobytes(): row for row in vectors}
        first = self.config.vocab_size + len(self._soft)
        self._soft |= {key: first + place for place, key in enumerate(new)}
        if new:
            self._decoder.soft = torch.cat((self._decoder.soft, torch.from_numpy(np.stack(list(new.values())))))
        return tuple(self._soft[row.tobytes()] for row in vectors)

    @torch.inference_mode()
    def score(self, prefix: Sequence[int], continuation: Sequence[int], experts: Choice = ()) -> np.ndarray:
        """As ``Engine.score``."""
        prefix, continuation = tuple(prefix), tuple(continuation)
        self._check(prefix, continuation)
        if not continuation:
            return np.zeros(0, dtype=np.float32)
        cast = self._cast(experts)
        with self._rows([cast]):
            if self._decoder.resumes:
                read = self._prefixes.read(prefix, cast)
                logits = read.logits[None]
                if len(continuation) > 1:
                    past, count = self._decoder.copied(read.cache), len(continuation) - 1
                    logits = torch.cat((logits, self._decoder.read(continuation[:-1], past, len(prefix), count)))
            else:
                everything, fresh = (prefix + continuation)[:-1], self._decoder.new_cache()
                logits = self._decoder.read(everything, fresh, 0, len(continuation))
        log_probs = torch.log_softmax(logits, -1)
        return log_probs[range(len(continuation)), list(continuation)].numpy()

    @torch.inference_mode()
    def contributions(self, prefix: Sequence[int], ids: Sequence[int], experts: Choice) -> np.ndarray:
        """As ``Engine.contributions``; the linears are those of the layers, without the one that gives the logits."""
        prefix, ids = tuple(prefix), tuple(ids)
        self._check(prefix, ids)
        cast = self._cast(experts)
        if not ids or not cast or self._experts is None:
            return np.zeros((len(ids), len(cast)), np.float32)
        read = (prefix + ids)[:-1]
        with self._experts.weighing(cast, len(read)) as weighing:
            self._decoder.read(read, self._decoder.new_cache(), 0)
        places = [name for name, _, _ in cast]
        return weighing.shares[len(prefix) - 1 :, [places.index(name) for name, _ in check_choice(experts)]].numpy()

    @torch.inference_mode()
    def embed(self, ids: Sequence[int], contextual: bool = True) -> np.ndarray:
        """As ``Engine.embed``: of the bare base, whatever experts there are."""
        check_ids(ids, self.config.vocab_size, self.config.max_positions)
        backbone = self._decoder.backbone
        given = torch.tensor([list(ids)], device=backbone.device)
        states = backbone.hidden(given) if contextual else backbone.embedded(given)
        return states[0].float().mean(0).cpu().numpy()

    @property
    def _num_inputs(self) -> int:
        return self.config.vocab_size + len(self._decoder.soft)

    def _open(self, requests: Sequence[Request]) -> list[Branch]:
        branches = open_branches(requests, self._num_inputs, self.config.max_positions)
        casts = {choice: self._cast(choice) for choice in {request.experts for request in requests}}
        for branch in branches:
            branch.cast = casts[branch.request.experts]
        return branches

    def _check(self, prefix: tuple[int, ...], following: tuple[int, ...]) -> None:
        for ids in (prefix, prefix + following):
            check_ids(ids, self._num_inputs, self.config.max_positions)

    def _cast(self, choice: Choice) -> Cast:
        choice = check_choice(choice)
        if choice and self._experts is None:
            raise UsageError(f"this engine has no experts, and a request names '{shorten(choice[0][0])}'")
        return self._experts.cast(choice) if self._experts else ()

    def _rows(self, casts: Sequence[Cast]) -> AbstractContextManager[None]:
        return self._experts.rows(casts) if self._experts else nullcontext()

    def _run(self, branches: list[Branch]) -> Iterator[Branch]:
        """Yields a branch each time it has drawn an id."""
        waiting = sorted((b for b in branches if b.alive), key=lambda b: (b.cast, b.request.prefix))
        for start in range(0, len(waiting), self._max_branches):
            for together in self._together(waiting[start : start + self._max_branches]):
                yield from self._run_batch(together)

    def _together(self, branches: list[Branch]) -> list[list[Branch]]:
        """``branches`` in groups that can share a batch."""
        groups: dict[Any, list[Branch]] = {}
        for branch in branches:
            apart = branch.cast if self._experts and not self._experts.per_row else ()
            own = () if self._decoder.joins else (branch.cast, branch.request.prefix)
            groups.setdefault((apart, own), []).append(branch)
        return list(groups.values())

    @torch.inference_mode()
    def _run_batch(self, branches: list[Branch]) -> Iterator[Branch]:
        requests = [branch.request for branch in branches]
        casts = [branch.cast for branch in branches]
        reads = []
        for request, cast in zip(requests, casts, strict=True):
            with self._rows([cast]):
                reads.append(self._prefixes.read(request.prefix, cast))
        most = max(request.max_new_ids for request in requests)
        sampler = Sampler([r.sampling for r in requests], [r.seed for r in requests], most)
        lanes = self._decoder.lanes(reads)
        logits, drawn = torch.stack([read.logits for read in reads]), 0
        while True:
            ids, log_probs = sampler.draw(logits, _mask(branches), drawn)
            drawn += 1
            for branch, token_id, log_prob in zip(branches, ids.tolist(), log_probs.tolist(), strict=True):
                if branch.alive:
                    branch.take(token_id, log_prob)
                    yield branch
            alive = [row for row, branch in enumerate(branches) if branch.alive]
            if not alive:
                return
            if len(alive) <= REGROUP_SHARE * len(branches):
                branches = [branches[row] for row in alive]
                casts = [casts[row] for row in alive]
                ids = ids[alive]
                sampler.keep(alive)
                lanes.keep(alive)
            with self._rows(casts):
                logits = self._decoder.step(ids, lanes)


@dataclass(frozen=True, eq=False)
class _Read:
    """A prefix that was read: logits float (V,) of what follows, and the base's cache of batch size 1."""

    ids: np.ndarray
    logits: Tensor
    cache: Any


class _Lanes:
    """The rows of a batch: their cache, which of its places count, and the next position of each."""

    def __init__(self, cache: Any, seen: Tensor, positions: Tensor):
        self.cache, self.seen, self.positions = cache, seen, positions  # seen int64 (N, P), positions (N,)

    def keep(self, rows: list[int]) -> None:
        chosen = torch.tensor(rows, device=self.seen.device)
        self.cache.reorder_cache(chosen)
        self.seen, self.positions = self.seen[chosen], self.positions[chosen]


class _Decoder:
    """One base at work: reads prefixes and moves rows on."""

    def __init__(self, backbone: ForeignBackbone):
        self.backbone, self.base = backbone, backbone.base
        self.soft = torch.empty(0, backbone.config.hidden_size)
        known = inspect.signature(self.base.forward).parameters
        self._positioned = "position_ids" in known
        self._cached = next((name for name in ("past_key_values", "cache_params") if name in known), "")
        if not self._cached:
            raise BundleError(
                f"{backbone.config.architecture} has no cache that transformers shares: no engine runs it"
            )
        self._keeps = "logits_to_keep" in known
        kinds = {type(layer).__name__ for layer in self.new_cache().layers}
        self.joins = kinds == {"DynamicLayer"}  # plain keys and values, a place for every id
        self.resumes = kinds <= {"DynamicLayer", "DynamicSlidingWindowLayer"}  # recurrences read on one id at a time

    def new_cache(self) -> Any:
        from transformers import DynamicCache

        return DynamicCache(config=self.base.config)

    def read(self, ids: Sequence[int], cache: Any, start: int, keep: int = 1) -> Tensor:
        """ids (T,) after the ``start`` ids of ``cache``, which grows → logits float (keep, V) of the last ones."""
        given = torch.tensor([list(ids)], device=self.backbone.device)
        seen = torch.ones(1, start + len(ids), dtype=torch.int64, device=given.device)
        positions = torch.arange(start, start + len(ids), device=given.device)[None]
        return self._forward(given, cache, seen, positions, keep)[0]

    def step(self, ids: Tensor, lanes: _Lanes) -> Tensor:
        """The ids just drawn (N,) → logits float (N, V)."""
        ids = ids.to(self.backbone.device)[:, None]
        lanes.seen = torch.cat((lanes.seen, torch.ones_like(ids)), 1)
        logits = self._forward(ids, lanes.cache, lanes.seen, lanes.positions[:, None], 1)
        lanes.positions = lanes.positions + 1
        return logits[:, 0]

    def lanes(self, reads: Sequence[_Read]) -> _Lanes:
        """Rows that go on from ``reads``, padded on the left to one length."""
        lengths = [len(read.ids) for read in reads]
        longest, device = max(lengths), self.backbone.device
        seen = torch.stack([torch.arange(longest) >= longest - length for length in lengths]).to(device, torch.int64)
        positions = torch.tensor(lengths, device=device)
        if not self.joins:
            cache = copy.deepcopy(reads[0].cache)
            cache.reorder_cache(torch.zeros(len(reads), dtype=torch.int64, device=device))
            return _Lanes(cache, seen, positions)
        cache = self.new_cache()
        for place, layer in enumerate(reads[0].cache.layers):
            keys, values = (
                layer.keys.new_zeros(len(reads), *layer.keys.shape[1:2], longest, size)
                for size in (layer.keys.shape[3], layer.values.shape[3])
            )
            for row, read in enumerate(reads):
                own = read.cache.layers[place]
                keys[row, :, longest - lengths[row] :] = own.keys[0]
                values[row, :, longest - lengths[row] :] = own.values[0]
            cache.update(keys, values, place)
        return _Lanes(cache, seen, positions)

    def copied(self, cache: Any, length: int | None = None) -> Any:
        """A cache of its own with the first ``length`` ids of ``cache``, or all."""
        if not self.joins:
            return copy.deepcopy(cache)
        copied = self.new_cache()
        for place, layer in enumerate(cache.layers):
            copied.update(layer.keys[:, :, :length], layer.values[:, :, :length], place)
        return copied

    def _forward(self, ids: Tensor, cache: Any, seen: Tensor, positions: Tensor, keep: int) -> Tensor:
        inputs: dict[str, Any] = {self._cached: cache, "use_cache": True}
        if self.joins:  # elsewhere rows are never padded
            inputs["attention_mask"] = seen
        if self._positioned:
            inputs["position_ids"] = positions
        vocab_size = self.backbone.config.vocab_size
        if bool((ids >= vocab_size).any()):
            x = self.backbone.embedded(ids.clamp_max(vocab_size - 1))
            soft = ids >= vocab_size
            x[soft] = self.soft.to(x.device, x.dtype)[ids[soft] - vocab_size]
            inputs["inputs_embeds"] = x
        else:
            inputs["input_ids"] = self.backbone.theirs(ids)
        if self._keeps:
            inputs["logits_to_keep"] = keep
        return self.backbone.turned(self.base(**inputs).logits[:, -keep:]).cpu()


class _Prefixes:
    """What was read last, up to ``max_ids`` ids in all; shared beginnings under the same experts are reused."""

    def __init__(self, decoder: _Decoder, max_ids: int):
        self._decoder, self._max_ids, self._num_ids = decoder, max_ids, 0
        self._entries: OrderedDict[Any, _Read] = OrderedDict()

    def read(self, prefix: tuple[int, ...], cast: Cast) -> _Read:
        entry = self._entries.pop((prefix, cast), None)
        if entry is None:
            ids = np.asarray(prefix, dtype=np.int64)
            cache, start = self._longest_shared(ids, cast)
            logits = self._decoder.read(prefix[start:], cache, start)
            entry = _Read(ids, logits[-1], cache)
            self._num_ids += len(prefix)
        self._entries[prefix, cast] = entry  # now the one used last
        while self._num_ids > self._max_ids and len(self._entries) > 1:
            self._num_ids -= len(self._entries.popitem(last=False)[1].ids)
        return entry

    def _longest_shared(self, ids: np.ndarray, cast: Cast) -> tuple[Any, int]:
        """A cache of its own with what some entry shares with ``ids`` (at least one stays to be read), and how many."""
        best, found = 0, None
        for (_, reader), read in self._entries.items():
            shared = common_length(read.ids, ids[:-1]) if reader == cast and self._decoder.resumes else 0
            if shared > best and (self._decoder.joins or shared == len(read.ids)):
                best, found = shared, read
        return (self._decoder.copied(found.cache, best) if found else self._decoder.new_cache()), best


def _mask(branches: Sequence[Branch]) -> Tensor | None:
    """bool (N, V) of what may come next, None when all is allowed. Dead branches take any."""
    masks = [branch.allowed() if branch.alive else None for branch in branches]
    first = next((mask for mask in masks if mask is not None), None)
    if first is None or all(mask is first for mask in masks):
        return first
    anything = torch.ones_like(first)
    return torch.stack([anything if mask is None else mask for mask in masks])
