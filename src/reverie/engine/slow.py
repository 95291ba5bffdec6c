"""The slow plain path: one branch at a time, every id read again for every new one. Tests hold the engine to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from reverie.engine.requests import Branch, Completion, Request, check_ids, likeliest, open_branches
from reverie.engine.sampling import Sampler
from reverie.errors import UsageError
from reverie.experts.contract import Choice, ExpertSource, check_choice
from reverie.experts.merging import merged_weights
from reverie.model import Backbone

__all__ = ["SlowEngine"]


class SlowEngine:
    """Same answers as ``Engine``, from the backbone's own forward and without any cache; experts are merged into it."""

    def __init__(self, backbone: Backbone, experts: ExpertSource | None = None):
        self.backbone, self.experts = backbone, experts

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        config = self.backbone.config
        return [self._dream(branch) for branch in open_branches(requests, config.vocab_size, config.max_positions)]

    def _dream(self, branch: Branch) -> Completion:
        request = branch.request
        sampler = Sampler([request.sampling], [request.seed], [request.max_new_ids], [request.prefix])
        while branch.alive:
            logits = self._logits([*request.prefix, *branch.ids], request.experts)[-1:]
            ids, log_probs = sampler.draw(logits, branch.allowed())
            branch.take(int(ids), float(log_probs[0, ids]), likeliest(log_probs[0], request.top))
        return branch.completion()

    @torch.inference_mode()
    def score(self, prefix: Sequence[int], continuation: Sequence[int], experts: Choice = ()) -> np.ndarray:
        ids = [*prefix, *continuation]
        check_ids(ids, self.backbone.config.vocab_size, self.backbone.config.max_positions)
        log_probs = torch.log_softmax(self._logits(ids, check_choice(experts)), -1)
        return log_probs[range(len(prefix) - 1, len(ids) - 1), list(continuation)].numpy()

    @torch.inference_mode()
    def embed(self, ids: Sequence[int]) -> np.ndarray:
        check_ids(ids, self.backbone.config.vocab_size, self.backbone.config.max_positions)
        return self.backbone.hidden(torch.tensor([list(ids)]))[0].mean(0).numpy()

    def _logits(self, ids: list[int], choice: Choice) -> Tensor:  # (len(ids), V)
        if choice and self.experts is None:
            raise UsageError(f"there are no experts, and '{choice[0][0]}' is asked for")
        chosen = [(self.experts.adapter(name), weight) for name, weight in choice] if self.experts else []
        merged = merged_weights(self.backbone, chosen)
        logits: Tensor = functional_call(self.backbone, merged, (torch.tensor([ids]),))
        return logits[0]
