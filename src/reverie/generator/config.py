"""The sizes of a generator, and presets."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reverie.errors import ConfigError
from reverie.registry import Registry

__all__ = ["MAX_SEED", "PRESETS", "GeneratorConfig"]

MAX_SEED = 2**32 - 1  # all that the generators of torch tell apart


@dataclass(frozen=True)
class GeneratorConfig:
    """What a generator is made of."""

    side: int = 512  # pixels of its square pictures
    widths: tuple[int, ...] = (16, 32, 64, 128, 192, 256, 256, 256)  # feature maps at side, side/2, … down to the grid
    latent_size: int = 1024  # D
    vocabulary: int = 8000  # most ids of captions, the three special ones among them
    caption_ids: int = 100  # T, the longest caption with its begin and end
    num_layers: int = 3  # of the caption decoder, and of the caption encoder
    num_heads: int = 8
    hidden_size: int = 512  # width of both
    num_prefix: int = 4  # places in front of a caption at which the decoder sees the latent
    match_size: int = 128  # M, where a picture's latent and its caption's are compared
    dropout: float = 0.2  # in both caption networks, while training
    grey: bool = False  # pictures are painted in shades of grey; they have three channels all the same

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        halvings = len(self.widths) - 1
        if halvings < 1 or self.side < 2 or self.side % 2**halvings or min(self.widths) < 4:
            raise ConfigError(
                f"generator: side halves once for each width after the first, and widths are at least 4; "
                f"got side={self.side} and widths={list(self.widths)}"
            )
        if any(width % 4 for width in self.widths):
            raise ConfigError(f"generator: widths are multiples of 4, got {list(self.widths)}")
        if self.hidden_size % self.num_heads:
            raise ConfigError(
                f"generator: hidden_size is a multiple of num_heads, got {self.hidden_size} and {self.num_heads}"
            )
        if self.vocabulary < 3 + 256 or self.caption_ids < 3:
            raise ConfigError(
                f"generator: vocabulary is at least 259 (every byte and three more), caption_ids at least 3; "
                f"got {self.vocabulary} and {self.caption_ids}"
            )
        for name in ("latent_size", "num_layers", "num_heads", "num_prefix", "match_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"generator: {name} is at least 1, got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"generator: dropout is 0 or more and below 1, got {self.dropout}")

    @property
    def grid(self) -> int:
        """Cells on a side of the coarsest level."""
        return int(self.side // 2 ** (len(self.widths) - 1))

    @property
    def channels(self) -> int:
        return 1 if self.grey else 3

    @property
    def thumbnail(self) -> int:
        """Side in pixels of the thumbnail that goes straight into the latent and back: at most 32."""
        sides = (self.grid << level for level in range(self.num_levels))
        return max(side for side in sides if side <= max(32, self.grid))

    @property
    def num_levels(self) -> int:
        return len(self.widths)


_SMALL_WORDS = GeneratorConfig(
    vocabulary=800, caption_ids=100, num_layers=2, num_heads=4, hidden_size=128, num_prefix=4, match_size=64
)
PRESETS = Registry[GeneratorConfig]("preset", {
    "engraving-512": GeneratorConfig(),
    "small-128": replace(_SMALL_WORDS, side=128, widths=(12, 24, 48, 96, 128, 160), latent_size=384),
    "tiny-64": replace(_SMALL_WORDS, side=64, widths=(16, 32, 64, 96, 128), latent_size=256),
    "toy-16": GeneratorConfig(
        16, (8, 16, 16), 32, 300, 24, num_layers=1, num_heads=2, hidden_size=32, num_prefix=2, match_size=16
    ),
})  # fmt: skip
