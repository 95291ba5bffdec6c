"""What reading a file gives: its title, its words by headings, and what had to be guessed or left out."""

from __future__ import annotations

from dataclasses import dataclass

from reverie.data.facts.contract import BadRow

__all__ = ["Document", "Passage", "Section"]


@dataclass(frozen=True)
class Section:
    """Words under one heading. ``heading``: the headings that it stands under, "" before the first one."""

    heading: str
    text: str


@dataclass(frozen=True)
class Document:
    """One file. ``records``: its sections are documents of their own, with titles for headings."""

    source: str  # where it lies
    title: str
    kind: str  # text, markdown, html, pdf, json
    hash: str  # SHA-256 of its bytes, in hexadecimal
    size: int  # bytes
    sections: tuple[Section, ...]
    records: bool = False
    notes: tuple[str, ...] = ()  # what a reader should know, as "read as cp1252"
    bad: tuple[BadRow, ...] = ()


@dataclass(frozen=True)
class Passage:
    """A piece of a document that is found by itself. ``position`` counts from 0, ``hash`` is of name and words."""

    name: str  # title and headings; not unique
    text: str
    position: int
    hash: str
