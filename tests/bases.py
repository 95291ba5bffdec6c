"""Tiny bases of several families, as their makers would save them; random weights, made in a blink."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from reverie.dreaming.engine_speaker import EngineSpeaker
from reverie.engine import Engine
from reverie.logs import quiet_transformers as quiet
from reverie.model.transformers_base import TransformersBackbone, extend
from reverie.tokens.base_words import BaseWords, ChatTemplate

TEXTS = ["what happens when you drop an egg? it breaks on the floor.", "the red ball rolls off the table and falls."]
SMALL = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": None,
}
BASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {"num_key_value_heads": 2, "tie_word_embeddings": True}),
    "llama-untied": ("llama", {"num_key_value_heads": 4, "tie_word_embeddings": False, "attention_bias": True}),
    "mistral": ("mistral", {"num_key_value_heads": 2, "sliding_window": None}),
    "mistral-sliding": ("mistral", {"num_key_value_heads": 2, "sliding_window": 6}),
    "qwen2": ("qwen2", {"num_key_value_heads": 2, "tie_word_embeddings": True}),
    "qwen3": ("qwen3", {"num_key_value_heads": 2, "head_dim": 8, "tie_word_embeddings": False}),
    "smollm3": ("smollm3", {"num_key_value_heads": 2, "no_rope_layers": [1, 0], "num_hidden_layers": 2}),
    "gemma2": ("gemma2", {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 6}),
    "mixtral": ("mixtral", {"num_key_value_heads": 2, "num_local_experts": 4}),
    "mamba": ("mamba", {"state_size": 8}),
    "gpt2": ("gpt2", {}),
    "opt": ("opt", {"ffn_dim": 48, "word_embed_proj_dim": 32, "init_std": 0.3, "do_layer_norm_before": True}),
}


def toy_base(family: str, seed: int = 0, **changes: Any) -> Any:
    """A causal model of transformers, in eval mode, frozen."""
    kind, settings = BASES[family]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = CONFIG_MAPPING[kind](**SMALL | settings | changes)
        return AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)


def toy_transformers_base(family: str, num_grammar: int = 20, seed: int = 0) -> TransformersBackbone:
    base = toy_base(family, seed)
    return extend(base, SMALL["vocab_size"], num_grammar, torch.Generator().manual_seed(seed))


def toy_words() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=alphabet, show_progress=False, special_tokens=["<|end|>"]
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


def bos_words() -> PreTrainedTokenizerFast:
    """Byte-level BPE that puts BOS before a text, as Llama 3 does."""
    words = toy_words()
    tokenizer = words.backend_tokenizer
    tokenizer.add_special_tokens([AddedToken("<|begin|>", special=True), AddedToken("<|im_end|>", special=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin|> $A", special_tokens=[("<|begin|>", tokenizer.token_to_id("<|begin|>"))]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", bos_token="<|begin|>")


def piece_words() -> PreTrainedTokenizerFast:
    """Pieces with a mark for the space and bytes behind them, as Llama 2 has."""
    letters = 'abcdefhilmnorstuwHRT:".'
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *letters, "al", "▁f"]
    vocab = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab, [("a", "l"), ("▁", "f")], unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(
        [AddedToken(name, special=True, normalized=False) for name in ("<s>", "</s>", "<unk>")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"


def toy_engine_speaker(
    words: PreTrainedTokenizerFast | None = None, template: str = TEMPLATE, max_ids: int = 512, **drawing: float
) -> EngineSpeaker:
    """A tiny base of random weights that speaks in those words."""
    tokenizer = words or toy_words()
    read = BaseWords(
        tokenizer.backend_tokenizer,
        frozenset([tokenizer.eos_token_id]),
        ChatTemplate(template) if template else None,
        drawing,
    )
    num_grammar = 20
    engine = Engine(toy_transformers_base("llama", num_grammar))
    return EngineSpeaker("toy base", engine, read, num_grammar, num_grammar + SMALL["vocab_size"], max_ids)


def save_base(folder: Path, family: str = "llama", chat: bool = False, **changes: Any) -> Path:
    """A base's folder: weights, config and tokenizer."""
    words = toy_words()
    if chat:
        words.chat_template = TEMPLATE
    with quiet():
        toy_base(family, **changes).save_pretrained(folder)
        words.save_pretrained(folder)
    return folder
