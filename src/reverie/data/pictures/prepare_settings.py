"""How a folder of pictures becomes a collection: every choice, with its default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reverie.data.pictures.phrases import Template, find_style
from reverie.data.pictures.picture_sources import Columns
from reverie.data.pictures.screening import Rules
from reverie.errors import ConfigError

__all__ = ["MAX_PIXELS", "PrepareConfig"]

MAX_PIXELS = 178_956_970  # where Pillow itself refuses


@dataclass(frozen=True)
class PrepareConfig:
    """How a folder becomes a collection. Raises ConfigError on what cannot be; 0 switches a limit off."""

    style: str = "none"  # one of phrases.STYLES
    size: int = 512  # side of the squares, px
    format: Literal["png", "jpg"] = "png"
    pad: Literal["border", "white", "black"] = "border"
    grey: bool | None = None  # write without colour; None: as the style says
    min_side: int = 64  # px, the shorter side of an original
    max_aspect: float = 4.0  # longer side / shorter side
    max_pixels: int = 100_000_000
    min_tones: float = 16.0  # grey levels of 255 between darkest and lightest
    max_colour: float | None = None  # in [0, 1]; None: 0.015 in a black and white style, else 1
    duplicates: bool = False  # keep them
    duplicate_distance: int = 4  # bits of 64 in which two hashes of one picture may differ
    group_distance: int = 8  # bits of 64 within which pictures stay in one split
    caption: str = ""  # template over the given fields, such as "{caption} {work}"
    prefix: str | None = None  # before a captioner's words; None: the style's
    without_caption: Literal["keep", "drop"] = "keep"
    max_caption: int = 600  # characters
    val_share: float = 0.1
    seed: int = 0
    file_column: str = ""  # of the metadata; empty: file, file_name, image or path
    caption_column: str = ""  # empty: caption, text or description
    split_column: str = "split"
    encoding: str = "utf-8"  # of metadata and texts
    workers: int = 0  # processes; 0: one per core. Makes no difference to the result

    def __post_init__(self) -> None:
        find_style(self.style)
        Template(self.caption)
        for name, low, high in (
            ("size", 8, 8_192),
            ("min_side", 1, 100_000),
            ("max_pixels", 1, MAX_PIXELS),
            ("min_tones", 0, 255),
            ("duplicate_distance", 0, 64),
            ("group_distance", 0, 64),
            ("max_caption", 16, 100_000),
            ("val_share", 0, 0.9),
            ("workers", 0, 1_024),
        ):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"{name} must be from {low:,} to {high:,}, got {getattr(self, name)}")
        if self.max_aspect and not self.max_aspect >= 1:
            raise ConfigError(f"max_aspect must be at least 1, or 0 for any, got {self.max_aspect}")
        if self.max_colour is not None and not 0 <= self.max_colour <= 1:
            raise ConfigError(f"max_colour must be from 0 to 1, got {self.max_colour}")
        try:
            "".encode(self.encoding)
        except (LookupError, ValueError) as error:
            raise ConfigError(f"the encoding '{self.encoding}' is not known. Known are utf-8, latin-1, …") from error

    def rules(self) -> Rules:
        """The limits that each picture is held to."""
        black_and_white = find_style(self.style).black_and_white
        max_colour = self.max_colour if self.max_colour is not None else 0.015 if black_and_white else 1.0
        grey = black_and_white if self.grey is None else self.grey
        limits = (self.max_pixels, self.min_side, self.max_aspect, self.min_tones, max_colour)
        return Rules(self.size, self.pad, self.format, grey, *limits)

    def columns(self) -> Columns:
        return Columns(self.file_column, self.caption_column, self.split_column, self.encoding)
