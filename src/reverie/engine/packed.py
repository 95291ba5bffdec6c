"""The decoder of bases in Llama layout, our own backbone among them: its weights fused once, prefixes read once, and N
rows moved on together.

Axes: L layers, H heads of queries, G of keys and values, Dh head size, P ids of prefixes, N rows, S slots of C ids
each for what rows draw. Keys and values live where most can share them: each prefix once in a pool, less what it has in
common with another, and only what a row draws itself in its own slot. A step is five matrix products a layer, and
between them a compiled loop (``attend.py``) and a few torch calls.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.engine.contract import Read, State, Traits
from reverie.engine.lora import GROUPS, FoldedExperts, LoraMix, LoraSum
from reverie.engine.packed_rows import PackedRows
from reverie.engine.products import Product, WeightKind, choose_weights, make_product
from reverie.engine.reading import Kept, Reading, holders_of
from reverie.experts.contract import Choice, ExpertSource, Factors, ResolvedExperts
from reverie.model import Backbone
from reverie.model.llama_layout import LlamaLayout
from reverie.tokens.id_map import IdMap

__all__ = ["PackedDecoder", "Weights"]

_HOMES = {linear: group for group, linears in GROUPS.items() for linear in linears}
_LINEAR = re.compile(r"model\.layers\.(\d+)\.(.+)")


class Weights(Protocol):
    """What a decoder is made of. ``LlamaBase`` is one."""

    config: LlamaLayout
    ids: IdMap

    def tensor(self, name: str) -> Tensor:
        """A tensor by its name in transformers, which is not changed."""


class _Own:
    """Our own backbone's weights, as they are now."""

    def __init__(self, backbone: Backbone):
        self._backbone, self.config = backbone, LlamaLayout.of_backbone(backbone.config)
        self.ids = IdMap(backbone.config.vocab_size, 0)

    def tensor(self, name: str) -> Tensor:
        found: Any = reduce(getattr, name.split("."), self._backbone)
        tensor: Tensor = found.detach()
        return tensor


@dataclass(frozen=True)
class FusedLayer:
    """One layer's matrices, norm weights folded in."""

    qkv: Product  # (D, (H + 2G) Dh); q scaled by Dh^-0.5; q and k with each head's rotary pairs side by side
    out: Product  # (H Dh, D)
    gate_up: Product  # (D, 2I)
    down: Product  # (I, D)
    before: Tensor  # (D,): what is folded into qkv
    between: Tensor  # (D,): and into gate_up
    head_norms: Tensor | None  # (H + G, Dh): of queries, which are scaled here then, and of keys
    turned: bool  # has positions


