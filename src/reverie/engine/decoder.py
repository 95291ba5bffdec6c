"""The tensors of decoding: the backbone's weights fused once, prefixes read once, and N branches moved on together.

Axes: L layers, H heads, Dh head size, P ids of a prefix, S ids drawn so far, G lanes of n branches each (N = G × n).
The branches of a lane share one prefix. Keys and values live where most can share them: what all lanes begin with in
the trunk, the rest of each prefix in its lane, and only what a branch draws itself in its own rows. A step is five
matrix products a layer, and between them compiled loops (``attend.py``) or a few torch calls.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.engine.attend import attend
from reverie.engine.products import Matrix
from reverie.experts.contract import Factors
from reverie.model import Backbone
from reverie.model.backbone import Layer

__all__ = ["GROUPS", "Changes", "Decoder", "Lanes"]

GROUPS = {  # the linears of a layer that read the same, in one product
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
_HOMES = {linear: group for group, linears in GROUPS.items() for linear in linears}
_LINEAR = re.compile(r"model\.layers\.(\d+)\.(.+)")


class Changes(Protocol):
    """What experts add to the products of a layer's groups."""

    def add(self, site: tuple[int, str], x: Tensor, out: Tensor, residual: Tensor | None) -> None:
        """``site``: layer and group; x (N, in), which the group read; out (N, out), which is changed in place, holds
        what it gave, ``residual`` (N, out) added to it where there is one."""


@dataclass(frozen=True)
class FusedLayer:
    """One layer's matrices, norm weights folded in."""

    qkv: Matrix  # (D, 3D); q scaled by Dh^-0.5; q and k with each head's rotary pairs side by side
    out: Matrix  # (D, D)
    gate_up: Matrix  # (D, 2I)
    down: Matrix  # (I, D)
    before: Tensor  # (D,): what is folded into qkv
    between: Tensor  # (D,): and into gate_up


class Decoder:
    """A float32 snapshot of a backbone on the CPU, made for reading and stepping; later training does not reach it."""

    @torch.no_grad()
    def __init__(self, backbone: Backbone):
        self.config = config = backbone.config
        self.embeddings = _snapshot(backbone.embeddings)
        self._root = config.hidden_size**0.5
        self._floor = torch.tensor((config.hidden_size * config.norm_eps) ** 0.5)
        self.inputs = self.embeddings  # (V + soft vectors, D): what ids are read as
        self.last_norm = _snapshot(backbone.model.norm.weight) * self._root
        self.layers = [self._fuse(layer) for layer in backbone.layers]
        self.head = Matrix(self.embeddings * self.last_norm)  # (D, V)
        half = config.head_size // 2
        cos, sin = (_snapshot(table[:, :half]) for table in (backbone.cos, backbone.sin))
        self.turns = torch.complex(cos, sin)  # (positions, Dh / 2)
        self._turns = torch.view_as_real(self.turns).flatten(1).numpy()  # (positions, Dh): cos and sin in turn

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
        """The layer and the last parts of a linear's name in the backbone; None where it has no such linear."""
        found = _LINEAR.fullmatch(linear)
        known = found is not None and int(found[1]) < len(self.layers) and found[2] in _HOMES
        return (int(found[1]), found[2]) if found is not None and known else None

    def size(self, linear: str) -> tuple[int, int]:
        """How many inputs and outputs it has."""
        D, inner = self.config.hidden_size, self.config.intermediate_size
        return {"gate_up": (D, inner), "down": (inner, D)}.get(_HOMES[linear], (D, D))

    @torch.no_grad()
    def fold(self, place: int, linear: str, factors: Factors) -> Factors:
        """The factors for what the fused matrices read and give."""
        layer, down, up = self.layers[place], factors.down, factors.up
        norm = {"qkv": layer.before, "gate_up": layer.between}.get(_HOMES[linear])
        if linear in GROUPS["qkv"][:2]:
            up = self._paired(up)
        if linear == GROUPS["qkv"][0]:
            up = up * self.config.head_size**-0.5
        return Factors(_snapshot(down if norm is None else down * norm), _snapshot(up))

    def logits(self, hidden: Tensor) -> Tensor:  # (N, D) before the last norm → (N, V)
        return self.head(self._unit(hidden))

    def normed(self, hidden: Tensor) -> Tensor:  # (N, D) → (N, D)
        """The backbone's final states."""
        return self._unit(hidden) * self.last_norm

    def read(self, ids: Tensor, past: Tensor | None = None, changes: Changes | None = None) -> tuple[Tensor, Tensor]:
        """ids (T,) that follow ``past`` → hidden (T, D) before the last norm, and keys and values (L, 2, H, P, Dh).

        ``past``: keys and values of the ids before, as returned here.
        """
        start = 0 if past is None else past.shape[3]
        end = start + len(ids)
        cache = self.embeddings.new_empty(len(self.layers), 2, self.config.num_heads, end, self.config.head_size)
        if past is not None:
            cache[:, :, :, :start] = past
        seen = torch.ones(len(ids), end, dtype=torch.bool).tril_(start) if start else None
        x = self.inputs[ids]
        for place, kept in enumerate(cache):
            q, keys_values = self._heads(place, x, self.turns[start:end], changes)
            kept[:, :, start:] = keys_values
            mixed = F.scaled_dot_product_attention(
                q[None], kept[None, 0], kept[None, 1], attn_mask=seen, is_causal=seen is None, scale=1.0
            )
            x = self._finish(place, x, mixed[0].transpose(0, 1).contiguous(), changes)
        return x, cache

    def step(self, ids: Tensor, lanes: Lanes, changes: Changes | None = None) -> Tensor:
        """The ids just drawn (N,) → hidden (N, D) before the last norm; ``lanes`` grow by one id a branch."""
        x = self.embeddings[ids]
        mixed = torch.empty(len(x), self.config.num_heads, self.config.head_size)
        for place, layer in enumerate(self.layers):
            unit = self._unit(x)
            qkv = layer.qkv(unit)
            if changes is not None:
                changes.add((place, "qkv"), unit, qkv, None)
            lanes.attend(place, qkv.view(len(x), 3, *mixed.shape[1:]), self._turns, mixed)
            x = self._finish(place, x, mixed, changes)
        lanes.length += 1
        return x

    def _heads(self, place: int, x: Tensor, turns: Tensor, changes: Changes | None) -> tuple[Tensor, Tensor]:
        """x (T, D), its positions' turns (T, Dh / 2) → rotated q (H, T, Dh), and rotated k with v (2, H, T, Dh)."""
        unit = self._unit(x)
        qkv = self.layers[place].qkv(unit)
        if changes is not None:
            changes.add((place, "qkv"), unit, qkv, None)
        qkv = qkv.view(len(x), 3, self.config.num_heads, -1).permute(1, 2, 0, 3).contiguous()
        torch.view_as_complex(qkv[:2].unflatten(-1, (-1, 2))).mul_(turns)
        return qkv[0], qkv[1:]

    def _finish(self, place: int, x: Tensor, mixed: Tensor, changes: Changes | None) -> Tensor:
        """x (T, D), mixed (T, H, Dh) → (T, D)"""
        layer, mixed = self.layers[place], mixed.view(x.shape)
        between = layer.out(mixed, x)
        if changes is not None:
            changes.add((place, "out"), mixed, between, x)
        unit = self._unit(between)
        inner = layer.gate_up(unit)
        if changes is not None:
            changes.add((place, "gate_up"), unit, inner, None)
        gate, up = inner.chunk(2, -1)
        gated = F.silu(gate).mul_(up)
        after = layer.down(gated, between)
        if changes is not None:
            changes.add((place, "down"), gated, after, between)
        return after

    def _unit(self, x: Tensor) -> Tensor:
        """x / sqrt(|x|² + D·eps): the RMS norm but for a factor sqrt(D), which the weights hold; three cheap calls."""
        return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).hypot_(self._floor)


