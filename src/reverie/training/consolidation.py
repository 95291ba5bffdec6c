"""Elastic weight consolidation (arXiv 1612.00796): what mattered to earlier lessons is held where it was.

The importance of a parameter is the diagonal of the Fisher information: the mean square of the gradient that answers
drawn from the model itself would give. (Of answers that it has learned by heart the gradient is nothing, and would
protect nothing.) Importances of later lessons are added to those of earlier ones (online EWC, arXiv 1805.06370).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from reverie.errors import ExpertError, shorten
from reverie.files import atomic_write_bytes
from reverie.training.adapted import Adapted
from reverie.training.documents import Document, pad

__all__ = ["FISHER_FILE", "Consolidation", "fisher_of", "load_fisher", "save_fisher"]

FISHER_FILE = "fisher.safetensors"
Fisher = dict[str, Tensor]  # parameter → importance, float32 and 0 or more, of its shape


@dataclass(frozen=True, eq=False)
class Consolidation:
    """Where parameters were after earlier lessons, and how much each mattered to them."""

    fisher: Mapping[str, Tensor]
    anchor: Mapping[str, Tensor]

    @classmethod
    def of(cls, module: nn.Module, fisher: Mapping[str, Tensor]) -> Consolidation:
        """Anchored where ``module`` is now. Raises ExpertError where the importances are of other parameters."""
        anchor = {name: one.detach().clone() for name, one in module.named_parameters()}
        if odd := [name for name, one in fisher.items() if name not in anchor or anchor[name].shape != one.shape]:
            raise ExpertError(f"the importances do not fit the expert: '{shorten(odd[0])}' is none of its parameters")
        return cls(fisher, anchor)

    def penalty(self, module: nn.Module) -> Tensor:
        """Half of Σ importance · (parameter - anchor)², a scalar: in nats a document."""
        own = dict(module.named_parameters())
        parts = [(one * (own[name] - self.anchor[name]).square()).sum() for name, one in self.fisher.items()]
        return 0.5 * torch.stack(parts).sum()


def fisher_of(adapted: Adapted, documents: Sequence[Document], seed: int = 0) -> Fisher:
    """The mean over documents of the squared gradient of an answer drawn from the model, in its place."""
    generator = torch.Generator().manual_seed(seed)
    named = dict(adapted.module.named_parameters())
    fisher = {name: torch.zeros_like(one) for name, one in named.items()}
    for document in documents:
        ids, weights = pad([document])
        where = weights[0, 1:] >= 1.0
        with torch.enable_grad():
            logits = adapted.backbone(ids)[0, :-1][where].float()
            drawn = torch.multinomial(logits.detach().softmax(-1), 1, generator=generator)
            nats = -logits.log_softmax(-1).gather(1, drawn).sum()
            grads = torch.autograd.grad(nats, list(named.values()), allow_unused=True)
        for name, grad in zip(named, grads, strict=True):
            if grad is not None:
                fisher[name] += grad.square() / len(documents)
    return fisher


def save_fisher(fisher: Mapping[str, Tensor], path: Path) -> None:
    from safetensors.torch import save

    atomic_write_bytes(path, save({name: one.detach().cpu().contiguous() for name, one in fisher.items()}))


def load_fisher(path: Path) -> Fisher | None:
    """None where there is none. Raises ExpertError for a damaged file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        return None
    try:
        fisher = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ExpertError(f"the importances {path} are damaged: {shorten(str(error))}") from error
    if not all(one.is_floating_point() and one.isfinite().all() and (one >= 0).all() for one in fisher.values()):
        raise ExpertError(f"the importances {path} are damaged: they hold values that they cannot have")
    return fisher
