"""The bare matrix products of one decode step: what no engine on this machine in float32 can go below."""

from __future__ import annotations

import time

import torch

from reverie.model import BackboneConfig

__all__ = ["matmul_floor"]


@torch.inference_mode()
def matmul_floor(config: BackboneConfig, num_rows: int, num_steps: int = 50) -> float:
    """Seconds a step of ``num_rows`` branches spends in products of activations and weights (median of the steps).

    Each layer has weights of its own, as in a model, so that they come from the same caches.
    """
    D, inner = config.hidden_size, config.intermediate_size
    shapes = [(D, 3 * D), (D, D), (D, 2 * inner), (inner, D)] * config.num_layers + [(D, config.vocab_size)]
    weights = [torch.randn(shape) for shape in shapes]
    inputs = {width: torch.randn(num_rows, width) for width in {D, inner}}
    seconds = []
    for _ in range(num_steps + 1):
        start = time.perf_counter()
        for weight in weights:
            torch.mm(inputs[len(weight)], weight)
        seconds.append(time.perf_counter() - start)
    return sorted(seconds[1:])[num_steps // 2]
