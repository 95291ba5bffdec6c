"""What routing is measured beside: one adapter merged of all, their average, Arrow, and the nearest mean of features.

Merging and Arrow are PEFT's own, on transformers' model of the same base.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reverie.experts.contract import Choice
from reverie.model.transformers_base import load_model
from reverie.progress import Progress
from reverie.training.measuring import Row
from reverie.training.routing_table import Table

__all__ = ["arrow", "merge", "nearest"]

_TOP = 3  # Arrow's experts per token: PEFT's own number
_TIES_DENSITY = 0.2  # share of the largest changes that TIES keeps (arXiv 2306.01708)


def nearest(table: Table, features: Tensor, passing: float = 0.99) -> list[Choice]:
    """The expert whose rows' mean feature is nearest by cosine; nobody where it is farther than ``passing`` of that
    expert's own rows are. ``table``: rows of the experts; ``features``: float (n, D) of the rows to route."""
    center = table.features[table.owners >= 0].mean(0)
    unit = torch.nn.functional.normalize(table.features - center, dim=1)
    means, limits = [], []
    for place in range(len(table.names)):
        own = unit[table.owners == place]
        means.append(torch.nn.functional.normalize(own.mean(0), dim=0))
        limits.append((own @ means[-1]).quantile(1 - passing))
    near = torch.nn.functional.normalize(features - center, dim=1) @ torch.stack(means).T  # (n, E)
    largest, places = near.max(1)
    return [
        ((table.names[place], 1.0),) if value >= limits[place] else ()
        for value, place in zip(largest.tolist(), places.tolist(), strict=True)
    ]


def merge(base: Path, experts: Sequence[Path], folder: Path) -> dict[str, Path]:
    """Two adapters of all experts, in folders that PEFT wrote: their uniform average (rank: the sum of theirs), and
    one of an expert's own rank, merged by TIES and cut back by SVD."""
    import peft

    model = load_model(base, dtype=torch.float32)
    first, *others = experts
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # what PEFT asks of transformers 5 is renamed in 6
        model = peft.PeftModel.from_pretrained(model, first, adapter_name=first.name)
        for path in others:
            model.load_adapter(path, adapter_name=path.name)
    names = [path.name for path in experts]
    rank = max(config.r for config in model.peft_config.values())
    ways: dict[str, dict[str, Any]] = {
        "uniform-average": {"weights": [1 / len(names)] * len(names), "combination_type": "cat"},
        "merged-ties": {
            "weights": [1.0] * len(names),
            "combination_type": "ties_svd",
            "density": _TIES_DENSITY,
            "svd_rank": rank,
        },
    }
    for name, how in ways.items():
        model.add_weighted_adapter(names, adapter_name=name, **how)
    model.save_pretrained(folder, selected_adapters=list(ways))
    return {name: folder / name for name in ways}


@torch.no_grad()
def arrow(
    base: Path, experts: Sequence[Path], rows: Sequence[Row], progress: Progress
) -> tuple[list[bool], list[float]]:
    """Of every row: whether each id of its answer is the likeliest, and the nats an id, where each token of each
    linear goes to the experts that Arrow (arXiv 2405.11157) finds for it."""
    import peft

    model = load_model(base, dtype=torch.float32)
    config = peft.ArrowConfig(top_k=min(_TOP, len(experts)), rng_seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        routed = peft.create_arrow_model(model, [str(path) for path in experts], config).eval()
    exact, nats = list[bool](), list[float]()
    for row in rows:
        ids = torch.tensor([[*row.question, *row.answer]])
        log_probs = torch.log_softmax(routed(ids).logits[0, len(row.question) - 1 : -1].float(), -1)
        goal, judged = torch.tensor(row.answer), torch.tensor(row.judged)
        exact.append(bool((log_probs.argmax(-1) == goal)[judged].all()))
        nats.append(-float(log_probs.gather(1, goal[:, None])[judged].mean()))
        progress("arrow", len(exact), len(rows))
    return exact, nats
