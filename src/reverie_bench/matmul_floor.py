"""The bare matrix products of one decode step: what no engine on this machine in float32 can go below."""

from __future__ import annotations

import time

import torch

from reverie.engine.products import Matrix
from reverie.model import BackboneConfig

__all__ = ["matmul_floor"]


@torch.inference_mode()
def matmul_floor(config: BackboneConfig, num_rows: int, num_steps: int = 50) -> float:
    """Seconds a step of ``num_rows`` branches spends in products with weights, made as the engine makes them (median).

    Each layer has weights of its own, as in a model, so that they come from the same caches.
    """
    D, inner = config.hidden_size, config.intermediate_size
    shapes = [(D, 3 * D), (D, D), (D, 2 * inner), (inner, D)] * config.num_layers + [(D, config.vocab_size)]
    weights = [(rows, Matrix(torch.randn(columns, rows))) for rows, columns in shapes]
    inputs = {width: torch.randn(num_rows, width) for width in {D, inner}}
    seconds = []
    for _ in range(num_steps + 1):
        start = time.perf_counter()
        for width, weight in weights:
            weight(inputs[width])
        seconds.append(time.perf_counter() - start)
    return sorted(seconds[1:])[num_steps // 2]
