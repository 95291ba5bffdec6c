"""The Llama layout: what of a base's ``config.json`` says how its weights are computed with.

Llama, Mistral, Qwen 2 and 3 and SmolLM3 are one computation with a few choices: how many key heads serve the query
heads, biases, norms of single heads, how positions turn. Whoever asks ``LlamaLayout.from_transformers`` gets the
choices, or is told what it does not know: then transformers itself has to run the base.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from reverie.errors import BundleError

if TYPE_CHECKING:
    from torch import Tensor

    from reverie.model.backbone import BackboneConfig

__all__ = ["LlamaLayout", "find_layout"]

_ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
}
_BIASED = {"llama": "attention_bias", "qwen3": "attention_bias", "smollm3": "attention_bias"}  # of all four projections
_WINDOWED = ("qwen2", "qwen3", "smollm3")  # these slide only where ``use_sliding_window`` says so


class _Unknown(BundleError):
    """A base that is not in this layout, or has a choice that it does not know."""


@dataclass(frozen=True)
class LlamaLayout:
    """Sizes and choices of a base in Llama layout."""

    vocab_size: int  # V: ids, the grammar's included
    hidden_size: int  # D
    intermediate_size: int  # I: width of the gated unit
    num_layers: int  # L
    num_heads: int  # H, of queries
    num_kv_heads: int  # G, of keys and values; each serves H / G of the queries
    head_size: int  # Dh, even; D / H need not be it
    max_positions: int  # longest sequence, in ids
    norm_eps: float
    rope: tuple[tuple[str, Any], ...]  # as ``rope_parameters`` of transformers: the type, theta, and what it needs
    tied: bool  # the output weights are the embeddings
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    head_norms: bool = False  # an RMS norm over each head of queries and keys, before they are turned
    unturned: frozenset[int] = frozenset()  # layers without positions
    architecture: str = "LlamaForCausalLM"

    @classmethod
    def of_backbone(cls, config: BackboneConfig) -> LlamaLayout:
        """Our own backbone's."""
        return cls(
            config.vocab_size,
            config.hidden_size,
            config.intermediate_size,
            config.num_layers,
            config.num_heads,
            config.num_heads,
            config.head_size,
            config.max_positions,
            config.norm_eps,
            (("rope_theta", config.rope_theta), ("rope_type", "default")),
            tied=True,
        )

    @classmethod
    def from_transformers(cls, fields: Mapping[str, Any]) -> LlamaLayout:
        """Reads a ``config.json``. Raises BundleError naming the first thing that it does not know."""
        kind = fields.get("model_type")
        if kind not in _ARCHITECTURES:
            raise _Unknown(f"a base of type {kind!r} is not in Llama layout")
        _require(fields, "architectures", ([_ARCHITECTURES[kind]], None))
        _require(fields, "hidden_act", ("silu", "swish"))
        _require(fields, "quantization_config", (None,))
        _require(fields, "is_encoder_decoder", (False, None))
        heads = _whole(fields, "num_attention_heads")
        hidden, layers = _whole(fields, "hidden_size"), _whole(fields, "num_hidden_layers")
        if fields.get("head_dim") is None and kind == "qwen3":
            raise _Unknown("a base of type qwen3 without head_dim is not known")
        biased = fields.get(_BIASED.get(kind, ""), False)
        layout = cls(
            vocab_size=_whole(fields, "vocab_size"),
            hidden_size=hidden,
            intermediate_size=_whole(fields, "intermediate_size"),
            num_layers=layers,
            num_heads=heads,
            num_kv_heads=_whole(fields, "num_key_value_heads"),
            head_size=hidden // heads if fields.get("head_dim") is None else _whole(fields, "head_dim"),
            max_positions=_whole(fields, "max_position_embeddings"),
            norm_eps=_number(fields, "rms_norm_eps"),
            rope=_rope(fields),
            tied=_flag(fields, "tie_word_embeddings", kind == "smollm3"),
            qkv_bias=kind == "qwen2" or bool(biased),
            out_bias=bool(biased),
            mlp_bias=kind in ("llama", "smollm3") and _flag(fields, "mlp_bias", False),
            head_norms=kind == "qwen3",
            unturned=_unturned(fields, layers) if kind == "smollm3" else frozenset(),
            architecture=_ARCHITECTURES[kind],
        )
        if layout.head_size % 2 or heads % layout.num_kv_heads:
            raise _Unknown(
                f"heads of {layout.head_size} values, {heads} of queries and {layout.num_kv_heads} of keys, do not fit"
            )
        _refuse_windows(fields, kind, layout.max_positions)
        return layout

    @property
    def kv_size(self) -> int:
        """Outputs of the key projection, and of the value projection."""
        return self.num_kv_heads * self.head_size

    @property
    def q_size(self) -> int:
        return self.num_heads * self.head_size

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor that the base has, under transformers' names."""
        D, inner = self.hidden_size, self.intermediate_size
        linears = {
            "self_attn.q_proj": (self.q_size, D, self.qkv_bias),
            "self_attn.k_proj": (self.kv_size, D, self.qkv_bias),
            "self_attn.v_proj": (self.kv_size, D, self.qkv_bias),
            "self_attn.o_proj": (D, self.q_size, self.out_bias),
            "mlp.gate_proj": (inner, D, self.mlp_bias),
            "mlp.up_proj": (inner, D, self.mlp_bias),
            "mlp.down_proj": (D, inner, self.mlp_bias),
        }
        layer: dict[str, tuple[int, ...]] = {
            "input_layernorm.weight": (D,),
            "post_attention_layernorm.weight": (D,),
            **{f"{name}.weight": (out, width) for name, (out, width, _) in linears.items()},
            **{f"{name}.bias": (out,) for name, (out, _, biased) in linears.items() if biased},
        }
        if self.head_norms:
            layer |= {"self_attn.q_norm.weight": (self.head_size,), "self_attn.k_norm.weight": (self.head_size,)}
        table = (self.vocab_size, D)
        return {
            "model.embed_tokens.weight": table,
            "model.norm.weight": (D,),
            **({} if self.tied else {"lm_head.weight": table}),
            **{
                f"model.layers.{place}.{name}": shape
                for place in range(self.num_layers)
                for name, shape in layer.items()
            },
        }

    def turns(self) -> Tensor:
        """How far each position turns each pair of a head: complex64 (max_positions, Dh / 2)."""
        from reverie.model.rotary import rotary_turns

        return rotary_turns(dict(self.rope), self.head_size, self.max_positions)


