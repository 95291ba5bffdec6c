"""What a backbone makes of documents: how likely it finds their ids, and which it would have said itself."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from reverie.model import Backbone
from reverie.model.transformers_base import TransformersBackbone

__all__ = ["judged", "told"]

_CHUNK = 2**24  # logits that exist at once


@torch.no_grad()
def judged(backbone: Backbone | TransformersBackbone, ids: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    """log p of some next ids in nats, float32, and the likeliest ids in their places, int64; each (n,), on the CPU.

    ids: int64 (B, T). where: bool (B, T - 1), n of them true: which of ``ids[:, 1:]`` are judged. Logits are made there
    alone, a few at a time.
    """
    device = next(backbone.parameters()).device
    where, goals = where.to(device), ids[:, 1:].to(device)[where.to(device)]
    plain = isinstance(backbone, Backbone) or backbone.plain_output
    states = (backbone.hidden(ids.to(device)) if plain else backbone(ids.to(device)))[:, :-1][where]
    size = max(1, _CHUNK // backbone.config.vocab_size)
    log_probs, guesses = [torch.zeros(0)], [torch.zeros(0, dtype=torch.int64)]
    for part, goal in zip(states.split(size), goals.split(size), strict=True):
        logits = (backbone.logits(part) if plain else part).float()
        log_probs.append((logits.gather(1, goal[:, None])[:, 0] - logits.logsumexp(1)).cpu())
        guesses.append(logits.argmax(1).cpu())
    return torch.cat(log_probs), torch.cat(guesses)


def told(backbone: Backbone | TransformersBackbone, ids: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    """As ``judged``, with gradients: log p of the ids, float32 (n,), and the states that they are drawn from, (n, D).

    Logits are made a few at a time, and on the way back once more.
    """
    goals = ids[:, 1:][where]
    states = backbone.hidden(ids)[:, :-1][where]
    size = max(1, _CHUNK // backbone.config.vocab_size)

    def said(part: Tensor, goal: Tensor) -> Tensor:
        logits = backbone.logits(part).float()
        return logits.gather(1, goal[:, None])[:, 0] - logits.logsumexp(1)

    chunks = list(zip(states.split(size), goals.split(size), strict=True))
    if len(chunks) < 2:
        return said(states, goals), states
    return torch.cat([checkpoint(said, *chunk, use_reentrant=False) for chunk in chunks]), states
