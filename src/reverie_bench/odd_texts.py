"""Texts on which tokenizers part ways: many scripts, marks apart from their letters, every kind of space, runs."""

from __future__ import annotations

import sys
import unicodedata
from functools import cache

import numpy as np

__all__ = ["odd_texts"]

_WORDS = (
    "What happens when you drop an egg?",
    "I'm you're WE'LL don't 'tis o'clock it's IT'S",
    "naïve café Ångström œuvre ﬁne Straße İstanbul ǅ",
    "e\u0301 a\u0308 n\u0303 o\u0302\u0323",
    "Привет мир съешь ещё",
    "Ελληνικά ὦ ἀρετή",
    "日本語のテキスト、東京で3月14日",
    "中文字符混合English和123数字",
    "한국어 문장입니다",
    "العربية مِن اليمين",
    "עברית שלום",
    "हिन्दी में लिखा",
    "ไทยไม่มีเว้นวรรค",
    "ខ្មែរ ပြည်",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 1️⃣ 🇩🇪",
    "∀x∈ℝ: ⌈x⌉ ≠ −x ∑ √2 ½ ² Ⅷ ٣ ๓",
    "3.14159 1,000,000 0x1F 1e-9 12345678901234567890",
    "def f(x):\n\treturn {'a': [1, 2], \"b\": x**2}  # note",
    "https://example.org/a_b-c?d=%20&e=1#f",
    "“quoted” ‘single’ — dash … ¿qué? ¡sí!",
    "....!!!!????,,,,;;;;----====____''''\"\"\"\"````",
)
_SPACES = (" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n\n", " \n ", "\u00a0", "\u2003", "\u200b", "\u3000", "\ufeff", "")


def odd_texts(count: int, seed: int = 0) -> list[str]:
    """So many texts, each of a few pieces: words, letters drawn from all of Unicode, spaces of all kinds between."""
    rng = np.random.default_rng([seed, 8])
    return [_text(rng) for _ in range(count)]


def _text(rng: np.random.Generator) -> str:
    parts = [str(rng.choice(_SPACES))]
    for _ in range(int(rng.integers(1, 7))):
        parts += [_piece(rng), str(rng.choice(_SPACES))]
    return "".join(parts) or "a"


def _piece(rng: np.random.Generator) -> str:
    kind = rng.random()
    if kind < 0.6:
        words = str(rng.choice(_WORDS))
        start = int(rng.integers(len(words)))
        return words[start : start + int(rng.integers(1, 40))]
    if kind < 0.85:
        letters = _letters()
        return "".join(letters[one] for one in rng.integers(len(letters), size=int(rng.integers(1, 12))))
    return str(rng.choice(list("aZ9 .-\n'é漢"))) * int(rng.integers(2, 30))


@cache
def _letters() -> list[str]:
    """Every character that is assigned, but for controls and halves of pairs."""
    kept = (chr(code) for code in range(32, sys.maxunicode + 1))
    return [one for one in kept if unicodedata.category(one) not in ("Cc", "Cs", "Cn", "Co")]
