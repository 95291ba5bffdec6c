"""What of a bundle goes along in an export: weights, words, who helps, and how it is asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.bundles.bundle import find_bundle, verify_bundle
from reverie.bundles.experts import open_library
from reverie.errors import BundleError
from reverie.jsonio import read_object
from reverie.tokens.base_words import BaseWords
from reverie.tokens.grammar_files import load_grammar
from reverie.tokens.vocabulary import ANS, ASK, BOS, EOS, Vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor

    from reverie.experts.library import Library
    from reverie.model.llama_base import LlamaBase

__all__ = ["Source", "open_source"]

_KEPT = ("tokenizer_config.json", "special_tokens_map.json", "generation_config.json")  # of a base's folder
_QUESTION = (
    "{% for message in messages %}{% if loop.last %}Question: {{ message['content'] }}\nAnswer:{% endif %}{% endfor %}"
)
_PLAIN = "{% for message in messages %}{% if loop.last %}{{ message['content'] }}{% endif %}{% endfor %}"


@dataclass(frozen=True)
class Source:
    """A bundle as exports see it. All ids are those of the base's own tables, of which the first ``num_ids`` go along.

    The grammar's ids have names of their own there (``grammar_name``), so that a text can hold them.
    """

    folder: Path  # the bundle's
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]  # the base's ``config.json``
    tokenizer: Tokenizer  # of every id that goes along
    num_ids: int
    specials: Mapping[str, int]  # bos, eos, unk, pad → ids, where there are any
    ends: tuple[int, ...]  # ids that end an answer, the usual one first
    template: str  # Jinja, of a talk
    stop: tuple[str, ...]  # texts that end an answer, beside ``ends``
    drawing: Mapping[str, float]  # usual settings of drawing
    files: tuple[Path, ...] = ()  # of the base's folder, kept as they are by a folder of transformers

    @property
    def name(self) -> str:
        return str(self.manifest["name"])

    @property
    def file_name(self) -> str:
        """Its name as a file can begin with it: a hub's ``owner/name`` has a slash."""
        return re.sub(r"[^\w.-]+", "-", self.name).lstrip(".-") or "model"

    @property
    def backbone(self) -> Path:
        return self.folder / "backbone"

    @property
    def licence(self) -> str:
        """Of the base's weights; "" where nobody said."""
        return str(self.manifest.get("base", {}).get("licence", ""))

    @property
    def max_ids(self) -> int:
        """Positions of the base; 0 where its config does not say."""
        given = self.config.get("max_position_embeddings", 0)
        return given if isinstance(given, int) else 0

    @cached_property
    def base(self) -> LlamaBase:
        """The weights by transformers' names. Raises BundleError where the base is in no Llama layout."""
        from reverie.model.llama_base import LlamaBase

        found = LlamaBase.find(self.backbone, 0)
        if found is None:
            kind = self.config.get("model_type")
            raise BundleError(
                f"the base of {self.name} is of type {kind!r}, whose weights are known here in Llama layout alone "
                "(Llama, Mistral, Qwen 2 and 3, SmolLM3, none of them quantized); export it as hf"
            )
        return found

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor by its name, float32, tables cut to ``num_ids`` rows, one in memory at a time."""
        for name in self.base.config.shapes:
            tensor = self.base.tensor(name).float()
            yield name, tensor[: self.num_ids] if name in ("model.embed_tokens.weight", "lm_head.weight") else tensor

    def library(self, folder: Path | None = None) -> Library:
        """Its own experts and the user's, as ``open_library`` finds them."""
        return open_library(self.folder, self.manifest, folder)

    def token(self, token: int) -> str:
        """How an id is written in a text; "" where it has no name."""
        return self.tokenizer.id_to_token(token) or ""


def open_source(model: str | Path, grammar: bool | None = None) -> Source:
    """A bundle, by name or folder, every file held to its manifest.

    ``grammar``: whether the ids of pictures and dreams go along, where the base was made elsewhere; None: where it was
    taught them. Those of nano always do. Raises UsageError and BundleError as ``verify_bundle`` does.
    """
    folder = find_bundle(model)
    manifest = verify_bundle(folder)
    config = read_object(folder / "backbone" / "config.json", BundleError, "the base's config")
    known = load_grammar(folder)
    if manifest.get("base") is None:
        return _of_our_own(folder, manifest, config, known.vocabulary, known.text.library)
    kept = bool(manifest["base"]["taught"]) if grammar is None else grammar
    return _of_a_base(folder, manifest, config, known.vocabulary, kept)


