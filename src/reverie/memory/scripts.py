"""Scripts that put no spaces between words, and Hangul, which puts none before what Korean adds to them."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["HAN", "HIRAGANA", "KATAKANA", "OTHERS", "RUN", "is_unspaced"]

HIRAGANA, KATAKANA, HAN = "\u3040-\u309f", "\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f", "\u3400-\u9fff\uf900-\ufaff"
HAN += "\U00020000-\U0003ffff"
OTHERS = "\u0e00-\u109f\u1780-\u17ff\uac00-\ud7a3"  # Thai, Lao, Tibetan, Burmese; Khmer; Hangul
RUN = HIRAGANA + KATAKANA + HAN + OTHERS
_UNSPACED = re.compile(f"[{RUN}]")


def is_unspaced(word: str) -> bool:
    """Whether a folded word or term is of such a script, of which a letter says little alone."""
    return not word.isascii() and (_UNSPACED.match(unicodedata.normalize("NFC", word)) is not None)
