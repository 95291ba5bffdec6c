"""The decoder of our own backbone: its weights fused once, prefixes read once, and N rows moved on together.

Axes: L layers, H heads, Dh head size, P ids of prefixes, N rows, S slots of C ids each for what rows draw.
Keys and values live where most can share them: each prefix once in a pool, less what it has in common with another,
and only what a row draws itself in its own slot. A step is five matrix products a layer, and between them a compiled
loop (``attend.py``) and a few torch calls.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.engine.attend import attend
from reverie.engine.contract import Read, State, Traits
from reverie.engine.lora import GROUPS, FoldedExperts, LoraMix, LoraSum
from reverie.engine.prefixes import common_length
from reverie.engine.products import Matrix
from reverie.experts.contract import Choice, ExpertSource, Factors, ResolvedExperts
from reverie.model import Backbone
from reverie.model.backbone import Layer

__all__ = ["PackedDecoder"]

_ROOM = 64  # ids: slots are multiples of it, so that a row with a little more room does not move all
_HOMES = {linear: group for group, linears in GROUPS.items() for linear in linears}
_LINEAR = re.compile(r"model\.layers\.(\d+)\.(.+)")


@dataclass(frozen=True)
class FusedLayer:
    """One layer's matrices, norm weights folded in."""

    qkv: Matrix  # (D, 3D); q scaled by Dh^-0.5; q and k with each head's rotary pairs side by side
    out: Matrix  # (D, D)
    gate_up: Matrix  # (D, 2I)
    down: Matrix  # (I, D)
    before: Tensor  # (D,): what is folded into qkv
    between: Tensor  # (D,): and into gate_up


