"""Paragraphs under headings become sections, each with the headings that it stands under."""

from __future__ import annotations

from reverie.data.documents.contract import Section

__all__ = ["Headings"]

_LONGEST = 120  # characters of a heading


class Headings:
    """Takes headings and paragraphs in order. ``title``: the first heading of level 1, which sections do not repeat."""

    def __init__(self) -> None:
        self.title = ""
        self._path: list[tuple[int, str]] = []
        self._found: list[tuple[str, list[str]]] = [("", [])]

    def open(self, level: int, words: str) -> None:
        words = words[:_LONGEST].strip()
        if not words:
            return
        if level == 1 and not self.title:
            self.title = words
        self._path = [(other, said) for other, said in self._path if other < level] + [(level, words)]
        shown = [said for place, (_, said) in enumerate(self._path) if place or said != self.title]
        self._found.append((": ".join(shown), []))

    def write(self, paragraph: str) -> None:
        if paragraph.strip():
            self._found[-1][1].append(paragraph)

    def sections(self) -> list[Section]:
        return [Section(heading, "\n\n".join(paragraphs)) for heading, paragraphs in self._found if paragraphs]
