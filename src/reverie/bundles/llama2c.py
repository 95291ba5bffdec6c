"""llama2.c's checkpoints → a folder that transformers loads.

The formats are those of ``export.py`` and ``tokenizer.py`` in karpathy/llama2.c: a little-endian header, then float32
weights; and the pieces of a SentencePiece BPE with their scores. Versions 0 (no magic number) and 1 are read.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

from reverie.errors import BundleError
from reverie.files import atomic_write_bytes, atomic_write_json, atomic_write_text

__all__ = ["convert", "read_pieces", "text_tokenizer"]

_MAGIC = 0x616B3432  # "ak42"
_SPACE = "▁"
_UNK, _BOS, _EOS = "<unk>", "<s>", "</s>"


@dataclass(frozen=True)
class Header:
    """The numbers that a checkpoint begins with."""

    dim: int
    hidden_dim: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    vocab_size: int
    max_positions: int
    shared: bool  # output weights are the embeddings
    version: int
    start: int  # byte at which the weights begin

    @property
    def head_size(self) -> int:
        return self.dim // self.num_heads


def convert(checkpoint: Path, tokenizer: Path, folder: Path) -> None:
    """Write what ``AutoModelForCausalLM`` and ``AutoTokenizer`` load. Raises BundleError for files that are no such
    checkpoint or tokenizer, cut short, or do not fit each other."""
    data = _read(checkpoint)
    header = read_header(checkpoint, data)
    weights = np.frombuffer(data[header.start : len(data) - (len(data) - header.start) % 4], "<f4")
    tensors = dict(_tensors(checkpoint, header, weights))
    text = text_tokenizer(tokenizer)
    if text.get_vocab_size() != header.vocab_size:
        raise BundleError(f"{checkpoint} knows {header.vocab_size} ids, {tokenizer} has {text.get_vocab_size()}")
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(folder / "model.safetensors", save(tensors, metadata={"format": "pt"}))
    atomic_write_json(folder / "config.json", _config(header))
    atomic_write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": [1, 2]})  # both end a text
    save_tokenizer(text, folder)


def save_tokenizer(text: Tokenizer, folder: Path) -> None:
    names = {"unk_token": _UNK, "bos_token": _BOS, "eos_token": _EOS}
    atomic_write_text(folder / "tokenizer.json", text.to_str())
    atomic_write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **names})


def read_header(path: Path, data: bytes) -> Header:
    """Raises BundleError when the numbers are none that a checkpoint can have."""
    numbers = struct.unpack("<9i", data[:36].ljust(36, b"\0"))
    if numbers[0] & 0xFFFFFFFF == _MAGIC:
        version, fields, start = numbers[1], numbers[2:9], 256
        if version != 1:
            raise BundleError(f"{path} is of version {version} (int8); export it with --version 0 or 1")
        shared = data[36:37] == b"\1"
    else:
        version, fields, start = 0, numbers[:7], 28
        shared = fields[5] > 0
    dim, hidden, layers, heads, kv_heads, vocab_size, positions = fields
    header = Header(dim, hidden, layers, heads, kv_heads, abs(vocab_size), positions, shared, version, start)
    sizes = (dim, hidden, layers, heads, kv_heads, header.vocab_size, positions)
    if min(sizes) < 1 or dim % (2 * heads) or heads % kv_heads:
        raise BundleError(f"{path} is no checkpoint of llama2.c: it begins with {', '.join(map(str, sizes))}")
    return header


def text_tokenizer(path: Path) -> Tokenizer:
    """llama2.c's ``tokenizer.bin`` as a tokenizer of the ``tokenizers`` library, with the same ids."""
    pieces = read_pieces(path)
    vocab = {piece: index for index, (piece, _) in enumerate(pieces)}
    if len(vocab) < len(pieces) or [piece for piece, _ in pieces[:3]] != [_UNK, _BOS, _EOS]:
        raise BundleError(f"{path} is no tokenizer of llama2.c: its first pieces are not {_UNK}, {_BOS} and {_EOS}")
    ranked = sorted((piece for piece, _ in pieces[259:] if len(piece) > 1), key=lambda piece: -pieces[vocab[piece]][1])
    merges = [
        (piece[:cut], piece[cut:])
        for piece in ranked
        for cut in range(1, len(piece))
        if piece[:cut] in vocab and piece[cut:] in vocab
    ]
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token=_UNK, fuse_unk=True, byte_fallback=True))
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in (_UNK, _BOS, _EOS)])
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(_SPACE), normalizers.Replace(" ", _SPACE)])
    steps = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{_BOS} $A", special_tokens=[(_BOS, 1)])
    return tokenizer


