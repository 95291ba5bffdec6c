"""A tokenizer as llama.cpp reads it: tokens by id with their kinds, merges or scores, and how texts are cut before.

llama.cpp does not read how a ``tokenizer.json`` cuts texts before it merges: it knows a list of ways by name
(``tokenizer.ggml.pre``). The name is found as its own converter finds it, by a hash of the ids of one odd text; where
a tokenizer is of another vocabulary, by the way itself, which is plain to see in the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reverie.errors import BundleError, shorten

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["GgufWords", "gguf_words", "pre_tokenizer_name"]

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # kinds of tokens in GGUF files

# The text whose ids llama.cpp's converter hashes (conversion/base.py of ggml-org/llama.cpp), and the hashes of those
# vocabularies that bases in Llama layout have.
_ODD = (
    "\n \n\n \n\n\n \t \t\t \t\n  \n   \n    \n     \n🚀 (normal) 😶\u200d🌫️ (multiple emojis "
    "concatenated) ✅ 🦙🦙 3 33 333 3333 33333 333333 3333333 33333333 3.3 3..3 3...3 "
    "កាន់តែពិសេសអាច😁 ?我想在apple工作1314151天～ ------======= нещо на Български "
    "''''''```````\"\"\"\"......!!!!!!?????? I've been 'told he's there, 'RE you sure? 'M not sure "
    "I'll make it, 'D you like some tea? We'Ve a'lL"
)
_HASHES = {
    "855059429035d75a914d1eda9f10a876752e281a054a7a3d421ef0533e5b6249": "smollm",
    "0ef9807a4087ebef797fc749390439009c3b9eda9ad1a097abbe738f486c01e5": "llama-bpe",
    "c136ed14d01c2745d4f60a9596ae66800e2b61fa45643e72436041855ad4089d": "smaug-bpe",
    "e636dc30a262dcc0d8c323492e32ae2b70728f4df7dfe9737d9f920a282b8aea": "qwen2",
    "d4540891389ea895b53b399da6ac824becc30f2fba0e9ddbb98f92e55ca0e97c": "qwen2",
    "b3f499bb4255f8ca19fccd664443283318f2fd2414d5e0b040fbdd0cc195d6c5": "deepseek-r1-qwen",
    "049ecf7629871e3041641907f3de7c733e4dbfdc736f57d882ba0b0845599754": "deepseek-llm",
    "347715f544604f9118bb75ed199f68779f423cabb20db6de6f31b908d04d7821": "deepseek-coder",
    "63b97e4253352e6f357cc59ea5b583e3a680eaeaf2632188c2b952de2588485e": "tekken",
    "9d032fcbd5501f4a38150912590928bfb36091efb5df11b8e2124b0390e3fb1e": "falcon3",
    "3ce83efda5659b07b1ad37ca97ca5797ea4285d9b9ab0dc679e4a720c9da7454": "gpt-2",
    "35d91631860c815f952d711435f48d356ebac988362536bed955d43bfa436e34": "starcoder",
    "b53802fb28e26d645c3a310b34bfe07da813026ec7c7716883404d5e0f8b1901": "jais",
    "d4c8f286ea6b520b3d495c4455483cfa2302c0cfcd4be05d781b6a8a0a7cdaf1": "megrez",
}
_GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
_LLAMA3 = (
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
    "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
)
_PLAIN = {"gpt-2", "smollm"}  # ways of which llama.cpp knows none that looks a whole word up before it merges
_PATTERNS = {_GPT2: "gpt-2", _LLAMA3: "llama-bpe", _LLAMA3.replace("{1,3}", ""): "qwen2"}
_SPACE = "▁"


@dataclass(frozen=True)
class GgufWords:
    """What goes into the head of a GGUF file."""

    model: str  # gpt2 (byte pairs over letters for bytes) or llama (pieces with scores)
    pre: str
    tokens: list[str]
    kinds: list[int]
    merges: list[str]  # of gpt2
    scores: list[float]  # of llama
    add_bos: bool  # whether BOS is put before a text
    add_eos: bool
    space_prefix: bool | None  # whether a space is; of llama
    note: str = ""  # what llama.cpp reads otherwise; "" where nothing


def gguf_words(tokenizer: Tokenizer, num_ids: int, specials: Mapping[str, int]) -> GgufWords:
    """The vocabulary of a base of ``num_ids`` ids. Raises BundleError for a tokenizer that llama.cpp has no way for."""
    parts = json.loads(tokenizer.to_str())
    model = parts["model"]
    if model["type"] != "BPE":
        raise BundleError(f"a tokenizer of type {model['type']} has no place in a GGUF file here: only byte pairs have")
    added = {one["id"]: one for one in parts["added_tokens"]}
    names = {token: piece for piece, token in tokenizer.get_vocab().items()}
    if names and max(names) >= num_ids:
        raise BundleError(f"the tokenizer knows the id {max(names)}, and the base has only {num_ids}")
    pieces = bool(model.get("byte_fallback"))
    tokens = [names.get(token, f"[PAD{token}]") for token in range(num_ids)]
    kinds = [_kind(token, names, added, pieces, specials) for token in range(num_ids)]
    tokens = [_spaced(text) if kind == USER_DEFINED else text for text, kind in zip(tokens, kinds)]
    before, after = _around(tokenizer, specials)
    if pieces:
        ranks = _ranks(model["merges"])
        scores = [-float(ranks.get(text, len(ranks))) for text in tokens]
        return GgufWords("llama", "default", tokens, kinds, [], scores, before, after, _space_prefix(parts))
    merges = [_merge(one) for one in model["merges"]]
    note = _check_normalizer(parts["normalizer"])
    return GgufWords("gpt2", pre_tokenizer_name(tokenizer), tokens, kinds, merges, [], before, after, None, note)


def pre_tokenizer_name(tokenizer: Tokenizer) -> str:
    """llama.cpp's name for how texts are cut before byte pairs are merged. Raises BundleError where it has none."""
    ids = str(tokenizer.encode(_ODD).ids)
    if found := _HASHES.get(hashlib.sha256(ids.encode()).hexdigest()):
        return found
    parts = json.loads(tokenizer.to_str())
    name, whole = _by_form(parts["pre_tokenizer"]), bool(parts["model"].get("ignore_merges"))
    if name == "llama-bpe" and not whole:
        name = "smaug-bpe"  # the same cuts, and words are always merged
    if name is None or (whole and name in _PLAIN):
        said = shorten(json.dumps(parts["pre_tokenizer"]), 120)
        raise BundleError(f"llama.cpp knows no way of cutting texts as this base's tokenizer does: {said}")
    return name


