"""One vocabulary: special tokens, positions of cells, image codes, backdrops and text, each a range of ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reverie.errors import ConfigError

__all__ = ["SPECIALS", "Vocabulary"]

#: Order is part of the format: a token's id is its index here.
SPECIALS = ("PAD", "BOS", "EOS", "UNK", "ASK", "WHAT", "ACT", "RES", "ANS", "KEY", "DELTA", "FULL", "END", "LOOK")
_RESERVED = 32  # room for later special tokens without moving the other ranges


@dataclass(frozen=True)
class Vocabulary:
    """Ranges of ids: ``[0, 32)`` special, then ``lattice²`` positions, codes, backdrops, and text last.

    Text comes last so that it can be extended without moving any other id.

    Args:
        num_text: byte-level BPE tokens
        num_codes: codes of the image tokenizer
        lattice: side of the largest frame in cells; a cell's position id is ``row * lattice + col``,
            so that one step down is the same distance in every frame size
        num_backdrops: pictures that key frames may name as their blank
    """

    num_text: int
    num_codes: int = 1000
    lattice: int = 16
    num_backdrops: int = 8

    def __post_init__(self) -> None:
        for name in ("num_text", "num_codes", "lattice"):
            if getattr(self, name) < 1:
                raise ConfigError(f"vocabulary: {name} must be at least 1, got {getattr(self, name)}")
        if self.num_backdrops < 0:
            raise ConfigError(f"vocabulary: num_backdrops must be at least 0, got {self.num_backdrops}")

    @property
    def position_start(self) -> int:
        return _RESERVED

    @property
    def code_start(self) -> int:
        return self.position_start + self.lattice**2

    @property
    def backdrop_start(self) -> int:
        return self.code_start + self.num_codes

    @property
    def text_start(self) -> int:
        return self.backdrop_start + self.num_backdrops

    @property
    def size(self) -> int:
        return self.text_start + self.num_text

    def kind(self, token: int) -> str:
        """``special``, ``position``, ``code``, ``backdrop``, ``text``, or ``outside`` (reserved or out of range)."""
        if token < 0 or token >= self.size:
            return "outside"
        if token < _RESERVED:
            return "special" if token < len(SPECIALS) else "outside"
        if token < self.code_start:
            return "position"
        if token < self.backdrop_start:
            return "code"
        return "backdrop" if token < self.text_start else "text"

    def name(self, token: int) -> str:
        """A readable name for error lines: ``KEY``, ``(2,3)``, ``code 17``, ``text 5`` …"""
        kind = self.kind(token)
        if kind == "special":
            return SPECIALS[token]
        if kind == "position":
            return "({},{})".format(*self.cell(token))
        start = {"code": self.code_start, "backdrop": self.backdrop_start, "text": self.text_start}.get(kind, 0)
        return f"{kind} {token - start}"

    def position(self, row: int, col: int) -> int:
        return self.position_start + row * self.lattice + col

    def cell(self, token: int) -> tuple[int, int]:
        """(row, col) of a position id."""
        return divmod(token - self.position_start, self.lattice)

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


PAD, BOS, EOS, UNK, ASK, WHAT, ACT, RES, ANS, KEY, DELTA, FULL, END, LOOK = range(len(SPECIALS))
