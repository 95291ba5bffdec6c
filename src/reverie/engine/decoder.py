"""The tensors of decoding: the backbone's weights fused once, prefixes read once, and N branches moved on together.

Axes: L layers, H heads, Dh head size, P ids of the longest prefix, S ids drawn so far, G lanes of n branches each
(N = G × n). The branches of a lane share one prefix, whose keys and values are stored and read once for all of them;
only what a branch draws itself is stored per branch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.model import Backbone
from reverie.model.backbone import Layer

__all__ = ["Decoder", "Lanes"]


@dataclass(frozen=True)
class FusedLayer:
    """One layer's matrices, laid out (in, out), norm weights folded in."""

    qkv: Tensor  # (D, 3D); q scaled by Dh^-0.5; q and k with each head's rotary pairs side by side
    out: Tensor  # (D, D)
    gate_up: Tensor  # (D, 2I)
    down: Tensor  # (I, D)


class Decoder:
    """A float32 snapshot of a backbone on the CPU, made for reading and stepping; later training does not reach it."""

    @torch.no_grad()
    def __init__(self, backbone: Backbone):
        self.config = config = backbone.config
        self.embeddings = _snapshot(backbone.embeddings)
        self._root = config.hidden_size**0.5
        self._floor = torch.tensor((config.hidden_size * config.norm_eps) ** 0.5)
        self.last_norm = _snapshot(backbone.model.norm.weight) * self._root
        self.layers = [self._fuse(layer) for layer in backbone.layers]
        self.head = (self.embeddings * self.last_norm).t().contiguous()  # (D, V)
        half = config.head_size // 2
        cos, sin = (_snapshot(table[:, :half]) for table in (backbone.cos, backbone.sin))
        self.turns = torch.complex(cos, sin)  # (positions, Dh / 2)

    def _fuse(self, layer: Layer) -> FusedLayer:
        attention, unit = layer.self_attn, layer.mlp
        before, between = layer.input_layernorm.weight * self._root, layer.post_attention_layernorm.weight * self._root
        pairs = torch.arange(self.config.head_size).view(2, -1).t().reshape(-1)  # 0, Dh/2, 1, Dh/2 + 1, …

        def paired(weight: Tensor) -> Tensor:  # dot products of q and k do not care in which order both are summed
            return weight.view(self.config.num_heads, self.config.head_size, -1)[:, pairs].reshape(weight.shape)

        q = paired(attention.q_proj.weight) * self.config.head_size**-0.5
        qkv = torch.cat((q, paired(attention.k_proj.weight), attention.v_proj.weight)) * before
        gate_up = torch.cat((unit.gate_proj.weight, unit.up_proj.weight)) * between
        matrices = (qkv, attention.o_proj.weight, gate_up, unit.down_proj.weight)
        return FusedLayer(*(_snapshot(matrix.t()) for matrix in matrices))

    def logits(self, hidden: Tensor) -> Tensor:  # (N, D) before the last norm → (N, V)
        return self._unit(hidden) @ self.head

    def normed(self, hidden: Tensor) -> Tensor:  # (N, D) → (N, D)
        """The backbone's final states."""
        return self._unit(hidden) * self.last_norm

    def read(self, ids: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """ids (T,) that follow ``past`` → hidden (T, D) before the last norm, and keys and values (L, 2, H, P, Dh).

        ``past``: keys and values of the ids before, as returned here.
        """
        start = 0 if past is None else past.shape[3]
        T, heads, head_size = len(ids), self.config.num_heads, self.config.head_size
        turns = self.turns[start : start + T]
        cache = self.embeddings.new_empty(len(self.layers), 2, heads, start + T, head_size)
        if past is not None:
            cache[:, :, :, :start] = past
        seen = torch.ones(T, start + T, dtype=torch.bool).tril_(start) if start else None
        x = self.embeddings[ids]
        for layer, kept in zip(self.layers, cache, strict=True):
            q, k, v = self._heads(layer, x, (T, heads), (1, 2, 0, 3), turns)  # each (H, T, Dh)
            kept[0, :, start:], kept[1, :, start:] = k, v
            mixed = F.scaled_dot_product_attention(
                q[None], kept[None, 0], kept[None, 1], attn_mask=seen, is_causal=seen is None, scale=1.0
            )
            x = self._finish(layer, x, mixed[0].transpose(0, 1).reshape(T, -1))
        return x, cache

    def step(self, ids: Tensor, lanes: Lanes) -> Tensor:
        """The ids just drawn (N,) → hidden (N, D) before the last norm; ``lanes`` grow by one id a branch."""
        G, n, heads, head_size = lanes.num_lanes, lanes.width, self.config.num_heads, self.config.head_size
        P, S = lanes.prefix_length, lanes.length
        turns = self.turns[lanes.starts + S].view(G, 1, 1, -1)
        x = self.embeddings[ids]
        for layer, prefix, drawn in zip(self.layers, lanes.prefixes, lanes.drawn, strict=True):
            q, k, v = self._heads(layer, x, (G, n, heads), (2, 0, 3, 1, 4), turns)  # each (G, H, n, Dh)
            drawn[0, :, S], drawn[1, :, S] = k.view(-1, head_size), v.view(-1, head_size)
            over_prefix = torch.bmm(q.view(G * heads, n, head_size), prefix[0].transpose(1, 2))  # (GH, n, P)
            if lanes.padding is not None:
                over_prefix += lanes.padding
            over_drawn = torch.bmm(q.view(-1, 1, head_size), drawn[0, :, : S + 1].transpose(1, 2))  # (GHn, 1, S + 1)
            scores = torch.cat((over_prefix, over_drawn.view(G * heads, n, S + 1)), -1)
            probs = torch.softmax(scores, -1)
            mixed = torch.bmm(probs[..., :P], prefix[1])  # (GH, n, Dh)
            mixed += torch.bmm(probs[..., P:].reshape(-1, 1, S + 1), drawn[1, :, : S + 1]).view(mixed.shape)
            mixed = mixed.view(G, heads, n, head_size).transpose(1, 2)
            x = self._finish(layer, x, mixed.reshape(G * n, -1))
        lanes.length += 1
        return x

    def _heads(
        self, layer: FusedLayer, x: Tensor, shape: tuple[int, ...], order: tuple[int, ...], turns: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated q and k, and v, split into heads; ``shape`` = (…, H), ``order`` brings the three to the front."""
        qkv = (self._unit(x) @ layer.qkv).view(*shape[:-1], 3, shape[-1], -1).permute(order).contiguous()
        torch.view_as_complex(qkv[:2].unflatten(-1, (-1, 2))).mul_(turns)
        q, k, v = qkv
        return q, k, v

    def _finish(self, layer: FusedLayer, x: Tensor, mixed: Tensor) -> Tensor:  # all (N, D)
        x = torch.addmm(x, mixed, layer.out)
        gate, up = (self._unit(x) @ layer.gate_up).chunk(2, -1)
        return torch.addmm(x, F.silu(gate).mul_(up), layer.down)

    def _unit(self, x: Tensor) -> Tensor:
        """x / sqrt(|x|² + D·eps): the RMS norm but for a factor sqrt(D), which the weights hold; three cheap calls."""
        return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).hypot_(self._floor)


def _snapshot(weight: Tensor) -> Tensor:
    return weight.detach().to("cpu", torch.float32, copy=True).contiguous()


class Lanes:
    """The caches of G lanes of n branches. Branch r is slot r % n of lane r // n.

    ``prefixes``: one (L, 2, H, P_g, Dh) a lane. ``capacity``: how many ids a branch may draw and feed back.
    """

    def __init__(self, prefixes: list[Tensor], width: int, capacity: int):
        lengths = [prefix.shape[3] for prefix in prefixes]
        L, _, heads, _, head_size = prefixes[0].shape
        self.num_lanes, self.width, self.capacity = len(prefixes), width, capacity
        self.prefix_length = longest = max(lengths)
        self.length = 0  # ids drawn and fed back so far
        self.starts = torch.tensor(lengths)  # (G,): the position of a lane's first drawn id
        stacked = prefixes[0].new_zeros(L, 2, len(prefixes), heads, longest, head_size)
        for lane, prefix in enumerate(prefixes):
            stacked[:, :, lane, :, : lengths[lane]] = prefix
        self.prefixes = stacked.flatten(2, 3)  # (L, 2, GH, P, Dh)
        self.padding = None  # (GH, 1, P): -inf where a shorter prefix has ended
        if min(lengths) < longest:
            ended = torch.arange(longest) >= self.starts.repeat_interleave(heads)[:, None, None]
            self.padding = torch.zeros(ended.shape).masked_fill_(ended, float("-inf"))
        self.drawn = stacked.new_empty(L, 2, len(prefixes) * heads * width, capacity, head_size)  # (L, 2, GHn, S, Dh)

    def regrouped(self, rows: list[int], prefixes: list[Tensor], width: int) -> Lanes:
        """Only branches ``rows``, in that order, in new lanes."""
        heads = self.drawn.shape[2] // (self.num_lanes * self.width)
        lanes = Lanes(prefixes, width, self.capacity)
        row = torch.tensor(rows).view(lanes.num_lanes, 1, width)
        head = torch.arange(heads).view(1, heads, 1)
        old = ((row // self.width * heads + head) * self.width + row % self.width).flatten()
        lanes.drawn[:, :, :, : self.length] = self.drawn[:, :, old, : self.length]
        lanes.length = self.length
        return lanes