def find_layout(fields: Mapping[str, Any]) -> LlamaLayout | None:
    """The layout that a ``config.json`` says; None where transformers itself has to run the base."""
    try:
        return LlamaLayout.from_transformers(fields)
    except _Unknown:
        return None


def _rope(fields: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """transformers 5 has all in ``rope_parameters``; before, ``rope_scaling`` stood beside ``rope_theta``."""
    from reverie.model.rotary import ROPE_FIELDS

    given = fields.get("rope_parameters") or fields.get("rope_scaling") or {}
    if not isinstance(given, dict):
        raise _Unknown(f"rope parameters are an object, got {given!r}")
    given = {"rope_theta": fields.get("rope_theta"), **given}
    kind = given.pop("type", None)
    given.setdefault("rope_type", kind or "default")
    if given["rope_type"] not in ROPE_FIELDS:
        raise _Unknown(f"positions of type {given['rope_type']!r} are not known")
    needed, possible = ROPE_FIELDS[given["rope_type"]]
    if strange := sorted(given.keys() - {"rope_type", "rope_theta", *needed, *possible}):
        raise _Unknown(f"rope parameters with {strange[0]} are not known")
    given = {name: value for name, value in given.items() if value is not None}
    for name in ("rope_theta", *needed):
        _number(given, name)
    for name in possible & given.keys() - {"truncate"}:
        _number(given, name)
    return tuple(sorted(given.items()))


def _unturned(fields: Mapping[str, Any], num_layers: int) -> frozenset[int]:
    turned = fields.get("no_rope_layers")
    if not isinstance(turned, list) or len(turned) != num_layers or not {*turned} <= {0, 1}:
        raise _Unknown("no_rope_layers has a 0 or 1 for every layer")
    return frozenset(place for place, one in enumerate(turned) if not one)


def _refuse_windows(fields: Mapping[str, Any], kind: str, max_positions: int) -> None:
    """Windows that some layer's attention slides over are not known; such as no sequence outgrows do not matter."""
    window = fields.get("sliding_window", 4096 if kind == "mistral" else None)
    if kind == "llama" or (kind in _WINDOWED and not fields.get("use_sliding_window")):
        window = None
    if window is not None and (not isinstance(window, int) or window < max_positions):
        raise _Unknown(f"a sliding window of {window!r} ids is not known")
    if window is None and {*(fields.get("layer_types") or ())} - {"full_attention"}:
        raise _Unknown(f"layers of types {fields['layer_types']!r} are not known")


def _require(fields: Mapping[str, Any], name: str, allowed: tuple[Any, ...]) -> None:
    value = fields.get(name)
    if value not in allowed:
        raise _Unknown(f"{name} of {value!r} is not known")


def _whole(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _Unknown(f"{name} of {value!r} is no whole number of at least 1")
    return value


def _number(fields: Mapping[str, Any], name: str) -> float:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise _Unknown(f"{name} of {value!r} is no positive number")
    return value


def _flag(fields: Mapping[str, Any], name: str, default: bool) -> bool:
    value = fields.get(name, default)
    if not isinstance(value, bool):
        raise _Unknown(f"{name} of {value!r} is neither true nor false")
    return value
