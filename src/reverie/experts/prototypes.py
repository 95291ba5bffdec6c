"""Prototypes: what an expert's own rows look like to the bare base, so that it can be routed to without retraining.

From data, a prototype is a Gaussian over features (mean, a few main directions, one variance for all others: the
probabilistic PCA of Tipping & Bishop 1999) with the distance up to which a row still belongs to the expert. Without
data it is read off the weights: the direction of the input that the adapter answers to most (Arrow, arXiv 2405.11157).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reverie.errors import ExpertError, shorten
from reverie.experts.contract import Adapter
from reverie.files import atomic_write_bytes

__all__ = [
    "PROTOTYPE_FILE",
    "Prototype",
    "fit_prototype",
    "load_prototype",
    "prototype_of_weights",
    "save_prototype",
    "stack_prototypes",
]

PROTOTYPE_FILE = "prototype.safetensors"
_FOLDS = 4
_FIELDS = ("mean", "directions", "variances", "rest", "limit", "slope", "scale")
_EVEN = 0.05  # of each feature's variance is that of all: a few rows say little of one alone


@dataclass(frozen=True, eq=False)
class Prototype:
    """A Gaussian over features float (D,), and where it ends. All float32.

    A feature's distance is its Mahalanobis distance over √D, about 1 for the expert's own rows. Prototypes of weights
    know no distances: their one direction is a unit vector, ``rest`` is infinite, ``limit`` is in deviations.

    ``layers``: of the base, after which the features were taken; 0: all.
    """

    mean: Tensor  # (D,)
    directions: Tensor  # (k, D), rows orthonormal
    variances: Tensor  # (k,), along the directions
    rest: Tensor  # (), variance along every other direction
    limit: Tensor  # (), distance at which the gate is a half
    slope: Tensor  # (), how fast the gate falls there
    scale: Tensor = field(default_factory=lambda: torch.ones(1))  # (D,): features are measured in these; or (1,)
    layers: int = 0

    @property
    def size(self) -> int:
        return self.mean.shape[-1]

    def tensors(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in _FIELDS}

    @classmethod
    def of(cls, tensors: Mapping[str, Any], layers: int = 0) -> Prototype:
        """What ``tensors`` gave."""
        return cls(**tensors, layers=layers)

    def distances(self, features: Tensor) -> Tensor:
        """(…, D) → (…,); of a stack of E, (N, D) → (N, E)."""
        if self.mean.dim() == 2:
            features = features.unsqueeze(-2)
        away = (features - self.mean) / self.scale
        along = torch.einsum("...d,...kd->...k", away, self.directions).square()
        beside = (away.square().sum(-1) - along.sum(-1)).clamp_min(0)
        return (((along / self.variances).sum(-1) + beside / self.rest) / self.size).sqrt()


def stack_prototypes(prototypes: Sequence[Prototype | None], center: Tensor, spread: Tensor) -> Prototype:
    """Several as one, each tensor with E in front. None lets everything in; those of weights measure in deviations, by
    where all rows lie (``center`` and ``spread``, float (D,))."""
    size, ranks = len(center), [len(one.variances) for one in prototypes if one is not None]
    parts: dict[str, list[Tensor]] = {name: [] for name in _FIELDS}
    for one in prototypes:
        tensors = _anything(size) if one is None else one.tensors()
        if one is not None and not one.rest.isfinite():
            deviation = (one.directions.to(spread) * spread).square().sum(-1) / size
            tensors |= {"mean": center, "variances": deviation}
        tensors["scale"] = tensors["scale"].expand(size)
        missing = max(ranks, default=0) - len(tensors["variances"])
        tensors["directions"] = torch.nn.functional.pad(tensors["directions"], (0, 0, 0, missing))  # count for nothing
        tensors["variances"] = torch.nn.functional.pad(tensors["variances"], (0, missing), value=1.0)
        for name, tensor in tensors.items():
            parts[name].append(tensor.to(center))
    return Prototype.of({name: torch.stack(tensors) for name, tensors in parts.items()})


def _anything(size: int) -> dict[str, Tensor]:
    rest, limit, slope = torch.tensor(torch.inf), torch.tensor(1.0), torch.tensor(40.0)  # distance 0, gate 1
    empty = torch.zeros(size), torch.zeros(0, size), torch.zeros(0)
    return dict(zip(_FIELDS, (*empty, rest, limit, slope, torch.ones(1)), strict=True))


def fit_prototype(features: Tensor, rank: int = 16, passing: float = 0.99, layers: int = 0) -> Prototype:
    """The prototype of an expert's rows: features float (n, D), n at least 8, of rows that the expert should get.

    ``layers``: of the base, after which they were taken; 0: all. After the first few, some features vary much more than
    others, so there each is measured in its own deviation.

    ``passing``: about this share of unseen rows of the same kind gets a gate of at least a half. The distances of
    unseen rows are measured in _FOLDS parts, each with a Gaussian of the others; then all rows place it. Raises
    ExpertError.
    """
    features = features.detach().float()
    if features.dim() != 2 or len(features) < 8 or not features.isfinite().all():
        raise ExpertError(f"a prototype needs at least 8 rows of finite features, got {tuple(features.shape)}")
    scale = _own_scale(features) if layers else torch.ones(1)
    features = features / scale
    part = torch.randperm(len(features), generator=torch.Generator().manual_seed(0)) % _FOLDS  # rows may come sorted
    unseen = torch.cat([_gaussian(features[part != i], rank).distances(features[part == i]) for i in range(_FOLDS)])
    limit = unseen.quantile(passing)
    fitted = _gaussian(features, rank)
    slope = 4 / (unseen.std() + 0.05 * limit)
    return replace(fitted, mean=fitted.mean * scale, limit=limit, slope=slope, scale=scale, layers=layers)


def _own_scale(features: Tensor) -> Tensor:
    variances = features.var(0)
    return ((1 - _EVEN) * variances + _EVEN * variances.mean()).clamp_min(1e-12).sqrt()


def _gaussian(features: Tensor, rank: int) -> Prototype:
    count, width = features.shape
    mean = features.mean(0)
    _, lengths, axes = torch.linalg.svd(features - mean, full_matrices=False)
    variances = lengths.square() / max(count - 1, 1)
    rank = min(rank, count // 4, width - 1)
    rest = (variances[rank:].sum() / (width - rank)).clamp_min(1e-8)
    return Prototype(
        mean, axes[:rank].contiguous(), variances[:rank].maximum(rest), rest, torch.tensor(1.0), torch.tensor(1.0)
    )


def save_prototype(prototype: Prototype, folder: Path, base: str = "") -> None:
    """Write ``prototype.safetensors`` beside an expert. ``base``: hash of the base whose features it was made of."""
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in prototype.tensors().items()}
    about = {"base": base, "layers": str(prototype.layers)}
    atomic_write_bytes(folder / PROTOTYPE_FILE, save(tensors, metadata=about))


def load_prototype(folder: Path, base: str = "") -> Prototype | None:
    """The prototype beside an expert, or None where there is none.

    Raises ExpertError for a damaged one, and for one made of another base's features where ``base`` is given.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / PROTOTYPE_FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            made_for, layers = about.get("base", ""), int(about.get("layers", 0))
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118, it is no dict
    except (SafetensorError, OSError, ValueError) as error:
        raise ExpertError(f"the prototype {path} is damaged: {shorten(str(error))}") from error
    check_base(made_for, base, f"the prototype {path}")
    return check_prototype(tensors, path, layers)


