"""A grammar in a folder: ``vocabulary.json`` (ranges of ids, backdrops) and ``text_tokenizer/tokenizer.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from reverie.errors import BundleError, ConfigError, GrammarError, shorten
from reverie.files import atomic_write_json
from reverie.jsonio import read_object
from reverie.nouns import Frame
from reverie.tokens.grammar import Grammar
from reverie.tokens.text import BaseTokenizer, TextTokenizer
from reverie.tokens.vocabulary import Vocabulary

__all__ = ["load_grammar", "save_grammar"]


def save_grammar(grammar: Grammar, folder: Path) -> None:
    """Write what ``load_grammar`` needs to read and write the same documents."""
    grammar.text.save(folder / "text_tokenizer")
    described: dict[str, Any] = {
        **({"text": "base"} if isinstance(grammar.text, BaseTokenizer) else {}),
        **grammar.vocabulary.to_json(),
        "full_frames": grammar.full_frames,
        "backdrops": [frame.codes.tolist() for frame in grammar.backdrops],
    }
    atomic_write_json(folder / "vocabulary.json", described)


def load_grammar(folder: Path) -> Grammar:
    """Read such a folder. Raises BundleError when a file is missing, damaged, or does not fit the other."""
    path = folder / "vocabulary.json"
    try:
        described = read_object(path, BundleError, "the vocabulary")
        if described.pop("text", "") == "base":
            text: TextTokenizer = BaseTokenizer.read(folder / "text_tokenizer", int(described["num_text"]))
        else:
            text = TextTokenizer.load(folder / "text_tokenizer")
        backdrops = [Frame(np.array(codes)) for codes in described.pop("backdrops")]
        full_frames = bool(described.pop("full_frames"))
        return Grammar(Vocabulary(**described), text, backdrops, full_frames)
    except (KeyError, TypeError, ValueError, ConfigError, GrammarError) as error:
        raise BundleError(f"the vocabulary {path} is damaged: {shorten(str(error))}") from error
