"""The decoder of a base made elsewhere: any causal model of transformers, with the cache that it brings."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.engine.contract import Read, State, Traits
from reverie.errors import BundleError
from reverie.experts.contract import Choice, ExpertSource, ResolvedExperts, resolve
from reverie.experts.inject import inject
from reverie.model.transformers_base import TransformersBackbone

__all__ = ["TransformersDecoder"]


class TransformersDecoder:
    """Reads and steps with ``backbone`` where it lies, on a CPU or a GPU.

    Rows with different prefixes run side by side, padded on the left, where the base keeps plain keys and values; a
    base with another kind of state (sliding windows, recurrences) runs each prefix's rows on their own.
    """

    def __init__(self, backbone: TransformersBackbone, source: ExpertSource | None, expert_bytes: int):
        self.backbone, self.base = backbone, backbone.base
        self.vocab_size, self.hidden_size = backbone.config.vocab_size, backbone.config.hidden_size
        self.max_positions = backbone.config.max_positions
        self._source = source
        self._experts = None if source is None else inject(backbone.base, source, expert_bytes)
        self._vectors = torch.empty(0, self.hidden_size)
        known = inspect.signature(self.base.forward).parameters
        self._positioned = "position_ids" in known
        self._cached = next((name for name in ("past_key_values", "cache_params") if name in known), "")
        if not self._cached:
            raise BundleError(
                f"{backbone.config.architecture} has no cache that transformers shares: no engine runs it"
            )
        self._keeps = "logits_to_keep" in known
        kinds = {type(layer).__name__ for layer in self.new_cache().layers}
        self.traits = Traits(
            joins=kinds == {"DynamicLayer"},  # plain keys and values, a place for every id
            resumes=kinds <= {"DynamicLayer", "DynamicSlidingWindowLayer"},  # recurrences read on one id at a time
            per_row_experts=self._experts is None or self._experts.per_row,
        )

    def resolve(self, choice: Choice) -> ResolvedExperts:
        return resolve(choice, self._source)

    def prepare(self, experts: Sequence[ResolvedExperts]) -> None:
        pass  # factors stay unstacked until rows have them

    def set_prefix_embeddings(self, vectors: Tensor) -> None:
        self._vectors = vectors

    @torch.inference_mode()
    def read(self, reads: Sequence[Read]) -> list[tuple[Tensor, State]]:
        return [self._read(one) for one in reads]

    def _read(self, one: Read) -> tuple[Tensor, State]:
        ids, past = one.ids, one.past
        cache = self.new_cache() if past is None else self._copied(past.kept)
        start = 0 if past is None else len(past.ids)
        given = torch.from_numpy(ids)[None].to(self.backbone.device)
        seen = torch.ones(1, start + len(ids), dtype=torch.int64, device=given.device)
        positions = torch.arange(start, start + len(ids), device=given.device)[None]
        logits = self.forward(given, cache, seen, positions, one.keep, [one.experts])[0]
        known = ids if past is None else np.concatenate((past.ids, ids))
        return logits, State(known, logits[-1], cache)

    def cut(self, state: State, length: int) -> State:
        return State(state.ids[:length], state.logits[:0], self._copied(state.kept, length))

    def rows(self) -> TransformersRows:
        return TransformersRows(self)

    @torch.inference_mode()
    def embed(self, texts: Sequence[np.ndarray], contextual: bool, layers: int = 0) -> Tensor:
        read = partial(self.backbone.hidden, layers=layers) if contextual else self.backbone.embedded
        given = (torch.from_numpy(ids)[None].to(self.backbone.device) for ids in texts)
        return torch.stack([read(ids)[0].float().mean(0).cpu() for ids in given])

    @torch.inference_mode()
    def weigh(self, ids: np.ndarray, experts: ResolvedExperts) -> Tensor:
        """The linears are those of the layers, without the one that gives the logits."""
        assert self._experts is not None  # else nobody can be chosen
        with self._experts.weighing(experts, len(ids)) as weighing:
            self.read([Read(ids)])
        return weighing.shares

    def new_cache(self) -> Any:
        from transformers import DynamicCache

        return DynamicCache(config=self.base.config)

    def forward(
        self, ids: Tensor, cache: Any, seen: Tensor, positions: Tensor, keep: int, experts: Sequence[ResolvedExperts]
    ) -> Tensor:
        """ids (N, T), of which each row attends to seen int64 (N, P + T) of the P ids of ``cache`` and its own, which
        ``cache`` then holds too → float32 logits (N, keep, V) on the CPU."""
        inputs: dict[str, Any] = {self._cached: cache, "use_cache": True}
        if self.traits.joins:  # elsewhere rows are never padded
            inputs["attention_mask"] = seen
        if self._positioned:
            inputs["position_ids"] = positions
        if bool((ids >= self.vocab_size).any()):
            x = self.backbone.embedded(ids.clamp_max(self.vocab_size - 1))
            vectors = ids >= self.vocab_size
            x[vectors] = self._vectors.to(x.device, x.dtype)[ids[vectors] - self.vocab_size]
            inputs["inputs_embeds"] = x
        else:
            inputs["input_ids"] = self.backbone.ids.to_base_ids(ids)
        if self._keeps:
            inputs["logits_to_keep"] = keep
        with self._active(experts):
            logits = self.base(**inputs).logits[:, -keep:]
        return self.backbone.ids.rotate_logits(logits).cpu()

    def _active(self, experts: Sequence[ResolvedExperts]) -> AbstractContextManager[None]:
        return self._experts.rows(experts) if self._experts and any(experts) else nullcontext()

    def _copied(self, cache: Any, length: int | None = None) -> Any:
        """A cache of its own with the first ``length`` ids of ``cache``, or all."""
        if not self.traits.joins:
            return copy.deepcopy(cache)
        copied = self.new_cache()
        for place, layer in enumerate(cache.layers):
            copied.update(layer.keys[:, :, :length], layer.values[:, :, :length], place)
        return copied


class TransformersRows:
    """One cache of transformers for all rows, padded on the left to one length."""

    def __init__(self, decoder: TransformersDecoder):
        self._decoder = decoder
        self._experts: list[ResolvedExperts] = []
        self._cache: Any = None
        self._seen = torch.zeros(0, 0, dtype=torch.int64, device=decoder.backbone.device)  # (N, P): which places count

    @torch.inference_mode()
    def add(self, states: Sequence[State], experts: Sequence[ResolvedExperts], room: Sequence[int]) -> None:
        lengths = [*self._seen.sum(1).tolist(), *(len(state.ids) for state in states)]
        num_old, longest, device = len(self._experts), max(lengths), self._seen.device
        if not self._decoder.traits.joins:  # all rows are of one prefix
            self._cache = copy.deepcopy(states[0].kept)
            self._cache.reorder_cache(torch.zeros(len(states), dtype=torch.int64, device=device))
        else:
            cache = self._decoder.new_cache()
            for place, layer in enumerate(states[0].kept.layers):
                parts = []
                for name in ("keys", "values"):
                    own = getattr(layer, name)
                    rows = own.new_zeros(len(lengths), own.shape[1], longest, own.shape[3])
                    if num_old:
                        known = getattr(self._cache.layers[place], name)[:, :, -longest:]
                        rows[:num_old, :, longest - known.shape[2] :] = known
                    for row, state in enumerate(states, num_old):
                        rows[row, :, longest - len(state.ids) :] = getattr(state.kept.layers[place], name)[0]
                    parts.append(rows)
                cache.update(*parts, place)
            self._cache = cache
        columns = torch.arange(longest, device=device)
        self._seen = (columns >= longest - torch.tensor(lengths, device=device)[:, None]).long()
        self._experts += experts

    def keep(self, rows: Sequence[int]) -> None:
        chosen = torch.tensor(list(rows), device=self._seen.device)
        self._cache.reorder_cache(chosen)
        self._seen, self._experts = self._seen[chosen], [self._experts[row] for row in rows]

    @torch.inference_mode()
    def step(self, ids: Tensor) -> Tensor:
        given = ids.to(self._seen.device)[:, None]
        positions = self._seen.sum(1, keepdim=True)
        self._seen = torch.cat((self._seen, torch.ones_like(given)), 1)
        return self._decoder.forward(given, self._cache, self._seen, positions, 1, self._experts)[:, 0]
