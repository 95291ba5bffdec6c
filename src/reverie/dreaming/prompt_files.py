"""A user's own prompts from a file, with what is expected of the answers, where that is said.

JSON lines of ``{"prompt": "…", "expected": "…" or ["…", …], "match": "contains"}``; ``question`` and ``answers`` are
taken for the first two as well. ``expected`` may be left out. Any other file is a prompt a line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reverie.errors import UsageError, shorten
from reverie.jsonio import json_lines

__all__ = ["MATCHES", "OwnPrompt", "read_prompts"]

MATCHES = ("contains", "exact", "regex")
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True)
class OwnPrompt:
    """One prompt. ``expected``: any of them will do; () where nothing is expected."""

    text: str
    expected: tuple[str, ...] = ()
    match: str = "contains"

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text.strip():
            raise UsageError(f"a prompt is a text that is not empty, got {shorten(repr(self.text), 60)}")
        if self.match not in MATCHES:
            raise UsageError(f"match is {', '.join(MATCHES)}, got {shorten(repr(self.match), 30)}")
        if not all(isinstance(one, str) and one.strip() for one in self.expected):
            raise UsageError(f"expected texts are not empty, got {shorten(repr(list(self.expected)), 60)}")
        for one in self.expected if self.match == "regex" else ():
            try:
                re.compile(one)
            except re.error as error:
                raise UsageError(f"'{shorten(one, 60)}' is no regular expression: {error}") from error

    def holds(self, answer: str) -> bool | None:
        """Whether the answer is what was expected; None where nothing was. Small letters and blanks do not count, but
        for a regular expression, which says itself what does."""
        if not self.expected:
            return None
        if self.match == "regex":
            return any(re.search(one, answer) for one in self.expected)
        said, wanted = _plain(answer), [_plain(one) for one in self.expected]
        if self.match == "exact":
            return said.rstrip(".!") in [one.rstrip(".!") for one in wanted]
        return any(one in said for one in wanted)


def read_prompts(path: Path) -> list[OwnPrompt]:
    """Raises UsageError for a file that is not there, holds no prompt, or one that is malformed, with its line."""
    if path.suffix in (".jsonl", ".ndjson", ".json"):
        rows = json_lines(path, UsageError, "the file of prompts")
        prompts = [_numbered(path, number, fields) for number, fields in rows]
    else:
        prompts = [OwnPrompt(line.strip()) for line in _lines(path) if line.strip()]
    if not prompts:
        raise UsageError(f'{path} holds no prompts; write one a line, or JSON lines of {{"prompt": "…"}}')
    return prompts


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise UsageError(f"the file of prompts {path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the file of prompts {path} is no text in UTF-8: {error.reason}") from error


def _numbered(path: Path, number: int, fields: Mapping[str, Any]) -> OwnPrompt:
    given = fields.get("expected", fields.get("answers"))
    expected = () if given is None else (given,) if isinstance(given, str) else given
    try:
        if not isinstance(expected, (list, tuple)):
            raise UsageError(f"expected is a text or a list of them, got {shorten(repr(expected), 60)}")
        text = fields.get("prompt", fields.get("question", ""))
        return OwnPrompt(text, tuple(expected), fields.get("match", "contains"))
    except UsageError as error:
        raise UsageError(f"{path}, line {number}: {error}") from error


def _plain(text: str) -> str:
    return _BLANKS.sub(" ", text).strip().casefold()
