"""Rows to dream, and the slow plain way to dream them with a base of transformers: nothing cached, one by one."""

from __future__ import annotations

import numpy as np
import torch

from reverie.engine import Completion, Request, Sampling
from reverie.engine.requests import open_branches
from reverie.engine.sampling import Sampler
from reverie.model.transformers_base import TransformersBackbone


class Allow:
    """A constraint that lets only some ids through, and is done after a number of them."""

    def __init__(self, size: int, ids: range, count: int):
        self.mask = torch.zeros(size, dtype=torch.bool)
        self.mask[list(ids)] = True
        self.left = count

    def allowed(self) -> torch.Tensor:
        return self.mask

    def advance(self, token_id: int) -> None:
        assert self.mask[token_id]
        self.left -= 1

    @property
    def done(self) -> bool:
        return self.left == 0


@torch.inference_mode()
def plainly(backbone: TransformersBackbone, requests: list[Request]) -> list[Completion]:
    """Each row on its own, everything read again for every id."""
    completions = []
    for branch in open_branches(requests, backbone.config.vocab_size, backbone.config.max_positions):
        request = branch.request
        sampler = Sampler([request.sampling], [request.seed], [request.max_new_ids])
        while branch.alive:
            logits = backbone(torch.tensor([[*request.prefix, *branch.ids]]))[:, -1]
            ids, log_probs = sampler.draw(logits, branch.allowed())
            branch.take(int(ids), float(log_probs[0, ids]))
        completions.append(branch.completion())
    return completions


def rows(size: int, count: int = 9) -> list[Request]:
    """Prefixes of several lengths, some shared, some that go on from another; ends at different times."""
    rng = np.random.default_rng(0)
    long, short = tuple(rng.integers(0, size, 17).tolist()), tuple(rng.integers(0, size, 4).tolist())
    prefixes = [long, short, long[:9], long, short, (*long, 3, 5), long, short, long[:9]]
    return [
        Request(
            prefixes[row],
            seed=row,
            sampling=Sampling(temperature=0.0 if row % 3 == 0 else 0.8, top_k=40),
            constraint=Allow(size, range(25), 4) if row % 4 == 1 else None,
            max_new_ids=3 + row,
            stop_ids=frozenset(range(0, size, 9)),
        )
        for row in range(count)
    ]


def check_equal(given: list[Completion], wanted: list[Completion], tolerance: float = 1e-4) -> None:
    assert [each.ids for each in given] == [each.ids for each in wanted]
    assert [each.finished for each in given] == [each.finished for each in wanted]
    for one, other in zip(given, wanted, strict=True):
        assert np.allclose(one.log_probs, other.log_probs, atol=tolerance)
