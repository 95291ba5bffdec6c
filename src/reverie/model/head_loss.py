"""Cross entropy against a large frozen output table, a few positions at a time: all logits never exist at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from reverie.model.products import linear

__all__ = ["head_loss"]

_CHUNK = 2**25  # logits that exist at once: 128 MB in float32


def head_loss(hidden: Tensor, targets: Tensor, shares: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    """The weighted sum of -log p(targets), a scalar in nats, and that of each position, (n,), without gradients.

    Args:
        hidden: float (n, D), the final states, which alone get gradients
        targets: int64 (n,), rows of ``table``
        shares: float32 (n,), of each position in the sum
        table: float (V, D), the frozen output weights
    """
    return _HeadLoss.apply(hidden, targets, shares, table)


class _HeadLoss(torch.autograd.Function):
    """Gradients are made while a chunk's logits are there."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, targets: Tensor, shares: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
        nats = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
        grad = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
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
        ctx.save_for_backward(grad)
        ctx.mark_non_differentiable(nats)
        return torch.dot(nats, shares), nats

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        (grad_hidden,) = ctx.saved_tensors
        return grad_hidden * grad.to(grad_hidden.dtype), None, None, None