def check_base(made_for: str, base: str, what: str) -> None:
    """Raises ExpertError where both hashes are known and differ."""
    if made_for and base and made_for != base:
        raise ExpertError(
            f"{what} was made for the base {made_for[:12]}, and this base is {base[:12]}: train it again on this one"
        )


def check_prototype(tensors: Mapping[str, Tensor], path: Path, layers: int = 0) -> Prototype:
    """The prototype of ``tensors`` read from ``path``. Raises ExpertError where they make none."""
    fields: dict[str, Any] = {name: tensors.get(name) for name in _FIELDS}
    if fields["scale"] is None:  # before there was one
        fields["scale"] = torch.ones(1)
    if any(tensor is None for tensor in fields.values()):
        raise ExpertError(f"the prototype {path} is damaged: it has {', '.join(sorted(tensors))}")
    one = Prototype(**fields, layers=layers)
    shapes = [tuple(tensor.shape) for tensor in one.tensors().values()]
    rank, width = one.directions.shape if one.directions.dim() == 2 else (-1, -1)
    if shapes[:-1] != [(width,), (rank, width), (rank,), (), (), ()] or shapes[-1] not in ((1,), (width,)):
        raise ExpertError(f"the prototype {path} is damaged: its shapes {shapes} do not fit together")
    finite = all(tensor.isfinite().all() for name, tensor in fields.items() if name != "rest")
    if not (finite and (one.variances > 0).all() and (one.scale > 0).all() and one.rest > 0):
        raise ExpertError(f"the prototype {path} is damaged: it holds values that it cannot have")
    return one


def prototype_of_weights(adapter: Adapter, size: int, limit: float = 2.0) -> Prototype:
    """The prototype of an expert without data, for features of width ``size`` (Arrow, arXiv 2405.11157).

    Its direction is the input that the adapter's changes lengthen most, over all its linears that read the hidden
    states. The Router measures how far a row lies along it, beside the rows that it was trained on.
    """
    readers = [one for one in adapter.factors.values() if one.down.shape[1] == size]
    if not readers:
        raise ExpertError(f"no prototype from these weights: none of the adapter's linears reads {size} features")
    # (up @ down)ᵀ (up @ down), summed over linears, without making (out, in) matrices
    gram = sum((one.down.T @ (one.up.T @ one.up) @ one.down for one in readers), torch.zeros(size, size))
    _, axes = torch.linalg.eigh(gram)
    return Prototype(
        torch.zeros(size), axes[:, -1:].T.contiguous(), torch.ones(1), torch.tensor(torch.inf), torch.tensor(limit),
        torch.tensor(-2.0),
    )  # fmt: skip