def _by_form(given: Any) -> str | None:
    steps = given.get("pretokenizers", []) if given and given["type"] == "Sequence" else [given]
    kinds = [one and one["type"] for one in steps]
    if kinds == ["ByteLevel"] and _cuts(steps[0]):
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits") and _cuts(steps[1]):
        return "smollm"
    if kinds == ["Split", "ByteLevel"] and not _cuts(steps[1]) and steps[0].get("behavior") == "Isolated":
        return _PATTERNS.get(steps[0]["pattern"].get("Regex", ""))
    return None


def _cuts(step: Mapping[str, Any]) -> bool:
    """Whether letters for bytes are cut by GPT-2's pattern, and no space is put before the text."""
    return bool(step.get("use_regex", True)) and not step.get("add_prefix_space")


def _check_normalizer(given: Any) -> str:
    """What llama.cpp does not do to a text before; BundleError where that changes plain texts."""
    if given is None:
        return ""
    steps = given["normalizers"] if given["type"] == "Sequence" else [given]
    if all(one["type"] == "NFC" for one in steps):
        return "llama.cpp does not compose letters and their marks (NFC) as this tokenizer does: give it composed texts"
    raise BundleError(f"llama.cpp does not normalize texts as this base does: {shorten(json.dumps(given), 120)}")


def _kind(
    token: int, names: Mapping[int, str], added: Mapping[int, Any], pieces: bool, specials: Mapping[str, int]
) -> int:
    if token not in names:
        return UNUSED
    if pieces and token == specials.get("unk"):
        return UNKNOWN
    if token in added:
        return CONTROL if added[token]["special"] else USER_DEFINED
    text = names[token]
    return BYTE if pieces and len(text) == 6 and text.startswith("<0x") and text.endswith(">") else NORMAL


def _spaced(text: str) -> str:
    return text.replace(_SPACE, " ")


def _around(tokenizer: Tokenizer, specials: Mapping[str, int]) -> tuple[bool, bool]:
    """Whether a text begins with BOS and ends with EOS by itself."""
    ids = tokenizer.encode("a").ids
    return bool(ids) and ids[0] == specials.get("bos"), bool(ids) and ids[-1] == specials.get("eos")


def _merge(given: Any) -> str:
    return given if isinstance(given, str) else " ".join(given)


def _ranks(merges: list[Any]) -> dict[str, int]:
    """The place of the first merge that makes each piece: llama.cpp takes what has the higher score first."""
    ranks: dict[str, int] = {}
    for place, pair in enumerate(merges):
        first, second = pair.split(" ") if isinstance(pair, str) else pair
        ranks.setdefault(first + second, place)
    return ranks


def _space_prefix(parts: Mapping[str, Any]) -> bool:
    """Whether "▁" is put before a text, by a normalizer or by what cuts words."""
    normalizer, cut = parts["normalizer"] or {}, parts["pre_tokenizer"] or {}
    steps = normalizer.get("normalizers", [normalizer])
    if cut.get("type") == "Metaspace":
        return bool(cut.get("prepend_scheme", "always") != "never")
    return any(one.get("type") == "Prepend" for one in steps)
