"""GGUF files as llama.cpp's own converters write them: a base in Llama layout, and LoRA adapters of it.

Two things are not as they lie in a folder of transformers. Llama's rotary pairs are neighbours in llama.cpp and halves
of a head in transformers, so rows of queries and keys are put in another order (Qwen's are not). And positions that
are stretched as in Llama 3.1 are a tensor of factors, not settings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.errors import BundleError, ExpertError, MissingExtraError
from reverie.experts.contract import Adapter
from reverie.export.source import Source
from reverie.export.vocabulary import GgufWords, gguf_words

if TYPE_CHECKING:
    from torch import Tensor

    from reverie.model.llama_layout import LlamaLayout

__all__ = ["need_gguf", "write_adapter", "write_base"]

_ARCHITECTURES = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
    "SmolLM3ForCausalLM": "smollm3",
}
_TURNED = ("llama", "smollm3")  # whose rows of queries and keys llama.cpp has in its own order
_FILE_TYPES = {"f32": 0, "f16": 1, "q8_0": 7}
_BLOCK = 32  # values of a row that share a scale in q8_0


def need_gguf() -> None:
    """Raises MissingExtraError where the package ``gguf`` is not installed."""
    try:
        import gguf  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("a GGUF file", "bases") from error


def write_base(
    source: Source, path: Path, kind: str, merged: Adapter | None = None, words: GgufWords | None = None
) -> GgufWords:
    """Write the base to ``path`` with its matrices as ``kind``, ``merged`` added to its linears, and ``words``, by
    default those of its tokenizer, which are returned.

    Raises BundleError for a base or tokenizer that llama.cpp does not know, ExpertError where ``merged`` does not fit.
    """
    need_gguf()
    import gguf

    layout = source.base.config
    arch = _architecture(layout)
    words = words or gguf_words(source.tokenizer, source.num_ids, source.specials)
    writer = gguf.GGUFWriter(path, arch)
    _write_settings(writer, source, layout, arch, kind)
    _write_words(writer, source, words)
    tensors = _Tensors(source, layout, arch, kind, merged)
    tensors.announce(writer)
    tensors.write(writer)
    return words


def write_adapter(source: Source, adapter: Adapter, path: Path, name: str, kind: str = "f32") -> None:
    """Write the adapter to ``path``; its scale is in its factors. ``kind``: f32 or f16.

    Raises ExpertError for one that changes more than linears within the layers.
    """
    need_gguf()
    import gguf

    layout = source.base.config
    arch = _architecture(layout)
    names = _names(layout, arch)
    writer = gguf.GGUFWriter(path, arch)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_name(name)
    ranks = {factors.rank for factors in adapter.factors.values()}
    # llama.cpp scales by alpha / rank, each linear's own; 0 is what it takes for no scaling at all.
    writer.add_float32("adapter.lora.alpha", float(ranks.pop()) if len(ranks) == 1 else 0.0)
    for linear, factors in adapter.factors.items():
        own = f"{linear}.weight"
        if own not in names or not linear.startswith("model.layers."):
            raise ExpertError(f"'{name}' changes {linear}, which an adapter of llama.cpp cannot: merge it (--merge)")
        up = _turn(factors.up, own, layout) if arch in _TURNED else factors.up
        for side, tensor in (("lora_a", factors.down), ("lora_b", up)):
            dtype = np.float16 if kind == "f16" else np.float32
            writer.add_tensor(f"{names[own]}.{side}", tensor.contiguous().numpy().astype(dtype))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _architecture(layout: LlamaLayout) -> str:
    arch = _ARCHITECTURES[layout.architecture]
    every_fourth = frozenset(range(3, layout.num_layers, 4))
    if arch == "smollm3" and layout.unturned != every_fourth:
        raise BundleError("llama.cpp leaves positions out of every fourth layer of a SmolLM3; this one of others")
    rope = dict(layout.rope)
    if rope["rope_type"] == "yarn" and not rope.get("truncate", True):
        raise BundleError("llama.cpp rounds where YaRN begins and ends, and this base does not (truncate)")
    return arch


def _names(layout: LlamaLayout, arch: str) -> dict[str, str]:
    """transformers' name of every tensor → llama.cpp's."""
    import gguf

    known = gguf.get_tensor_name_map(
        next(one for one, name in gguf.MODEL_ARCH_NAMES.items() if name == arch), layout.num_layers
    )
    names = {}
    for name in layout.shapes:
        stem, _, part = name.rpartition(".")
        names[name] = f"{known.get_name(stem)}.{part}"
    return names


def _write_settings(writer: Any, source: Source, layout: LlamaLayout, arch: str, kind: str) -> None:
    writer.add_type("model")
    writer.add_name(source.name)
    if source.licence:
        writer.add_license(source.licence)
    writer.add_context_length(layout.max_positions)
    writer.add_embedding_length(layout.hidden_size)
    writer.add_block_count(layout.num_layers)
    writer.add_feed_forward_length(layout.intermediate_size)
    writer.add_head_count(layout.num_heads)
    writer.add_head_count_kv(layout.num_kv_heads)
    writer.add_key_length(layout.head_size)
    writer.add_value_length(layout.head_size)
    writer.add_layer_norm_rms_eps(layout.norm_eps)
    writer.add_vocab_size(source.num_ids)
    writer.add_rope_dimension_count(layout.head_size)
    writer.add_file_type(_FILE_TYPES[kind])
    writer.add_quantization_version(2)
    _write_positions(writer, dict(layout.rope), arch)


def _write_positions(writer: Any, rope: Mapping[str, Any], arch: str) -> None:
    from gguf import RopeScalingType

    writer.add_rope_freq_base(float(rope["rope_theta"]))
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rope["factor"]))
    if rope["rope_type"] == "yarn":
        from reverie.model.rotary import rotary_turns

        writer.add_rope_scaling_type(RopeScalingType.YARN)
        writer.add_rope_scaling_factor(float(rope["factor"]))
        writer.add_rope_scaling_orig_ctx_len(int(rope["original_max_position_embeddings"]))
        usual = 1 + 0.1 * math.log(rope["factor"])  # what llama.cpp multiplies by itself
        given = float(rotary_turns(rope, 2, 1).abs()[0, 0])
        writer.add_rope_scaling_attn_factors(given / usual)
        for name in ("beta_fast", "beta_slow"):
            if rope.get(name):
                writer.add_float32(f"{arch}.rope.scaling.yarn_{name}", float(rope[name]))


def _write_words(writer: Any, source: Source, words: GgufWords) -> None:
    writer.add_tokenizer_model(words.model)
    writer.add_tokenizer_pre(words.pre)
    writer.add_token_list(words.tokens)
    writer.add_token_types(words.kinds)
    if words.model == "gpt2":
        writer.add_token_merges(words.merges)
    else:
        writer.add_token_scores(words.scores)
    if words.space_prefix is not None:
        writer.add_add_space_prefix(words.space_prefix)
    writer.add_add_bos_token(words.add_bos)
    writer.add_add_eos_token(words.add_eos)
    for name, token in source.specials.items():
        getattr(writer, f"add_{name}_token_id")(token)
    for name, token in zip(("eot", "eom"), source.ends[1:]):  # more ids that end an answer
        getattr(writer, f"add_{name}_token_id")(token)
    writer.add_chat_template(source.template)


class _Tensors:
    """The tensors of a file: all are announced in its head, then written one after the other."""

    def __init__(self, source: Source, layout: LlamaLayout, arch: str, kind: str, merged: Adapter | None):
        self._source, self._layout, self._arch, self._kind = source, layout, arch, kind
        self._names = _names(layout, arch)
        self._merged = merged.factors if merged is not None else {}
        if strange := next((one for one in self._merged if f"{one}.weight" not in layout.shapes), None):
            raise ExpertError(f"the experts change '{strange}', which the base of {source.name} does not have")

    def announce(self, writer: Any) -> None:
        for name, shape, quantization in self._heads():
            plain = np.dtype(np.float16 if quantization.name == "F16" else np.float32)
            count = math.prod(shape)
            if quantization.name == "Q8_0":
                size = count // _BLOCK * (_BLOCK + 2)
                bytes_shape = (*shape[:-1], shape[-1] // _BLOCK * (_BLOCK + 2))
                writer.add_tensor_info(name, bytes_shape, np.dtype(np.uint8), size, raw_dtype=quantization)
            else:
                writer.add_tensor_info(name, shape, plain, count * plain.itemsize, raw_dtype=quantization)

    def write(self, writer: Any) -> None:
        from gguf import quants

        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for (name, _, quantization), values in zip(self._heads(), self._values(), strict=True):
            if quantization.name == "F16" and np.abs(values).max() > np.finfo(np.float16).max:
                raise BundleError(f"{name} has values that f16 cannot hold; export it as f32")
            writer.write_tensor_data(quants.quantize(values, quantization))
        writer.close()

    def _heads(self) -> Iterator[tuple[str, tuple[int, ...], Any]]:
        """Name, shape and kind of every tensor, in the order of ``_values``."""
        from gguf import GGMLQuantizationType as Quantization

        for name, shape in self._layout.shapes.items():
            if name in ("model.embed_tokens.weight", "lm_head.weight"):
                shape = (self._source.num_ids, shape[1])
            kind = self._kind if len(shape) > 1 else "f32"
            if kind == "q8_0" and shape[-1] % _BLOCK:
                kind = "f16"  # as llama.cpp's converter does
            yield self._names[name], shape, Quantization[kind.upper()]
        if (factors := self._factors()) is not None:
            yield "rope_freqs.weight", factors.shape, Quantization.F32

    def _values(self) -> Iterator[np.ndarray]:
        for name, tensor in self._source.tensors():
            added = self._merged.get(name.removesuffix(".weight")) if name.endswith(".weight") else None
            if added is not None:
                if (len(added.up), added.down.shape[1]) != tuple(tensor.shape):
                    raise ExpertError(f"the experts' factors of {name} do not fit the base of {self._source.name}")
                tensor = tensor.addmm(added.up, added.down)
            if self._arch in _TURNED:
                tensor = _turn(tensor, name, self._layout)
            yield tensor.contiguous().numpy()
        if (factors := self._factors()) is not None:
            yield factors

    def _factors(self) -> np.ndarray | None:
        """By what each wavelength is stretched, as Llama 3.1 does it: float32 (head_size / 2,)."""
        rope = dict(self._layout.rope)
        if rope["rope_type"] != "llama3":
            return None
        from reverie.model.rotary import rotary_turns

        plain = rotary_turns({**rope, "rope_type": "default"}, self._layout.head_size, 2)[1].angle()
        factors: np.ndarray = (plain / rotary_turns(rope, self._layout.head_size, 2)[1].angle()).numpy()
        return factors.astype(np.float32)


def _turn(tensor: Tensor, name: str, layout: LlamaLayout) -> Tensor:
    """Rows of queries and keys (heads · head_size, …) with rotary pairs as neighbours; anything else as it is."""
    heads = {"q_proj": layout.num_heads, "k_proj": layout.num_kv_heads}.get(name.split(".")[-2], 0)
    if not heads:
        return tensor
    halves = tensor.reshape(heads, 2, layout.head_size // 2, *tensor.shape[1:])
    return halves.transpose(1, 2).reshape(tensor.shape)