class PackedDecoder:
    """A snapshot of a base on the CPU, made for reading and stepping; later training does not reach it.

    Ids are the grammar's. ``kind``: how it keeps its matrices (see ``products``); all else is float32. Keys and values
    take about 10 kB an id at width 256 and 5 layers.
    """

    traits = Traits()

    @torch.no_grad()
    def __init__(
        self, base: Backbone | Weights, source: ExpertSource | None, expert_bytes: int, kind: WeightKind = "fp32"
    ):
        weights: Weights = _Own(base) if isinstance(base, Backbone) else base
        self.config = config = weights.config
        self.kind = choose_weights(kind)
        self.vocab_size, self.hidden_size = config.vocab_size, config.hidden_size
        self.max_positions = config.max_positions
        self._root = config.hidden_size**0.5
        self._floor = torch.tensor((config.hidden_size * config.norm_eps) ** 0.5)
        self._head_floor = torch.tensor((config.head_size * config.norm_eps) ** 0.5)
        embeddings = weights.tensor("model.embed_tokens.weight")
        self._embeddings = weights.ids.rotate_rows(embeddings)  # (V, D), as exact as they were saved
        self._vectors = torch.empty(0, config.hidden_size)  # (n, D): what ids from V on are read as
        self.last_norm = _snapshot(weights.tensor("model.norm.weight")) * self._root
        self.layers = [self._fuse(weights, place) for place in range(config.num_layers)]
        head = self._embeddings if config.tied else weights.ids.rotate_rows(weights.tensor("lm_head.weight"))
        # Logits in bf16 lie an eighth apart: whole words tie. So the head's product stays in float32 there.
        self.head = make_product("fp32" if self.kind == "bf16" else self.kind, head * self.last_norm)  # (D, V)
        self.turns = config.turns()  # (positions, Dh / 2)
        self._experts = FoldedExperts(self, source, expert_bytes)

    def _fuse(self, weights: Weights, place: int) -> FusedLayer:
        config = self.config

        def get(*names: str, kind: str = "weight") -> Tensor:
            parts = [weights.tensor(f"model.layers.{place}.{name}.{kind}").float() for name in names]
            parts = [self._turned(name, part) for name, part in zip(names, parts, strict=True)]
            return torch.cat(parts) if len(parts) > 1 else parts[0]

        def matrix(group: str, biased: bool, norm: Tensor | None = None) -> Product:
            weight, bias = get(*GROUPS[group]), get(*GROUPS[group], kind="bias") if biased else None
            return make_product(self.kind, weight if norm is None else weight * norm, bias)

        before, between = get("input_layernorm") * self._root, get("post_attention_layernorm") * self._root
        return FusedLayer(
            matrix("qkv", config.qkv_bias, before),
            matrix("out", config.out_bias),
            matrix("gate_up", config.mlp_bias, between),
            matrix("down", config.mlp_bias),
            before,
            between,
            self._head_norms(get("self_attn.q_norm"), get("self_attn.k_norm")) if config.head_norms else None,
            place not in config.unturned,
        )

    def _turned(self, linear: str, weight: Tensor) -> Tensor:
        """What ``linear`` holds (out, …) as it is fused: q scaled, q and k paired."""
        if linear not in GROUPS["qkv"][:2]:
            return weight
        scaled = linear == GROUPS["qkv"][0] and not self.config.head_norms  # else the norm is
        return self._paired(weight) * (self.config.head_size**-0.5 if scaled else 1.0)

    def _paired(self, weight: Tensor) -> Tensor:
        """(n Dh, …) with each head's rotary pairs side by side: 0, Dh/2, 1, Dh/2 + 1, … Products of q and k do not care
        in which order both are summed."""
        heads = weight.reshape(-1, 2, self.config.head_size // 2, *weight.shape[1:])
        return heads.transpose(1, 2).reshape(weight.shape)

    def _head_norms(self, q: Tensor, k: Tensor) -> Tensor:
        """(H + G, Dh): with the root of Dh, which a unit vector lacks; for q with its scale, one over that."""
        config, k = self.config, self._paired(k) * self.config.head_size**0.5
        return torch.cat((self._paired(q).expand(config.num_heads, -1), k.expand(config.num_kv_heads, -1)))

    def find(self, linear: str) -> tuple[int, str] | None:
        found = _LINEAR.fullmatch(linear)
        known = found is not None and int(found[1]) < len(self.layers) and found[2] in _HOMES
        return (int(found[1]), found[2]) if found is not None and known else None

    def size(self, linear: str) -> tuple[int, int]:
        width_out, width_in = self.config.shapes[f"model.layers.0.{linear}.weight"]
        return width_in, width_out

    @torch.no_grad()
    def fold(self, place: int, linear: str, factors: Factors) -> Factors:
        layer, down = self.layers[place], factors.down
        norm = {"qkv": layer.before, "gate_up": layer.between}.get(_HOMES[linear])
        return Factors(_snapshot(down if norm is None else down * norm), _snapshot(self._turned(linear, factors.up)))

    # the contract -------------------------------------------------------------------------------------------

    def resolve(self, choice: Choice) -> ResolvedExperts:
        return self._experts.resolve(choice)

    def prepare(self, experts: Sequence[ResolvedExperts]) -> None:
        self._experts.prepare(experts)

    def set_prefix_embeddings(self, vectors: Tensor) -> None:
        self._vectors = vectors

    @torch.inference_mode()
    def read(self, reads: Sequence[Read]) -> list[tuple[Tensor, State]]:
        counts = [len(one.ids) for one in reads]
        mix = self._experts.mix([one.experts for one in reads])
        pasts: list[Kept] = [Kept() if one.past is None else one.past.kept for one in reads]
        hidden, kept = self._read([one.ids for one in reads], pasts, mix and mix.spread(counts))
        wanted = torch.cat([part[-one.keep :] for one, part in zip(reads, hidden.split(counts), strict=True)])
        logits = self.logits(wanted).split([min(one.keep, len(one.ids)) for one in reads])
        states = []
        for one, past, each, part in zip(reads, pasts, logits, kept, strict=True):
            known = one.ids if one.past is None else np.concatenate((one.past.ids, one.ids))
            states.append((each, State(known, each[-1].clone(), past.after(part))))
        return states

    def cut(self, state: State, length: int) -> State:
        return State(state.ids[:length], state.logits[:0], Kept(tuple(state.kept.between(0, length))))

    def rows(self) -> PackedRows:
        return PackedRows(self)

    @torch.inference_mode()
    def embed(self, texts: Sequence[np.ndarray], contextual: bool, layers: int = 0) -> Tensor:
        holders = holders_of(texts)  # what is only the beginning of another text is not read again
        read = sorted(set(holders))
        given = [texts[place] for place in read]
        if contextual:
            hidden, _ = self._read(given, [Kept()] * len(given), None, layers)
            states = self._unit(hidden) * self.last_norm
        else:
            states = self.embedded(torch.from_numpy(np.concatenate(given)))
        parts = dict(zip(read, states.split([len(ids) for ids in given]), strict=True))
        return torch.stack([parts[holder][: len(ids)].mean(0) for ids, holder in zip(texts, holders, strict=True)])

    @torch.inference_mode()
    def weigh(self, ids: np.ndarray, experts: ResolvedExperts) -> Tensor:
        weighing = self._experts.weighing(experts)
        self._read([ids], [Kept()], weighing)
        return weighing.shares

    # tensors ------------------------------------------------------------------------------------------------

    def mix(self, experts: Sequence[ResolvedExperts]) -> LoraMix | None:
        """What the experts of some rows add; None where nobody has any."""
        return self._experts.mix(experts)

    def embedded(self, ids: Tensor) -> Tensor:  # (N,) → (N, D)
        if not len(self._vectors):
            return self._embeddings[ids].float()
        x = self._embeddings[ids.clamp_max(self.vocab_size - 1)].float()
        given = ids >= self.vocab_size
        x[given] = self._vectors[ids[given] - self.vocab_size]
        return x

    def logits(self, hidden: Tensor) -> Tensor:  # (N, D) before the last norm → (N, V)
        return self.head(self._unit(hidden))

    def _read(
        self, texts: Sequence[np.ndarray], pasts: Sequence[Kept], lora: LoraSum | None, layers: int = 0
    ) -> tuple[Tensor, list[Tensor]]:
        """The ids (T,) of each text, which follow its past → hidden (ΣT, D) before the last norm, one text after
        another, and each text's own keys and values (L, 2, G, T, Dh). ``layers``: only the first ones; 0: all.
        """
        counts, starts = [len(ids) for ids in texts], [len(past) for past in pasts]
        reading = Reading(counts, pasts)
        turns = torch.cat([self.turns[start : start + count] for start, count in zip(starts, counts, strict=True)])
        x = self.embedded(torch.from_numpy(np.concatenate(texts)))
        mixed = x.new_empty(len(x), self.config.num_heads, self.config.head_size)
        kept = []
        for place in range(min(layers or len(self.layers), len(self.layers))):
            q, kv = self._heads(place, x, turns, lora)
            kept.append(kv)
            reading.attend(place, q, kv, mixed)
            x = self._finish(place, x, mixed, lora)
        return x, [torch.stack(parts) for parts in zip(*(kv.split(counts, 2) for kv in kept), strict=True)]

    def step(self, ids: Tensor, rows: PackedRows, lora: LoraSum | None) -> Tensor:
        """One id a row (N,) → logits (N, V); keys and values go to ``rows``."""
        x = self.embedded(ids)
        mixed = torch.empty(len(x), self.config.num_heads, self.config.head_size)
        for place in range(len(self.layers)):
            rows.attend(place, self._qkv(place, x, lora), mixed)
            x = self._finish(place, x, mixed, lora)
        return self.logits(x)

    def _qkv(self, place: int, x: Tensor, lora: LoraSum | None) -> Tensor:
        """x (N, D) → queries, keys and values (N, H + 2G, Dh), not turned yet."""
        layer, unit = self.layers[place], self._unit(x)
        qkv = layer.qkv(unit)
        if lora is not None:
            lora.add((place, "qkv"), unit, qkv, None)
        heads = qkv.view(len(x), -1, self.config.head_size)
        if layer.head_norms is not None:
            normed = heads[:, : len(layer.head_norms)]
            normed /= torch.linalg.vector_norm(normed, dim=-1, keepdim=True).hypot_(self._head_floor)
            normed *= layer.head_norms
        return heads

    def _heads(self, place: int, x: Tensor, turns: Tensor, lora: LoraSum | None) -> tuple[Tensor, Tensor]:
        """x (T, D), its positions' turns (T, Dh / 2) → turned q (H, T, Dh), and turned k with v (2, G, T, Dh)."""
        heads, groups = self.config.num_heads, self.config.num_kv_heads
        qkv = self._qkv(place, x, lora).transpose(0, 1).contiguous()
        if self.layers[place].turned:
            torch.view_as_complex(qkv[: heads + groups].unflatten(-1, (-1, 2))).mul_(turns)
        return qkv[:heads], qkv[heads:].unflatten(0, (2, groups))

    def _finish(self, place: int, x: Tensor, mixed: Tensor, lora: LoraSum | None) -> Tensor:
        """x (T, D), mixed (T, H, Dh) → (T, D)"""
        layer, mixed = self.layers[place], mixed.flatten(1)
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
