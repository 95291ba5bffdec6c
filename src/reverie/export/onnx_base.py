"""A base in Llama layout as one ONNX graph: ids and what was read before → logits, and what was read by then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.generator.onnx_graphs import Part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reverie.model.llama_layout import LlamaLayout

__all__ = ["BasePart"]


class BasePart(Part):
    """ids int64 (B, T), keys and values float32 (L, B, G, P, Dh) of P ids before them, none where P is 0 → logits
    float32 (B, T, V), keys and values of all P + T.

    All rows of a batch are of one length: nothing is padded.
    """

    inputs, outputs = ("ids", "past_keys", "past_values"), ("logits", "keys", "values")

    def __init__(self, layout: LlamaLayout, tensors: Iterator[tuple[str, Tensor]]):
        super().__init__()
        self.layout = layout
        self._keys = {}
        for place, (name, tensor) in enumerate(tensors):
            self._keys[name] = f"t{place}"
            self.register_buffer(f"t{place}", tensor)
        turns = layout.turns()
        self.register_buffer("cos", turns.real.contiguous())
        self.register_buffer("sin", turns.imag.contiguous())

    cos: Tensor
    sin: Tensor

    def examples(self) -> tuple[Tensor, ...]:
        layout, draw = self.layout, torch.Generator().manual_seed(0)
        ids = torch.randint(len(self._tensor("model.embed_tokens.weight")), (2, 3), generator=draw)
        read = (layout.num_layers, 2, layout.num_kv_heads, 4, layout.head_size)
        return ids, torch.randn(read, generator=draw), torch.randn(read, generator=draw)

    def dynamic(self) -> tuple[dict[int, object], ...]:
        free = torch.export.Dim.DYNAMIC
        return {0: free, 1: free}, {1: free, 3: free}, {1: free, 3: free}

    def forward(self, ids: Tensor, past_keys: Tensor, past_values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        layout, read = self.layout, past_keys.shape[3]
        places = torch.arange(ids.shape[1], device=ids.device) + read
        cos, sin = self.cos[places], self.sin[places]
        seen = torch.arange(read + ids.shape[1], device=ids.device) <= places[:, None]  # (T, P + T)
        x = F.embedding(ids, self._tensor("model.embed_tokens.weight"))
        keys, values = [], []
        for place in range(layout.num_layers):
            own = f"model.layers.{place}"
            h = self._norm(x, f"{own}.input_layernorm")
            q, k, v = (self._heads(h, f"{own}.self_attn", one) for one in "qkv")
            if place not in layout.unturned:
                q, k = _turned(q, cos, sin), _turned(k, cos, sin)
            k, v = torch.cat((past_keys[place], k), 2), torch.cat((past_values[place], v), 2)
            keys.append(k)
            values.append(v)
            x = x + self._linear(_attend(q, k, v, seen), f"{own}.self_attn.o_proj")
            h = self._norm(x, f"{own}.post_attention_layernorm")
            gate = F.silu(self._linear(h, f"{own}.mlp.gate_proj")) * self._linear(h, f"{own}.mlp.up_proj")
            x = x + self._linear(gate, f"{own}.mlp.down_proj")
        table = "model.embed_tokens.weight" if layout.tied else "lm_head.weight"
        logits = F.linear(self._norm(x, "model.norm"), self._tensor(table))
        return logits, torch.stack(keys), torch.stack(values)

    def _tensor(self, name: str) -> Tensor:
        return self.get_buffer(self._keys[name])

    def _linear(self, x: Tensor, name: str) -> Tensor:
        bias = self._tensor(f"{name}.bias") if f"{name}.bias" in self._keys else None
        return F.linear(x, self._tensor(f"{name}.weight"), bias)

    def _norm(self, x: Tensor, name: str) -> Tensor:
        scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + self.layout.norm_eps)
        normed: Tensor = x * scale * self._tensor(f"{name}.weight")
        return normed

    def _heads(self, h: Tensor, own: str, kind: str) -> Tensor:  # (B, T, D) → (B, heads, T, Dh)
        split: Tensor = self._linear(h, f"{own}.{kind}_proj").unflatten(-1, (-1, self.layout.head_size))
        if self.layout.head_norms and kind != "v":
            split = self._norm(split, f"{own}.{kind}_norm")
        return split.transpose(1, 2)


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:  # (B, heads, T, Dh), (T, Dh / 2)
    left, right = x.chunk(2, -1)
    return torch.cat((left * cos - right * sin, right * cos + left * sin), -1)


def _attend(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:  # → (B, T, heads · Dh)
    groups = q.shape[1] // k.shape[1]
    if groups > 1:
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
    scores = scores.masked_fill(~seen, float("-inf"))
    mixed: Tensor = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
    return mixed
