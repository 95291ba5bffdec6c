"""A tiny Llama as a GGUF file, such as llama.cpp and transformers load: random weights, made in a blink."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

TEXTS = ["what happens when you drop an egg? it breaks on the floor.", "the red ball rolls off the table and falls."]
END, USER = "<|im_end|>", "<|im_start|>"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tiny_gguf(
    folder: Path,
    name: str = "tiny",
    *,
    seed: int = 0,
    arch: str = "llama",
    fields: dict[str, Any] | None = None,
    packed: bool = False,
    rope_factors: np.ndarray[Any, Any] | None = None,
) -> Path:
    """Write ``folder/name.gguf``, a Llama, Qwen2 (biases) or Qwen3 (norms of heads) by ``arch``: two layers, 64 wide,
    four heads over two groups, tied embeddings, 512 positions.

    Args:
        fields: of its head, set anew; None leaves one out
        packed: its matrices are Q8_0
        rope_factors: float32 (8,), by which wavelengths of positions are stretched
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.gguf"
    tokens, merges = _words()
    width, inner, kv = 64, 96, 32
    head: dict[str, Any] = {
        "general.type": "model",
        "general.name": name,
        "general.license": "apache-2.0",
        f"{arch}.context_length": 512,
        f"{arch}.embedding_length": width,
        f"{arch}.block_count": 2,
        f"{arch}.feed_forward_length": inner,
        f"{arch}.attention.head_count": 4,
        f"{arch}.attention.head_count_kv": 2,
        f"{arch}.attention.key_length": 16,
        f"{arch}.attention.value_length": 16,
        f"{arch}.rope.dimension_count": 16,
        f"{arch}.rope.freq_base": 10000.0,
        f"{arch}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{arch}.vocab_size": len(tokens),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3 if token in (END, USER) else 1 for token in tokens],  # 3: control, 1: normal
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": tokens.index(USER),
        "tokenizer.ggml.eos_token_id": tokens.index(END),
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": TEMPLATE,
        **(fields or {}),
    }
    writer = gguf.GGUFWriter(path, arch)
    for key, value in head.items():
        if value is not None:
            _add(writer, key, value)
    rng = np.random.default_rng(seed)

    def add(tensor: str, *shape: int, spread: float = 0.15) -> None:
        values = np.ones(shape) if len(shape) == 1 else rng.normal(0, spread, shape)
        kind = gguf.GGMLQuantizationType.Q8_0 if packed and len(shape) > 1 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(tensor, gguf.quantize(values.astype(np.float32), kind), raw_dtype=kind)

    add("token_embd.weight", len(tokens), width, spread=0.4)  # so that the likeliest id is likely
    add("output_norm.weight", width)
    if rope_factors is not None:
        writer.add_tensor("rope_freqs.weight", rope_factors)
    for layer in range(2):
        for part, shape in {
            "attn_norm": (width,),
            "attn_q": (width, width),
            "attn_k": (kv, width),
            "attn_v": (kv, width),
            "attn_output": (width, width),
            "ffn_norm": (width,),
            "ffn_gate": (inner, width),
            "ffn_up": (inner, width),
            "ffn_down": (width, inner),
            **({"attn_q_norm": (16,), "attn_k_norm": (16,)} if arch == "qwen3" else {}),
        }.items():
            add(f"blk.{layer}.{part}.weight", *shape)
        for part, size in {"attn_q": width, "attn_k": kv, "attn_v": kv}.items() if arch == "qwen2" else ():
            writer.add_tensor(f"blk.{layer}.{part}.bias", rng.normal(0, 0.3, size).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def _words() -> tuple[list[str], list[str]]:
    """Tokens by id and merges of a byte-level BPE of about 300 ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
        special_tokens=[END, USER],
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    ids = tokenizer.get_vocab()
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return sorted(ids, key=ids.__getitem__), [pair if isinstance(pair, str) else " ".join(pair) for pair in merges]
