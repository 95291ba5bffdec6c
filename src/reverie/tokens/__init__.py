"""Pictures and words ↔ ids of one vocabulary. Read ``grammar.py`` first: it says what a document is.

``ImageTokenizer`` turns pictures into frames of FSQ codes, ``TextTokenizer`` words into byte-level BPE ids,
``Vocabulary`` lays both out as ranges of ids, and ``Grammar`` writes and reads documents of triplets.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reverie.tokens.grammar import Document, Grammar, Walker
    from reverie.tokens.image import ImageTokenizer, ImageTokenizerConfig
    from reverie.tokens.text import TextTokenizer
    from reverie.tokens.vocabulary import Vocabulary

__all__ = ["Document", "Grammar", "ImageTokenizer", "ImageTokenizerConfig", "TextTokenizer", "Vocabulary", "Walker"]

_HOMES = {
    "Document": "grammar",
    "Grammar": "grammar",
    "Walker": "grammar",
    "ImageTokenizer": "image",
    "ImageTokenizerConfig": "image",
    "TextTokenizer": "text",
    "Vocabulary": "vocabulary",
}


def __getattr__(name: str) -> Any:  # torch is imported only when a name that needs it is asked for
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
