"""Documents to overlapping passages: at headings first, then at paragraphs, then between sentences."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from reverie.data.documents.contract import Document, Passage
from reverie.errors import ConfigError

__all__ = ["PassageConfig", "cut", "pieces"]

_SENTENCE = re.compile(
    r"(?:(?<![.!?…])[.!?…]+[\"'”’)\]]*\s+(?=[\"'“‘(\[¿¡]?[^\Wa-z_])|[。！？]+[」』”]?\s*|\n[ \t]*\n\s*)"
)
_LONGEST_NAME = 200  # characters


@dataclass(frozen=True)
class PassageConfig:
    """How long passages are, in characters. About what an encoder of 256 tokens reads whole."""

    most: int = 800
    overlap: int = 160  # most of the end of one passage that the next one begins with, in whole sentences

    def __post_init__(self) -> None:
        if not 0 <= self.overlap <= self.most // 2:
            raise ConfigError(f"passages: overlap is at most half of most ({self.most}), got {self.overlap}")


def cut(document: Document, settings: PassageConfig | None = None) -> Iterator[Passage]:
    """The passages of ``document``, in order. What follows a change in one section leaves the passages of others as
    they were, and after the next paragraph that fills a passage those of its own, too."""
    settings = settings or PassageConfig()
    position = 0
    for section in document.sections:
        name = section.heading if document.records else ": ".join(filter(None, (document.title, section.heading)))
        name = name[:_LONGEST_NAME].strip()
        for text in pieces(section.text, settings):
            digest = hashlib.sha256(f"{name}\n{text}".encode(errors="replace")).hexdigest()[:32]
            yield Passage(name, text, position, digest)
            position += 1


def pieces(text: str, settings: PassageConfig) -> Iterator[str]:
    """Overlapping pieces of at most ``most`` characters."""
    if len(text) <= settings.most:
        yield text.strip()
        return
    held: list[tuple[int, int]] = []  # spans of units, of which the first may be repeated from the piece before
    fresh = 0  # units that are not
    for start, end, closes in _units(text, settings.most):
        if held and end - held[0][0] > settings.most:
            yield text[held[0][0] : held[-1][1]].strip()
            held, fresh = _overlap(held, settings.overlap, settings.most - (end - start)), 0
        held.append((start, end))
        fresh += 1
        if closes and end - held[0][0] >= settings.most / 2:  # so that pieces after a change are as they were
            yield text[held[0][0] : end].strip()
            held, fresh = _overlap(held, settings.overlap, settings.most), 0
    if fresh:
        yield text[held[0][0] : held[-1][1]].strip()


def _overlap(held: list[tuple[int, int]], most: int, room: int) -> list[tuple[int, int]]:
    """The last units that are short enough to be said twice."""
    end = held[-1][1]
    return [span for span in held[1:] if end - span[0] <= min(most, room)]


def _units(text: str, most: int) -> Iterator[tuple[int, int, bool]]:
    """(start, end, ends a paragraph) of sentences; of one that is too long, of its lines, else of its words."""
    start = 0
    for found in _SENTENCE.finditer(text):
        yield from _split(text, start, found.end(), most, found.group().count("\n") > 1)
        start = found.end()
    if text[start:].strip():
        yield from _split(text, start, len(text), most, True)


def _split(text: str, start: int, end: int, most: int, closes: bool) -> Iterator[tuple[int, int, bool]]:
    while end - start > most:
        at = text.rfind("\n", start + 1, start + most) + 1
        if at <= start:
            at = text.rfind(" ", start + 1, start + most) + 1
        if at <= start:
            at = start + most
        yield start, at, False
        start = at
    if text[start:end].strip():
        yield start, end, closes