class PackedDecoder:
    """A float32 snapshot of a backbone on the CPU, made for reading and stepping; later training does not reach it.

    About 10 kB of keys and values an id at width 256 and 5 layers.
    """

    traits = Traits()

    @torch.no_grad()
    def __init__(self, backbone: Backbone, source: ExpertSource | None, expert_bytes: int):
        self.config = config = backbone.config
        self.vocab_size, self.hidden_size = config.vocab_size, config.hidden_size
        self.max_positions = config.max_positions
        self.embeddings = _snapshot(backbone.embeddings)
        self._root = config.hidden_size**0.5
        self._floor = torch.tensor((config.hidden_size * config.norm_eps) ** 0.5)
        self._inputs = self.embeddings  # (V + n, D): what ids are read as
        self.last_norm = _snapshot(backbone.model.norm.weight) * self._root
        self.layers = [self._fuse(layer) for layer in backbone.layers]
        self.head = Matrix(self.embeddings * self.last_norm)  # (D, V)
        half = config.head_size // 2
        cos, sin = (_snapshot(table[:, :half]) for table in (backbone.cos, backbone.sin))
        self.turns = torch.complex(cos, sin)  # (positions, Dh / 2)
        self._turns = torch.view_as_real(self.turns).flatten(1).numpy()  # (positions, Dh): cos and sin in turn
        self._experts = FoldedExperts(self, source, expert_bytes)

    def _fuse(self, layer: Layer) -> FusedLayer:
        attention, unit = layer.self_attn, layer.mlp
        before, between = layer.input_layernorm.weight * self._root, layer.post_attention_layernorm.weight * self._root
        q = self._paired(attention.q_proj.weight) * self.config.head_size**-0.5
        qkv = torch.cat((q, self._paired(attention.k_proj.weight), attention.v_proj.weight)) * before
        gate_up = torch.cat((unit.gate_proj.weight, unit.up_proj.weight)) * between
        weights = (qkv, attention.o_proj.weight, gate_up, unit.down_proj.weight)
        qkv_, out, gate_up_, down = (Matrix(_snapshot(weight)) for weight in weights)
        return FusedLayer(qkv_, out, gate_up_, down, _snapshot(before), _snapshot(between))

    def _paired(self, weight: Tensor) -> Tensor:
        """(D, n) with each head's rotary pairs side by side: 0, Dh/2, 1, Dh/2 + 1, … Products of q and k do not care in
        which order both are summed."""
        heads = weight.view(self.config.num_heads, 2, self.config.head_size // 2, -1)
        return heads.transpose(1, 2).reshape(weight.shape)

    def find(self, linear: str) -> tuple[int, str] | None:
        found = _LINEAR.fullmatch(linear)
        known = found is not None and int(found[1]) < len(self.layers) and found[2] in _HOMES
        return (int(found[1]), found[2]) if found is not None and known else None

    def size(self, linear: str) -> tuple[int, int]:
        D, inner = self.config.hidden_size, self.config.intermediate_size
        return {"gate_up": (D, inner), "down": (inner, D)}.get(_HOMES[linear], (D, D))

    @torch.no_grad()
    def fold(self, place: int, linear: str, factors: Factors) -> Factors:
        layer, down, up = self.layers[place], factors.down, factors.up
        norm = {"qkv": layer.before, "gate_up": layer.between}.get(_HOMES[linear])
        if linear in GROUPS["qkv"][:2]:
            up = self._paired(up)
        if linear == GROUPS["qkv"][0]:
            up = up * self.config.head_size**-0.5
        return Factors(_snapshot(down if norm is None else down * norm), _snapshot(up))

    # the contract -------------------------------------------------------------------------------------------

    def resolve(self, choice: Choice) -> ResolvedExperts:
        return self._experts.resolve(choice)

    def prepare(self, experts: Sequence[ResolvedExperts]) -> None:
        self._experts.prepare(experts)

    def set_prefix_embeddings(self, vectors: Tensor) -> None:
        self._inputs = torch.cat((self.embeddings, vectors)) if len(vectors) else self.embeddings

    @torch.inference_mode()
    def read(self, reads: Sequence[Read]) -> list[tuple[Tensor, State]]:
        counts = [len(one.ids) for one in reads]
        mix = self._experts.mix([one.experts for one in reads])
        pasts = [None if one.past is None else one.past.kept for one in reads]
        hidden, kept = self._read([one.ids for one in reads], pasts, mix and mix.spread(counts))
        wanted = torch.cat([part[-one.keep :] for one, part in zip(reads, hidden.split(counts), strict=True)])
        logits = self.logits(wanted).split([min(one.keep, len(one.ids)) for one in reads])
        return [
            (each, State(one.ids if one.past is None else np.concatenate((one.past.ids, one.ids)), each[-1], cache))
            for one, each, cache in zip(reads, logits, kept, strict=True)
        ]

    def cut(self, state: State, length: int) -> State:
        return State(state.ids[:length], state.logits[:0], state.kept[:, :, :, :length])

    def rows(self) -> PackedRows:
        return PackedRows(self)

    @torch.inference_mode()
    def embed(self, texts: Sequence[np.ndarray], contextual: bool) -> Tensor:
        counts = [len(ids) for ids in texts]
        if contextual:
            hidden, _ = self._read(texts, [None] * len(texts), None)
            states = self._unit(hidden) * self.last_norm
        else:
            states = self.embeddings[torch.from_numpy(np.concatenate(texts))]
        return torch.stack([each.mean(0) for each in states.split(counts)])

    @torch.inference_mode()
    def weigh(self, ids: np.ndarray, experts: ResolvedExperts) -> Tensor:
        weighing = self._experts.weighing(experts)
        self._read([ids], [None], weighing)
        return weighing.shares

    # tensors ------------------------------------------------------------------------------------------------

    def mix(self, experts: Sequence[ResolvedExperts]) -> LoraMix | None:
        """What the experts of some rows add; None where nobody has any."""
        return self._experts.mix(experts)

    def logits(self, hidden: Tensor) -> Tensor:  # (N, D) before the last norm → (N, V)
        return self.head(self._unit(hidden))

    def _read(
        self, texts: Sequence[np.ndarray], pasts: Sequence[Tensor | None], lora: LoraSum | None
    ) -> tuple[Tensor, list[Tensor]]:
        """The ids (T,) of each text, which follow its past → hidden (ΣT, D) before the last norm, one text after
        another, and each text's keys and values (L, 2, H, P, Dh), those of its past included, as pasts are given.
        """
        config, spans, caches = self.config, [], []
        for ids, past in zip(texts, pasts, strict=True):
            start = 0 if past is None else past.shape[3]
            end = start + len(ids)
            cache = self.embeddings.new_empty(len(self.layers), 2, config.num_heads, end, config.head_size)
            if past is not None:
                cache[:, :, :, :start] = past
            seen = torch.ones(len(ids), end, dtype=torch.bool).tril_(start) if start else None
            spans.append((start, end, seen))
            caches.append(cache)
        turns = torch.cat([self.turns[start:end] for start, end, _ in spans])
        x = self._inputs[torch.from_numpy(np.concatenate(texts))]
        mixed = x.new_empty(len(x), config.num_heads, config.head_size)
        for place in range(len(self.layers)):
            q, keys_values = self._heads(place, x, turns, lora)
            first = 0
            for (start, end, seen), cache in zip(spans, caches, strict=True):
                last, kept = first + end - start, cache[place]
                kept[:, :, start:] = keys_values[:, :, first:last]
                found = F.scaled_dot_product_attention(
                    q[None, :, first:last],
                    kept[None, 0],
                    kept[None, 1],
                    attn_mask=seen,
                    is_causal=seen is None,
                    scale=1.0,
                )
                mixed[first:last] = found[0].transpose(0, 1)
                first = last
            x = self._finish(place, x, mixed, lora)
        return x, caches

    def step(self, ids: Tensor, rows: PackedRows, lora: LoraSum | None) -> Tensor:
        """One id a row (N,) → logits (N, V); keys and values go to ``rows``."""
        x = self.embeddings[ids]
        mixed = torch.empty(len(x), self.config.num_heads, self.config.head_size)
        for place, layer in enumerate(self.layers):
            unit = self._unit(x)
            qkv = layer.qkv(unit)
            if lora is not None:
                lora.add((place, "qkv"), unit, qkv, None)
            rows.attend(place, qkv.view(len(x), 3, *mixed.shape[1:]), self._turns, mixed)
            x = self._finish(place, x, mixed, lora)
        return self.logits(x)

    def _heads(self, place: int, x: Tensor, turns: Tensor, lora: LoraSum | None) -> tuple[Tensor, Tensor]:
        """x (T, D), its positions' turns (T, Dh / 2) → rotated q (H, T, Dh), and rotated k with v (2, H, T, Dh)."""
        unit = self._unit(x)
        qkv = self.layers[place].qkv(unit)
        if lora is not None:
            lora.add((place, "qkv"), unit, qkv, None)
        qkv = qkv.view(len(x), 3, self.config.num_heads, -1).permute(1, 2, 0, 3).contiguous()
        torch.view_as_complex(qkv[:2].unflatten(-1, (-1, 2))).mul_(turns)
        return qkv[0], qkv[1:]

    def _finish(self, place: int, x: Tensor, mixed: Tensor, lora: LoraSum | None) -> Tensor:
        """x (T, D), mixed (T, H, Dh) → (T, D)"""
        layer, mixed = self.layers[place], mixed.view(x.shape)
        between = layer.out(mixed, x)
        if lora is not None:
            lora.add((place, "out"), mixed, between, x)
        unit = self._unit(between)
        inner = layer.gate_up(unit)
        if lora is not None:
            lora.add((place, "gate_up"), unit, inner, None)
        gate, up = inner.chunk(2, -1)
        gated = F.silu(gate).mul_(up)
        after = layer.down(gated, between)
        if lora is not None:
            lora.add((place, "down"), gated, after, between)
        return after

    def _unit(self, x: Tensor) -> Tensor:
        """x / sqrt(|x|² + D·eps): the RMS norm but for a factor sqrt(D), which the weights hold; three cheap calls."""
        return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).hypot_(self._floor)


def _snapshot(weight: Tensor) -> Tensor:
    return weight.detach().to("cpu", torch.float32, copy=True).contiguous()


class PackedRows:
    """The keys and values of N rows: prefixes in a pool, what rows draw in slots of their own."""

    def __init__(self, decoder: PackedDecoder):
        self._decoder = decoder
        config = decoder.config
        self._shape = len(decoder.layers), 2, config.num_heads, config.head_size
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

    def attend(self, layer: int, qkv: Tensor, turns: np.ndarray, out: Tensor) -> None:
        """qkv (N, 3, H, Dh) of the ids being fed → out (N, H, Dh), what they find; keys and values stay."""
        pool, own = self._arrays
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
        self._pool[:, :, :, begin : self._used] = state.kept[:, :, :, shared:]
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
