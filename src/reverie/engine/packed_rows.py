"""Rows of the packed decoder at work: where the keys and values of N rows lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from reverie.engine.attend import attend
from reverie.engine.contract import State
from reverie.engine.prefixes import common_length
from reverie.experts.contract import ResolvedExperts

if TYPE_CHECKING:
    from reverie.engine.lora import LoraMix
    from reverie.engine.packed import PackedDecoder

__all__ = ["PackedRows"]

_ROOM = 64  # ids: slots are multiples of it, so that a row with a little more room does not move all


class PackedRows:
    """The keys and values of N rows: prefixes in a pool, what rows draw in slots of their own."""

    def __init__(self, decoder: PackedDecoder):
        self._decoder = decoder
        config = decoder.config
        self._shape = len(decoder.layers), 2, config.num_kv_heads, config.head_size
        turns = torch.view_as_real(decoder.turns).flatten(1).numpy()  # (positions, Dh): cos and sin in turn
        still = np.tile(np.array([1, 0], np.float32), (len(turns), config.head_size // 2)) if config.unturned else turns
        self._turns = [turns if layer.turned else still for layer in decoder.layers]
        self._states: list[State] = []  # a row
        self._experts: list[ResolvedExperts] = []
        self._room: list[int] = []
        self._drawn = np.zeros(0, dtype=np.int64)  # (N,): ids fed so far
        self._slots = np.zeros(0, dtype=np.int64)  # (N,)
        self._spans = np.zeros((0, 4), dtype=np.int64)  # (N, 4): see ``attend``
        self._lora: LoraMix | None = None
        self._places: dict[State, tuple[ResolvedExperts, tuple[int, int, int, int]]] = {}  # who read it, and its spans
        self._used = 0  # ids of the pool
        self._pool, self._own = self._empty(0), self._empty(0, 0)

    def add(self, states: Sequence[State], experts: Sequence[ResolvedExperts], room: Sequence[int]) -> None:
        before = len(self._states)
        self._states, self._experts, self._room = (
            [*self._states, *states],
            [*self._experts, *experts],
            [*self._room, *room],
        )
        self._make_slots(before)
        self._drawn = np.concatenate((self._drawn, np.zeros(len(states), dtype=np.int64)))
        coming = sum(len(state.ids) for state in {*states} - self._places.keys())
        if self._used + coming > self._pool.shape[3]:  # then all prefixes move, those that no row needs excepted
            living = sum(len(state.ids) for state in {*self._states})
            self._pool, self._used, self._places = self._empty(living + (living // 2 if before else 0)), 0, {}
        for state, own in zip(self._states, self._experts, strict=True):
            if state not in self._places:
                self._places[state] = own, self._place(state, own)
        self._arrange()

    def keep(self, rows: Sequence[int]) -> None:
        rows = list(rows)
        self._states = [self._states[row] for row in rows]
        self._experts, self._room = [self._experts[row] for row in rows], [self._room[row] for row in rows]
        self._drawn, self._slots = self._drawn[rows], self._slots[rows]
        self._arrange()

    @torch.inference_mode()
    def step(self, ids: Tensor) -> Tensor:
        logits = self._decoder.step(ids, self, self._lora)
        self._drawn += 1
        return logits

    def attend(self, layer: int, qkv: Tensor, out: Tensor) -> None:
        """qkv (N, H + 2G, Dh) of the ids being fed → out (N, H, Dh), what they find; keys and values stay."""
        pool, own, turns = *self._arrays, self._turns[layer]
        attend(qkv.numpy(), turns, pool[layer], self._spans, own[layer], self._slots, self._drawn, out.numpy())

    def _arrange(self) -> None:
        spans = [self._places[state][1] for state in self._states]
        self._spans = np.array(spans, dtype=np.int64).reshape(-1, 4)
        self._lora = self._decoder.mix(self._experts)
        self._arrays = self._pool.numpy(), self._own.numpy()

    def _place(self, state: State, experts: ResolvedExperts) -> tuple[int, int, int, int]:
        """Copy a prefix into the pool, less the longest beginning that lies there for the same experts."""
        first, shared = 0, 0
        for other, (reader, (_, elsewhere, begin, _)) in self._places.items():
            if not elsewhere and reader == experts and (both := common_length(other.ids, state.ids)) > shared:
                first, shared = begin, both
        begin, self._used = self._used, self._used + len(state.ids) - shared
        at = begin
        for part in state.kept.between(shared, len(state.ids)):
            self._pool[:, :, :, at : at + part.shape[3]] = part
            at += part.shape[3]
        return first, shared, begin, self._used - begin

    def _make_slots(self, num_old: int) -> None:
        """A slot for every row from ``num_old`` on; where there are too few, or too small ones, all move."""
        needed = len(self._states)
        room = -(-max([1, *self._room]) // _ROOM) * _ROOM
        free = [slot for slot in range(self._own.shape[3]) if slot not in set(self._slots.tolist())]
        if len(free) < needed - num_old or room > self._own.shape[4]:
            grown = num_old > 0 and needed > self._own.shape[3]  # rows come one after another: some to spare
            own = self._empty(max(needed + needed // 2 if grown else needed, self._own.shape[3]), room)
            filled = int(self._drawn.max(initial=0))
            own[:, :, :, :num_old, :filled] = self._own[:, :, :, self._slots, :filled]
            self._own, self._slots = own, np.arange(num_old)
            free = list(range(num_old, own.shape[3]))
        self._slots = np.concatenate((self._slots, np.array(free[: needed - num_old], dtype=np.int64)))

    def _empty(self, *sizes: int) -> Tensor:
        *front, head_size = self._shape
        return torch.empty(*front, *sizes, head_size)
