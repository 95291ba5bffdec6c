"""Documents as batches: ids with the weight of each, padded side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["Document", "bucketed", "flatten", "pad"]

Document = tuple[list[int], list[float]]  # ids and the weight of each


def flatten(segments: Sequence[tuple[list[int], float]]) -> Document:
    """The stretches of ids that a source draws, each of one weight, as one document."""
    ids = [token for part, _ in segments for token in part]
    return ids, [weight for part, weight in segments for _ in part]


def bucketed(documents: Sequence[Document], buckets: int) -> list[tuple[Tensor, Tensor]]:
    """``pad`` of documents of about one length, in ``buckets`` groups: the short are not padded to the longest."""
    ordered = sorted(documents, key=lambda document: len(document[0]))
    size = -(-len(ordered) // buckets)
    return [pad(ordered[start : start + size]) for start in range(0, len(ordered), size)]


def pad(documents: Sequence[Document]) -> tuple[Tensor, Tensor]:
    """Right-padded with PAD and weight 0: ids (B, T) int64, weights (B, T) float32. T is a multiple of 16."""
    length = -(-max(len(ids) for ids, _ in documents) // 16) * 16
    ids = np.zeros((len(documents), length), dtype=np.int64)
    weights = np.zeros((len(documents), length), dtype=np.float32)
    for row, (tokens, weight) in enumerate(documents):
        ids[row, : len(tokens)], weights[row, : len(tokens)] = tokens, weight
    return torch.from_numpy(ids), torch.from_numpy(weights)
