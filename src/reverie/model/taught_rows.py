"""The last rows of a frozen base's tables, trained: those of ids that were added to it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["TaughtRows"]


class TaughtRows(nn.Module):
    """Trained copies of the last ``count`` rows of ``embeddings`` (V, D), and of ``output`` where that is another one.

    Both tables are read, and hold the trained rows after ``put``.
    """

    def __init__(self, embeddings: Tensor, output: Tensor, count: int):
        super().__init__()
        self._tables = embeddings, output  # parameters, which may move
        self.embed = nn.Parameter(embeddings[-count:].detach().float().clone())
        tied = embeddings.data_ptr() == output.data_ptr()
        self.embed_output = None if tied else nn.Parameter(output[-count:].detach().float().clone())

    @property
    def output(self) -> Tensor:
        """(count, D): those that logits are made with."""
        return self.embed if self.embed_output is None else self.embed_output

    @torch.no_grad()
    def put(self) -> None:
        """Let the tables hold what the rows are now."""
        for table, rows in zip(self._tables, (self.embed, self.output), strict=True):
            table[-len(rows) :] = rows.to(table.dtype)

    @torch.no_grad()
    def copy_text(self, generator: torch.Generator) -> None:
        """Start each row as another text id's, so that a base that can repeat what it read can repeat these, too."""
        count = len(self.embed)
        text = len(self._tables[0]) - count
        chosen = torch.randperm(text, generator=generator)
        chosen = chosen.repeat(-(-count // text))[:count]
        for table, rows in zip(self._tables, (self.embed, self.output), strict=True):
            rows.copy_(table[chosen.to(table.device)].float())
        self.put()

    def embedded(self, ids: Tensor) -> Tensor:
        """ids int64 (...) of the table → float (..., D), with gradients of the trained rows."""
        return _Looked.apply(ids, self._tables[0], self.embed)


class _Looked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, ids: Tensor, table: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.first, ctx.shape = len(table) - len(rows), rows.shape
        return F.embedding(ids, table)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (ids,) = ctx.saved_tensors
        new = ids >= ctx.first
        rows = torch.zeros(ctx.shape, dtype=torch.float32, device=grad.device)
        return None, None, rows.index_add_(0, ids[new] - ctx.first, grad[new].float())
