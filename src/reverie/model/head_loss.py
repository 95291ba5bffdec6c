"""Cross entropy against a large frozen output table, a few positions at a time: all logits never exist at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from reverie.model.products import linear

__all__ = ["head_loss"]

_CHUNK = 2**25  # logits that exist at once: 128 MB in float32


def head_loss(
    hidden: Tensor, targets: Tensor, shares: Tensor, table: Tensor, rows: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The weighted sum of -log p(targets), a scalar in nats, and that of each position, (n,), without gradients.

    Args:
        hidden: float (n, D), the final states
        targets: int64 (n,), rows of ``table``
        shares: float32 (n,), of each position in the sum
        table: float (V, D), the frozen output weights
        rows: float32 (G, D), trained, what the last rows of ``table`` hold; None where all of it is frozen
    """
    return _HeadLoss.apply(hidden, targets, shares, table, rows)


class _HeadLoss(torch.autograd.Function):
    """Gradients are made while a chunk's logits are there."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, targets: Tensor, shares: Tensor, table: Tensor, rows: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        nats = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
        training = ctx.needs_input_grad[0] or ctx.needs_input_grad[4]
        grad = torch.empty_like(hidden) if training else None
        grad_rows = torch.zeros_like(rows) if training and rows is not None else None
        size = max(1, _CHUNK // len(table))
        for start in range(0, len(hidden), size):
            part = slice(start, start + size)
            goal, share = targets[part], shares[part].unsqueeze(1)
            logits = linear(hidden[part], table).float()
            top = logits.amax(1, keepdim=True)
            said = logits.gather(1, goal.unsqueeze(1)) - top
            total = logits.sub_(top).exp_().sum(1, keepdim=True)
            nats[part] = (total.log() - said).squeeze(1)
            if grad is not None:
                mean = linear(logits.to(table.dtype), table.t())  # of the table's rows, as likely as each is
                grad[part] = (mean * (share / total) - table[goal] * share).to(grad.dtype)
            if grad_rows is not None:
                first = len(table) - len(grad_rows)
                slope = logits[:, first:] * (share / total)
                grad_rows += linear(slope.t().contiguous(), hidden[part].float().t())
                new = goal >= first
                grad_rows.index_add_(0, goal[new] - first, -(hidden[part] * share)[new].float())
        ctx.save_for_backward(grad, grad_rows)
        ctx.mark_non_differentiable(nats)
        return torch.dot(nats, shares), nats

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_rows = ctx.saved_tensors
        return (
            grad_hidden * grad.to(grad_hidden.dtype), None, None, None,
            None if grad_rows is None else grad_rows * grad,
        )  # fmt: skip
