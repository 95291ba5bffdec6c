"""Two numberings of the same ids: a base's own, text first, and the grammar's, text last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["IdMap"]


@dataclass(frozen=True)
class IdMap:
    """In a base made elsewhere its text ids come first, as its tokenizer has them, and the grammar's (specials,
    positions, codes, backdrops) follow, so that its folder stays a valid one for transformers, PEFT and vLLM. The
    grammar counts text last. One numbering is the other turned by ``num_grammar`` places.
    """

    num_text: int
    num_grammar: int

    @property
    def size(self) -> int:
        return self.num_text + self.num_grammar

    def to_base_ids(self, ids: Tensor) -> Tensor:
        """The grammar's ids, int64 in [0, size) → the base's."""
        return (ids - self.num_grammar) % self.size

    def to_grammar_ids(self, ids: Tensor) -> Tensor:
        """The base's ids, int64 in [0, size) → the grammar's."""
        return (ids + self.num_grammar) % self.size

    def rotate_logits(self, logits: Tensor) -> Tensor:
        """Logits (..., size) in the base's order → in the grammar's, float32."""
        return logits.float().roll(self.num_grammar, -1)

    def rotate_rows(self, table: Tensor) -> Tensor:
        """A row an id (size, …) in the base's order → in the grammar's: a copy."""
        return table.roll(self.num_grammar, 0)