def read_pieces(path: Path) -> list[tuple[str, float]]:
    """The pieces of ``tokenizer.bin`` in the order of their ids, with their scores; spaces as "▁"."""
    data, pieces, at = _read(path), list[tuple[str, float]](), 4
    try:
        while at < len(data):
            score, length = struct.unpack_from("<fi", data, at)
            at += 8 + length
            if length < 0 or at > len(data):
                raise BundleError(f"{path} is no tokenizer of llama2.c, or it is cut short")
            text = data[at - length : at].decode("utf-8")
            pieces.append((text.strip("\n") if text in ("\n<s>\n", "\n</s>\n") else text.replace(" ", _SPACE), score))
    except (struct.error, UnicodeDecodeError) as error:
        raise BundleError(f"{path} is no tokenizer of llama2.c, or it is cut short") from error
    return pieces


def _tensors(path: Path, header: Header, weights: np.ndarray) -> Iterator[tuple[str, torch.Tensor]]:
    """Names as in transformers' Llama, whose rotary pairs are a head's halves; llama2.c's are neighbours."""
    h, at = header, 0
    kv_dim = h.num_kv_heads * h.head_size
    layers = (
        ("input_layernorm", (h.dim,)),
        ("self_attn.q_proj", (h.dim, h.dim)),
        ("self_attn.k_proj", (kv_dim, h.dim)),
        ("self_attn.v_proj", (kv_dim, h.dim)),
        ("self_attn.o_proj", (h.dim, h.dim)),
        ("post_attention_layernorm", (h.dim,)),
        ("mlp.gate_proj", (h.hidden_dim, h.dim)),
        ("mlp.down_proj", (h.dim, h.hidden_dim)),
        ("mlp.up_proj", (h.hidden_dim, h.dim)),
    )
    stacks = {name: (f"model.layers.{{}}.{name}.weight", h.num_layers, shape) for name, shape in layers}
    embeddings = ("model.embed_tokens.weight", 1, (h.vocab_size, h.dim))
    norm, head = ("model.norm.weight", 1, (h.dim,)), ("lm_head.weight", 1, (h.vocab_size, h.dim))
    if h.version == 0:
        turns = ("", 1, (h.max_positions * h.head_size,))  # cos and sin tables, made anew by whoever loads it
        order = [embeddings, *stacks.values(), norm, turns]
    else:
        norms = ("input_layernorm", "post_attention_layernorm")
        products = [stack for name, stack in stacks.items() if name not in norms]
        order = [*(stacks[name] for name in norms), norm, embeddings, *products]
    order += [] if h.shared else [head]
    needed = sum(count * math.prod(shape) for _, count, shape in order)
    if len(weights) != needed:
        raise BundleError(f"{path} is cut short or no checkpoint: it holds {len(weights)} weights, {needed} are needed")
    for name, count, shape in order:
        size = math.prod(shape)
        for layer in range(count):
            tensor = torch.from_numpy(weights[at : at + size].astype(np.float32)).view(shape)
            at += size
            if name.endswith(("q_proj.weight", "k_proj.weight")):
                pairs = tensor.view(-1, h.head_size // 2, 2, h.dim)
                tensor = pairs.transpose(1, 2).reshape(shape).contiguous()
            if name:
                yield name.format(layer), tensor


def _config(header: Header) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": header.vocab_size,
        "hidden_size": header.dim,
        "intermediate_size": header.hidden_dim,
        "num_hidden_layers": header.num_layers,
        "num_attention_heads": header.num_heads,
        "num_key_value_heads": header.num_kv_heads,
        "head_dim": header.head_size,
        "max_position_embeddings": header.max_positions,
        "rope_theta": 10000.0,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": header.shared,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "dtype": "float32",
    }


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from error