def grammar_name(vocabulary: Vocabulary, token: int) -> str:
    """How an id of the grammar, in the grammar's numbering, is called in an export's vocabulary."""
    return f"<|reverie {token if vocabulary.kind(token) == 'outside' else vocabulary.name(token)}|>"


def _of_our_own(
    folder: Path, manifest: Mapping[str, Any], config: Mapping[str, Any], vocabulary: Vocabulary, words: Tokenizer
) -> Source:
    """A backbone that was made here: the grammar's ids come first, and a talk is a question, answered at once."""
    names = {token: grammar_name(vocabulary, token) for token in range(vocabulary.text_start)}
    asked, said = names[BOS] + names[ASK], names[ANS]
    return Source(
        folder=folder,
        manifest=manifest,
        config=config,
        tokenizer=_with_names(words, names, vocabulary.text_start),
        num_ids=vocabulary.size,
        specials={"bos": BOS, "eos": EOS, "pad": 0},
        ends=(EOS,),
        template=f"{{% for message in messages %}}{{% if loop.last %}}{asked} {{{{ message['content'] }}}}{said}"
        "{% endif %}{% endfor %}",
        stop=(),
        drawing={},
    )


def _of_a_base(
    folder: Path, manifest: Mapping[str, Any], config: Mapping[str, Any], vocabulary: Vocabulary, grammar: bool
) -> Source:
    backbone = folder / "backbone"
    words = BaseWords.read(backbone)
    tokenizer, style = words.library, manifest["base"]["prompt"]
    num_text = vocabulary.num_text
    if grammar:
        first = 1 + max(tokenizer.get_vocab().values())
        names = {token: f"<|reverie unused {token}|>" for token in range(first, num_text)}
        names |= {num_text + token: grammar_name(vocabulary, token) for token in range(vocabulary.text_start)}
        tokenizer = _with_names(tokenizer, names)
    told = {name: read_object(backbone / name, BundleError, "a base's words") for name in _there(backbone)}
    specials = _specials(told.get("tokenizer_config.json", {}), config, tokenizer)
    first_end = specials.get("eos")
    ends = sorted(words.ends, key=lambda token: (token != first_end, token))
    template = words.template.source if style == "chat" and words.template else ""
    return Source(
        folder=folder,
        manifest=manifest,
        config=config,
        tokenizer=tokenizer,
        num_ids=num_text + (vocabulary.text_start if grammar else 0),
        specials=specials | ({"eos": ends[0]} if ends else {}),
        ends=tuple(ends),
        template=template or (_QUESTION if style == "question" else _PLAIN),
        stop=("\n",) if style == "question" else (),
        drawing=words.drawing,
        files=tuple(backbone / name for name in _there(backbone)),
    )


def _there(backbone: Path) -> list[str]:
    return [name for name in _KEPT if (backbone / name).is_file()]


def _specials(told: Mapping[str, Any], config: Mapping[str, Any], tokenizer: Tokenizer) -> dict[str, int]:
    """What the tokenizer's settings name, else the config."""
    found: dict[str, int] = {}
    for name in ("bos", "eos", "unk", "pad"):
        said = told.get(f"{name}_token")
        text = said.get("content") if isinstance(said, dict) else said
        token = tokenizer.token_to_id(text) if isinstance(text, str) else config.get(f"{name}_token_id")
        if isinstance(token, int) and not isinstance(token, bool):
            found[name] = token
    return found


def _with_names(tokenizer: Tokenizer, names: Mapping[int, str], shift: int = 0) -> Tokenizer:
    """The tokenizer with more special tokens, and its own ids moved up by ``shift``.

    Names stand in the vocabulary of its model, too, which keeps their ids whatever ids its other tokens have; no merge
    makes them, so that no text becomes them but by name.
    """
    from tokenizers import Tokenizer

    parts = json.loads(tokenizer.to_str())
    vocab = parts["model"].get("vocab")
    if not isinstance(vocab, dict):
        raise BundleError("a tokenizer without byte pairs cannot be given the grammar's ids; export without them")
    if shift:
        parts["model"]["vocab"] = vocab = {piece: token + shift for piece, token in vocab.items()}
        parts["added_tokens"] = [{**one, "id": one["id"] + shift} for one in parts["added_tokens"]]
    if taken := next((name for name in names.values() if name in vocab), None):
        raise BundleError(f"the base's tokenizer has a token {taken} already")
    vocab |= {name: token for token, name in names.items()}
    plain = {"special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    parts["added_tokens"] += [{"id": token, "content": name, **plain} for token, name in names.items()]
    parts["added_tokens"].sort(key=lambda one: one["id"])
    return Tokenizer.from_str(json.dumps(parts))
