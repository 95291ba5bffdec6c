"""The slow plain path: one branch at a time, every id read again for every new one. Tests hold the engine to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from reverie.engine.requests import Branch, Completion, Request, check_ids, open_branches
from reverie.engine.sampling import Sampler
from reverie.model import Backbone

__all__ = ["Reference"]


class Reference:
    """Same answers as ``Engine``, from the backbone's own forward and without any cache."""

    def __init__(self, backbone: Backbone):
        self.backbone = backbone

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        config = self.backbone.config
        return [self._dream(branch) for branch in open_branches(requests, config.vocab_size, config.max_positions)]

    def _dream(self, branch: Branch) -> Completion:
        request = branch.request
        sampler = Sampler([request.sampling], [request.seed], request.max_new_ids)
        while branch.alive:
            logits = self.backbone(torch.tensor([[*request.prefix, *branch.ids]]))[:, -1]
            ids, log_probs = sampler.draw(logits, branch.allowed(), len(branch.ids))
            branch.take(int(ids), float(log_probs))
        return branch.completion()

    @torch.inference_mode()
    def score(self, prefix: Sequence[int], continuation: Sequence[int]) -> np.ndarray:
        ids = [*prefix, *continuation]
        check_ids(ids, self.backbone.config.vocab_size, self.backbone.config.max_positions)
        log_probs = torch.log_softmax(self.backbone(torch.tensor([ids]))[0], -1)
        return log_probs[range(len(prefix) - 1, len(ids) - 1), list(continuation)].numpy()

    @torch.inference_mode()
    def embed(self, ids: Sequence[int]) -> np.ndarray:
        check_ids(ids, self.backbone.config.vocab_size, self.backbone.config.max_positions)
        return self.backbone.hidden(torch.tensor([list(ids)]))[0].mean(0).numpy()
