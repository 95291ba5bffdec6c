"""llama2.c's files, written here as its own export.py and tokenizer.py write them, become the same model."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from bases import quiet, toy_base
from reverie.bundles import load_bundle
from reverie.bundles.init import InitConfig, init_bundle
from reverie.bundles.llama2c import convert, read_pieces
from reverie.errors import BundleError, UsageError

SIZES = {"vocab_size": 290, "max_position_embeddings": 64, "pad_token_id": None, "rms_norm_eps": 1e-5}
PIECES = [" t", "he", " a", " the", "in", " an", "ll", "ba", " ball", "ed", " red", "re", "all", " r"]


def write_checkpoint(path: Path, model: Any, version: int = 0) -> Path:
    """float32 weights behind the header of that version."""
    config, tensors = model.config, model.state_dict()
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    shared = config.tie_word_embeddings

    def turned(name: str, count: int) -> torch.Tensor:  # halves of a head → neighbours, as llama2.c rotates them
        weight = tensors[name]
        return weight.view(count, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)

    def layers(name: str, count: int = 0) -> list[torch.Tensor]:
        names = [f"model.layers.{layer}.{name}.weight" for layer in range(config.num_hidden_layers)]
        return [turned(each, count) if count else tensors[each] for each in names]

    attention_norms, ffn_norms = layers("input_layernorm"), layers("post_attention_layernorm")
    q, k = layers("self_attn.q_proj", heads), layers("self_attn.k_proj", kv_heads)
    v, o = layers("self_attn.v_proj"), layers("self_attn.o_proj")
    w1, w2, w3 = layers("mlp.gate_proj"), layers("mlp.down_proj"), layers("mlp.up_proj")
    embeddings, norm = tensors["model.embed_tokens.weight"], tensors["model.norm.weight"]
    numbers = [config.hidden_size, config.intermediate_size, config.num_hidden_layers, heads, kv_heads]
    if version == 0:
        ids = config.vocab_size if shared else -config.vocab_size
        data = struct.pack("<7i", *numbers, ids, config.max_position_embeddings)
        tables = torch.zeros(config.max_position_embeddings, config.hidden_size // heads)
        order = [embeddings, *attention_norms, *q, *k, *v, *o, *ffn_norms, *w1, *w2, *w3, norm, tables]
    else:
        data = struct.pack("<Ii", 0x616B3432, version)
        data += struct.pack("<7iB", *numbers, config.vocab_size, config.max_position_embeddings, shared)
        data = data.ljust(256, b"\0")
        order = [*attention_norms, *ffn_norms, norm, embeddings, *q, *k, *v, *o, *w1, *w2, *w3]
    order += [] if shared else [tensors["lm_head.weight"]]
    path.write_bytes(data + b"".join(tensor.contiguous().numpy().astype("<f4").tobytes() for tensor in order))
    return path


def write_tokenizer(path: Path, size: int = 290) -> Path:
    letters = [" ", *"etaoinshrdlubcfgmpwy"]
    filler = [f"~{number}" for number in range(size)]
    pieces = ["<unk>", "\n<s>\n", "\n</s>\n", *[f"<0x{byte:02X}>" for byte in range(256)], *PIECES, *letters, *filler]
    data = struct.pack("<i", 9)
    for index, piece in enumerate(pieces[:size]):
        score = -float(index - 259) if index >= 259 else 0.0
        data += struct.pack("<fi", score, len(piece.encode())) + piece.encode()
    path.write_bytes(data)
    return path


def encode_plainly(pieces: list[tuple[str, float]], text: str) -> list[int]:
    """As run.c: a space in front, then letters or bytes, then the best-scored pair of neighbours joined, again and
    again."""
    ids = {piece: index for index, (piece, _) in enumerate(pieces)}
    found: list[int] = []
    for letter in ("▁" + text).replace(" ", "▁"):
        found += [ids[letter]] if letter in ids else [byte + 3 for byte in letter.encode()]
    while True:
        joined = [pieces[a][0] + pieces[b][0] for a, b in itertools.pairwise(found)]
        options = [(pieces[ids[piece]][1], -place) for place, piece in enumerate(joined) if piece in ids]
        if not options:
            return found
        place = -max(options)[1]
        found[place : place + 2] = [ids[joined[place]]]


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("family", ["llama", "untied"])
def test_logits_are_those_of_the_model_that_was_exported(family: str, version: int, tmp_path: Path) -> None:
    model = toy_base("llama", tie_word_embeddings=family == "llama", num_key_value_heads=2, **SIZES)
    checkpoint = write_checkpoint(tmp_path / "model.bin", model, version)
    convert(checkpoint, write_tokenizer(tmp_path / "tok.bin"), tmp_path / "base")
    with quiet():
        again = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    ids = torch.randint(0, 290, (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(again(ids).logits, model(ids).logits, atol=1e-5)
    assert again.config.tie_word_embeddings == (family == "llama")


@pytest.mark.parametrize(
    "text", ["the red ball", "a  ball", " the", "The\nball é ✓", "in an all-red tall wall", "", "aaa</s>b"]
)
def test_ids_of_words_are_those_of_run_c(text: str, tmp_path: Path) -> None:
    model = toy_base("llama", **SIZES)
    tokenizer = write_tokenizer(tmp_path / "tok.bin")
    convert(write_checkpoint(tmp_path / "model.bin", model), tokenizer, tmp_path / "base")
    words = AutoTokenizer.from_pretrained(tmp_path / "base")
    if "</s>" not in text:  # here it is the end, run.c spells it out
        given = words(text, add_special_tokens=False).input_ids
        assert given == (encode_plainly(read_pieces(tokenizer), text) if text else given)
        assert words.decode(given) == text
    assert words(text).input_ids[0] == words.bos_token_id == 1


def test_a_checkpoint_becomes_a_bundle(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "model.bin", toy_base("llama", **SIZES))
    words = write_tokenizer(tmp_path / "tokenizer.bin")  # where it lies beside, it need not be named
    settings = InitConfig(dtype="fp32", prompt="plain")
    folder = init_bundle(checkpoint, tmp_path / "bundle", settings)
    bundle = load_bundle(folder)
    assert bundle.name == "model"
    assert bundle.session(memory=False).ask("the red ball", branches=0).text
    assert bundle.grammar.text.encode("the red ball") == encode_plainly(read_pieces(words), "the red ball")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    model = toy_base("llama", **SIZES)
    checkpoint, words = write_checkpoint(tmp_path / "model.bin", model), write_tokenizer(tmp_path / "tok.bin")
    whole = checkpoint.read_bytes()

    def refused(data: bytes, match: str, tokenizer: Path = words) -> None:
        checkpoint.write_bytes(data)
        with pytest.raises(BundleError, match=match):
            convert(checkpoint, tokenizer, tmp_path / "base")
        assert not (tmp_path / "base").exists()

    refused(whole[:-400], "cut short or no checkpoint")
    refused(whole[:-1], "cut short or no checkpoint")
    refused(b"", "no checkpoint of llama2.c")
    refused(b"PK\3\4" * 64, "no checkpoint of llama2.c")
    refused(np.arange(64, dtype="<i4").tobytes(), "no checkpoint of llama2.c")
    refused(struct.pack("<Ii", 0x616B3432, 2) + whole, r"version 2 \(int8\)")
    refused(whole, "knows 290 ids, .* has 280", write_tokenizer(tmp_path / "small.bin", 280))
    cut = tmp_path / "cut.bin"
    cut.write_bytes(words.read_bytes()[:-3])
    refused(whole, "cut short", cut)
    cut.write_bytes(b"not a tokenizer at all, but long enough")
    refused(whole, "no tokenizer of llama2.c", cut)
    with pytest.raises(BundleError, match="cannot read"):
        convert(tmp_path / "nowhere.bin", words, tmp_path / "base")
    with pytest.raises(UsageError, match="give it with --tokenizer"):
        init_bundle(checkpoint, tmp_path / "bundle", tokenizer=tmp_path / "nowhere.bin")
