"""A text between a prompt and a suffix, where the base was taught to fill gaps in."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from reverie.server.hosting import ModelFacts
from reverie.server.http.errors import RequestError

__all__ = ["fills_in", "infilled"]

_MARKS = (  # what stands before the prompt, the suffix, and the middle, as families of bases write it
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    ("<PRE>", "<SUF>", "<MID>"),
)


def infilled(prompt: str, suffix: str, facts: ModelFacts) -> str:
    """The text after which the base writes what stands between. Raises RequestError where it was not taught that."""
    marks = _marks(facts.folder, facts.digest)
    if marks is None:
        raise RequestError(400, f"{facts.name} does not support insert: it has no signs for a gap", "suffix")
    before, after, middle = marks
    return f"{before}{prompt}{after}{suffix}{middle}"


def fills_in(facts: ModelFacts) -> bool:
    return facts.talks and _marks(facts.folder, facts.digest) is not None


@lru_cache(64)
def _marks(folder: Path, digest: str) -> tuple[str, str, str] | None:
    """The base's signs; ``digest`` changes with its files."""
    try:
        told = json.loads((folder / "backbone" / "tokenizer.json").read_text(encoding="utf-8"))
        added = {one["content"] for one in told["added_tokens"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return next((marks for marks in _MARKS if added.issuperset(marks)), None)
