"""A new small bundle with random weights: a tokenizer of its own, learned from texts, or another model's."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from reverie.bundles.bases import read_tokenizer
from reverie.bundles.bundle import read_manifest, seal_bundle
from reverie.bundles.init import InitConfig, init_bundle
from reverie.errors import BundleError, ConfigError, UsageError
from reverie.files import atomic_folder
from reverie.logs import quiet_transformers
from reverie.model.gguf_base import gguf_tokenizer, read_gguf
from reverie.paths import find_bundle, find_gguf
from reverie.tokens.grammar_files import load_grammar
from reverie.tokens.text import BaseTokenizer, TextTokenizer

__all__ = ["FreshConfig", "fresh_bundle", "fresh_words", "with_weights", "words_of"]

_START, _END = "<|im_start|>", "<|im_end|>"
_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
    "'\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@dataclass(frozen=True)
class FreshConfig:
    """The size of a new model in Llama's layout."""

    text_size: int = 4096  # byte-level BPE ids, the 256 bytes included; of a tokenizer of its own
    hidden_size: int = 256
    intermediate_size: int = 704
    num_layers: int = 4
    num_heads: int = 4
    max_positions: int = 1024
    seed: int = 0  # of its weights

    def __post_init__(self) -> None:
        sizes = (self.hidden_size, self.intermediate_size, self.num_layers, self.num_heads, self.max_positions)
        if self.text_size < 300 or min(sizes) < 1 or self.hidden_size % (2 * self.num_heads):
            raise ConfigError(
                f"a new model has at least 300 text ids, sizes of at least 1, and heads that divide its width evenly; "
                f"got {self.text_size} ids, {self.hidden_size} wide, {self.num_heads} heads"
            )


def fresh_bundle(folder: Path, words: Any, config: FreshConfig, *, name: str = "") -> Path:
    """Make the bundle ``folder`` of a model with random weights. ``words``: its tokenizer, of transformers, with a chat
    template or without. It appears whole or not at all; raises as ``init_bundle`` does."""
    from transformers import LlamaConfig, LlamaForCausalLM

    end = words.eos_token_id
    settings = LlamaConfig(
        vocab_size=1 + max(words.get_vocab().values()),
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        num_key_value_heads=config.num_heads,
        max_position_embeddings=config.max_positions,
        tie_word_embeddings=True,
        bos_token_id=words.bos_token_id,
        eos_token_id=end,
    )
    with torch.random.fork_rng(), tempfile.TemporaryDirectory() as scratch, quiet_transformers():
        torch.manual_seed(config.seed)
        base = Path(scratch) / (name or "new")
        LlamaForCausalLM(settings).save_pretrained(base)
        words.save_pretrained(base)
        return init_bundle(base, folder, InitConfig(dtype="fp32", name=name, seed=config.seed))


def fresh_words(texts: Iterable[str], size: int) -> Any:
    """A byte-level BPE of at most ``size`` ids, learned from texts, with ChatML's marks and template."""
    from transformers import PreTrainedTokenizerFast

    library = TextTokenizer.train(texts, size - 2).library
    words = PreTrainedTokenizerFast(tokenizer_object=library, eos_token=_END)
    words.add_special_tokens({"additional_special_tokens": [_START, _END]})
    words.chat_template = _TEMPLATE
    return words


def words_of(teacher: str) -> Any:
    """The tokenizer of a teacher whose files are here: ``llama:FILE.gguf`` or ``bundle:NAME``. Raises UsageError for
    any other, BundleError for files that are damaged."""
    kind, _, place = teacher.partition(":")
    if kind == "llama":
        return gguf_tokenizer(read_gguf(find_gguf(place)))
    if kind == "bundle":
        folder = find_bundle(place)
        if isinstance(load_grammar(folder).text, BaseTokenizer):
            return read_tokenizer(folder / "backbone")
    raise UsageError(f"{teacher} has no tokenizer that a new model could take: leave its own, learned from the answers")


def with_weights(start: Path, backbone: Path, folder: Path, **about: Any) -> Path:
    """The bundle ``start`` with the weights in ``backbone``, as the bundle ``folder``; ``about``: recipe and figures
    for its manifest. It appears whole or not at all."""
    if folder.exists():
        raise UsageError(f"{folder} exists already; name a new folder for the bundle")
    manifest = read_manifest(start)
    weights = sorted(backbone.glob("*.safetensors*"))
    if not weights:
        raise BundleError(f"{backbone} holds no weights")
    with atomic_folder(folder) as building:
        for part in start.iterdir():
            if part.is_dir():
                shutil.copytree(part, building / part.name)
            elif part.name != "manifest.json":
                shutil.copyfile(part, building / part.name)
        for old in (building / "backbone").glob("*.safetensors*"):
            old.unlink()
        for new in weights:
            shutil.copyfile(new, building / "backbone" / new.name)
        kept = {key: manifest[key] for key in ("name", "worlds")}
        seal_bundle(building, base=manifest.get("base"), **kept, **about)
    return folder