def _snapshot(weight: Tensor) -> Tensor:
    return weight.detach().to("cpu", torch.float32, copy=True).contiguous()


class Lanes:
    """The keys and values of G lanes of n branches. Branch r is slot r % n of lane r // n.

    ``prefixes``: one (L, 2, H, P, Dh) a lane, whose first ``common`` ids are the same in all.
    ``capacity``: how many ids a branch may draw and feed back.
    """

    def __init__(self, prefixes: list[Tensor], common: int, width: int, capacity: int):
        L, _, heads, _, head_size = prefixes[0].shape
        self.num_branches, self.capacity = len(prefixes) * width, capacity
        self.length = 0  # ids drawn and fed back so far
        lengths = torch.tensor([prefix.shape[3] for prefix in prefixes])
        self.starts = lengths.repeat_interleave(width).numpy()  # (N,): the position of each branch's first drawn id
        self._rests = (lengths - common).numpy()  # (G,)
        rests = prefixes[0].new_zeros(L, 2, heads, len(prefixes), int(lengths.max()) - common, head_size)
        for lane, prefix in enumerate(prefixes):
            rests[:, :, :, lane, : prefix.shape[3] - common] = prefix[:, :, :, common:]
        self.drawn = rests.new_empty(L, 2, heads, self.num_branches, capacity, head_size)
        self._trunk, self._lanes = prefixes[0][:, :, :, :common].numpy(), rests.numpy()
        self._own = self.drawn.numpy()

    def attend(self, layer: int, qkv: Tensor, turns: np.ndarray, out: Tensor) -> None:
        """qkv (N, 3, H, Dh) of the ids just drawn → out (N, H, Dh), what they find; keys and values stay."""
        positions = self.starts + self.length
        trunk, lane, own = self._trunk[layer], self._lanes[layer], self._own[layer]
        attend(qkv.numpy(), turns, positions, trunk, lane, self._rests, own, self.length, out.numpy())

    def regrouped(self, rows: list[int], prefixes: list[Tensor], common: int, width: int) -> Lanes:
        """Only branches ``rows``, in that order, in new lanes."""
        lanes = Lanes(prefixes, common, width, self.capacity)
        lanes.drawn[:, :, :, :, : self.length] = self.drawn[:, :, :, rows, : self.length]
        lanes.length = self.length
        return lanes
