"""Plain text, Markdown and JSON lists of {title, text} to sections."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from reverie.data.documents.contract import Section
from reverie.data.documents.headings import Headings
from reverie.data.facts.contract import BadRow
from reverie.data.facts.lines import clean, json_records, only

__all__ = ["read_markdown", "read_plain", "numbered", "read_records", "record_of"]

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*")
_UNDERLINE = re.compile(r" {0,3}(=+|-{3,})[ \t]*")
_FENCE = re.compile(r"\s*(```|~~~)")
_FRONT = re.compile(r"---\n(.*?\n)(?:---|\.\.\.)\n", re.S)
_TITLE = re.compile(r"""^title:\s*["']?(.+?)["']?\s*$""", re.M | re.I)


def read_plain(text: str) -> tuple[str, list[Section]]:
    """A text without headings is one section; its title is "" (its file has one)."""
    return "", [Section("", text.strip("\n"))] if text.strip() else []


def read_markdown(text: str) -> tuple[str, list[Section]]:
    """(title, sections): the title is that of the front matter, else the first heading of level 1."""
    title = ""
    if front := _FRONT.match(text):
        text = text[front.end() :]
        if named := _TITLE.search(front.group(1)):
            title = named.group(1)
    headings = Headings()
    kept: list[str] = []
    fence = ""
    for line in text.split("\n"):
        if mark := _FENCE.match(line):
            fence = "" if fence == mark.group(1) else fence or mark.group(1)
        found = None if fence else _HEADING.fullmatch(line)
        under = None if fence or found else _UNDERLINE.fullmatch(line)
        if found or (under and len(kept) == 1):
            words = kept.pop() if not found else ""
            _paragraph(headings, kept)
            headings.open(len(found.group(1)) if found else 1 + ("-" in line), found.group(2) if found else words)
        elif line.strip() or fence:
            kept.append(line)
        else:
            _paragraph(headings, kept)
    _paragraph(headings, kept)
    return title or headings.title, headings.sections()


def _paragraph(headings: Headings, lines: list[str]) -> None:
    headings.write("\n".join(lines))
    lines.clear()


def read_records(path: Path) -> tuple[list[Section], list[BadRow]]:
    """The records of a JSON list, each with its title as heading, and those that cannot be read."""
    found: list[Section] = []
    bad: list[BadRow] = []
    for number, record in json_records(path):
        try:
            found.append(record_of(record))
        except ValueError as error:
            bad.append(BadRow(number, str(error)))
    return list(numbered(found, {})), bad


def record_of(record: Any) -> Section:
    """ValueError says what a record lacks."""
    fields = only(record, dict, "an object with title and text")
    title, text = clean(fields.get("title")), only(fields.get("text"), str, "a text").strip()
    if not text:
        raise ValueError("the text is empty")
    if not f"{title}{text}".isascii() and re.search("[\ud800-\udfff]", f"{title}{text}"):
        raise ValueError("holds bytes that are no UTF-8")
    return Section(title, text)


def numbered(sections: Iterable[Section], seen: dict[str, int]) -> Iterator[Section]:
    """A second one of the same title is numbered, not written over the first. ``seen`` counts titles, in lower case."""
    for section in sections:
        key = section.heading.casefold()
        count = seen[key] = seen.get(key, 0) + 1
        yield Section(f"{section.heading} ({count})", section.text) if count > 1 else section
