"""The words of a caption: the phrase of a style, templates over given fields, whitespace, length."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reverie.errors import ConfigError, UnknownNameError, shorten

__all__ = ["STYLES", "Style", "Template", "bare_phrase", "cut_caption", "find_style", "one_line", "with_prefix"]


@dataclass(frozen=True)
class Style:
    """How pictures of one kind are described, and whether colour is foreign to them."""

    prefix: str  # what a captioner's words are put behind
    black_and_white: bool = False


STYLES = {
    "engraving": Style("An engraving depicting", black_and_white=True),
    "etching": Style("An etching depicting", black_and_white=True),
    "woodcut": Style("A woodcut depicting", black_and_white=True),
    "drawing": Style("A drawing of"),
    "painting": Style("A painting of"),
    "photograph": Style("A photograph of"),
    "none": Style(""),
}
_LINKS = ("depicting", "showing", "of", "with")
_LOWERED = frozenset("a an the two three four five six seven eight nine ten several some many this there".split())
_KIND = (  # "a black and white drawing of …", as captioners like to begin
    r"(?:(?:an?|the|this is an?)\s+)?(?:(?:black and white|black-and-white|old|vintage|antique|detailed)\s+)*"
    r"(?:engraving|etching|woodcut|drawing|sketch|illustration|picture|image|photo|photograph|painting|print)"
    r"\s+(?:of|showing|depicting|that shows)\s+"
)


def find_style(name: str) -> Style:
    """The style of that name; UnknownNameError where there is none."""
    if name not in STYLES:
        raise UnknownNameError("style", name, STYLES)
    return STYLES[name]


def one_line(text: str) -> str:
    """``text`` with single spaces, without control characters; lone surrogates, which no file can hold, become �."""
    return " ".join("".join(map(_plain, text)).split()) if not text.isprintable() else " ".join(text.split())


def with_prefix(prefix: str, words: str) -> str:
    """A captioner's ``words`` behind the style's ``prefix``; its own "a drawing of" makes room for it."""
    words = one_line(words)
    if not prefix or not words or words.lower().startswith(prefix.lower()):
        return words
    words = re.sub(_KIND, "", words, count=1, flags=re.IGNORECASE) if re.match(_KIND + r"\S", words, re.I) else words
    first, _, rest = words.partition(" ")
    if first.lower() in _LOWERED:
        words = f"{first.lower()} {rest}".strip()
    return f"{prefix} {words}"


def bare_phrase(prefix: str) -> str:
    """What the prefix says on its own: "An engraving depicting" is "An engraving"."""
    words = prefix.split()
    while words and words[-1].lower() in _LINKS:
        words.pop()
    return " ".join(words)


def cut_caption(caption: str, limit: int) -> str:
    """``caption``, cut behind a word to at most ``limit`` characters."""
    if len(caption) <= limit:
        return caption
    head = caption[: limit + 1]
    space = head.rfind(" ")
    return head[:space].rstrip(" ,;:–-") if space > limit // 2 else caption[:limit]


class Template:
    """A caption made of given fields: ``{caption} {work}``, ``{caption}[, from {work}]``.

    What stands in square brackets is left out where a field in it is missing; elsewhere a missing field leaves nothing
    behind, neither a gap nor a comma at an end. ``missing`` counts them by field. Raises ConfigError on braces or
    brackets that do not match.
    """

    def __init__(self, text: str) -> None:
        self.text, self.missing = text, Counter[str]()
        self._parts = [(part.startswith("["), _fields(part.strip("[]"), text)) for part in _split(text)]
        self.fields = tuple(dict.fromkeys(name for _, part in self._parts for _, name in part if name))

    def check(self, known: Mapping[str, Any] | set[str]) -> None:
        """Raise UnknownNameError at a field that no picture has."""
        for name in self.fields:
            if name not in known:
                raise UnknownNameError("field of --caption", name, known)

    def render(self, values: Mapping[str, str]) -> str:
        """The caption of one picture, perhaps empty."""
        missing = [name for name in self.fields if not values.get(name)]
        self.missing.update(missing)
        if len(missing) == len(self.fields) and self.fields:
            return ""
        said = []
        for optional, part in self._parts:
            if not optional or not any(name in missing for _, name in part):
                said += [before + (values.get(name) or "") for before, name in part]
        text = "".join(said)
        return one_line(_tidy(text) if missing else text)


def _split(text: str) -> list[str]:
    """Parts in square brackets, and those between them."""
    if not re.fullmatch(r"[^\[\]]*(\[[^\[\]]*\][^\[\]]*)*", text):
        raise ConfigError(f"the caption '{shorten(text)}' has square brackets that do not match")
    return [part for part in re.split(r"(\[[^\]]*\])", text) if part]


def _fields(part: str, whole: str) -> list[tuple[str, str]]:
    """(text before, field) of a part; the last may have no field."""
    try:
        parsed = list(string.Formatter().parse(part))
    except ValueError as error:
        raise ConfigError(f"the caption '{shorten(whole)}' has braces that do not match: {error}") from error
    for _, name, form, conversion in parsed:
        if name == "" or form or conversion:
            raise ConfigError(f"the caption '{shorten(whole)}' must name fields as in {{caption}}")
    return [(before, name or "") for before, name, _, _ in parsed]


def _tidy(text: str) -> str:
    """Without the marks that a missing field left alone."""
    text = re.sub(r"\(\s*\)|\"\s*\"|“\s*”", "", text)
    text = re.sub(r"\s+([,.;:!?])", r"\1", " ".join(text.split()))
    text = re.sub(r"([,;:])(?:\s*[,;:])+", r"\1", text)
    text = re.sub(r"[,;:]+\s*\.", ".", text)
    return text.lstrip(" ,.;:–-").rstrip(" ,;:–-")


def _plain(letter: str) -> str:
    category = unicodedata.category(letter)
    return " " if category == "Cc" else "\N{REPLACEMENT CHARACTER}" if category == "Cs" else letter
