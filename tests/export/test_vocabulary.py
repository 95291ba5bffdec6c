"""How texts are cut: llama.cpp's name for it is found, or the tokenizer refused; ids are the same there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from bases import TEXTS as WORDS
from bases import bos_words, piece_words, toy_base, toy_words
from reverie.bundles import init_bundle
from reverie.bundles.init import InitConfig
from reverie.errors import BundleError
from reverie.export import ExportConfig, export, open_source
from reverie.export.vocabulary import gguf_words, pre_tokenizer_name
from reverie.logs import quiet_transformers
from reverie_bench.llama_file import LlamaFile
from reverie_bench.odd_texts import odd_texts
from toy_exports import TEXTS

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")


def split_words(pattern: str, whole: bool = False) -> PreTrainedTokenizerFast:
    """Byte pairs below cuts of a pattern, as Llama 3 and Qwen 2 have them."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=whole))
    steps = [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=310, initial_alphabet=alphabet, show_progress=False, special_tokens=["<|end|>"]
    )
    tokenizer.train_from_iterator([*WORDS, "123 4567 12345 'LL 'Ve"] * 2, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


def digit_words() -> PreTrainedTokenizerFast:
    words = toy_words()
    tokenizer = words.backend_tokenizer
    steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


KINDS: dict[str, tuple[Any, str]] = {
    "gpt-2": (toy_words, "gpt-2"),
    "smollm": (digit_words, "smollm"),
    "llama 3": (lambda: split_words(LLAMA3, whole=True), "llama-bpe"),
    "llama 3, always merged": (lambda: split_words(LLAMA3), "smaug-bpe"),
    "qwen 2": (lambda: split_words(QWEN2), "qwen2"),
    "with BOS": (bos_words, "gpt-2"),
    "pieces": (piece_words, "default"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_llama_cpp_cuts_texts_into_the_same_ids(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    make, pre = KINDS[kind]
    words = make()
    with quiet_transformers():
        toy_base("llama").save_pretrained(tmp_path / "base")
        words.save_pretrained(tmp_path / "base")
    bundle = init_bundle(tmp_path / "base", tmp_path / "tiny", InitConfig(dtype="fp32", name="tiny"))
    source = open_source(bundle)
    assert gguf_words(source.tokenizer, source.num_ids, source.specials).pre == pre
    done = export("gguf", bundle, tmp_path / "out", ExportConfig("f32"))
    texts = [*TEXTS, *odd_texts(150)]
    with LlamaFile(done.folder / "tiny-f32.gguf") as file:
        ours = [source.tokenizer.encode(text).ids for text in texts]
        assert [text for text, ids in zip(texts, ours, strict=True) if file.ids(text) != ids] == []


def test_the_hash_of_a_known_vocabulary_comes_first() -> None:
    tokenizer = toy_words().backend_tokenizer
    from reverie.export import vocabulary

    ids = str(tokenizer.encode(vocabulary._ODD).ids)
    import hashlib

    known = {hashlib.sha256(ids.encode()).hexdigest(): "mine"}
    kept = dict(vocabulary._HASHES)
    vocabulary._HASHES.update(known)
    try:
        assert pre_tokenizer_name(tokenizer) == "mine"
    finally:
        vocabulary._HASHES.clear()
        vocabulary._HASHES.update(kept)


def changed(**parts: Any) -> Tokenizer:
    told = json.loads(toy_words().backend_tokenizer.to_str())
    return Tokenizer.from_str(json.dumps({**told, **parts}))


def test_a_tokenizer_that_llama_cpp_has_no_way_for_is_refused() -> None:
    with pytest.raises(BundleError, match="knows no way of cutting texts"):
        pre_tokenizer_name(changed(pre_tokenizer={"type": "Whitespace"}))
    with pytest.raises(BundleError, match="knows no way of cutting texts"):
        pre_tokenizer_name(split_words(r"\p{L}+|\s+").backend_tokenizer)
    with pytest.raises(BundleError, match="does not normalize texts"):
        gguf_words(changed(normalizer={"type": "Lowercase"}), 320, {})
    with pytest.raises(BundleError, match="of type WordLevel"):
        gguf_words(Tokenizer(models.WordLevel({"a": 0}, unk_token="a")), 320, {})
    with pytest.raises(BundleError, match="knows the id 299, and the base has only 200"):
        gguf_words(toy_words().backend_tokenizer, 200, {})


def test_what_is_left_out_is_said() -> None:
    tokenizer = toy_words().backend_tokenizer
    tokenizer.normalizer = normalizers.NFC()
    assert "NFC" in gguf_words(tokenizer, 320, {}).note
