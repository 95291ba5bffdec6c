"""What a router learns from and is judged on: rows, what the base makes of them, and what each expert makes of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from reverie.errors import DataError, shorten
from reverie.experts.contract import check_name
from reverie.files import atomic_write_bytes

__all__ = ["NOBODY", "UNKNOWN", "Table"]

_TENSORS = ("features", "nats", "owners")
NOBODY, UNKNOWN = -1, -2  # owners: the row is known to belong to no expert; nobody said whose it is


@dataclass(frozen=True, eq=False)
class Table:
    """Rows beside each other. Raises DataError where the parts do not fit.

    ``features``: float32 (n, D) of the bare base (see ``features.py``), or (n, T, D) per token, NaN beyond a row's end.
    ``nats``: float32 (n, E + 1), mean loss of the answer's ids: first the base alone, then each expert of ``names``.
    ``owners``: int64 (n,): the expert whose kind of row it is, NOBODY or UNKNOWN.
    """

    names: tuple[str, ...]
    features: Tensor
    nats: Tensor
    owners: Tensor
    base: str = ""  # hash of the base

    def __post_init__(self) -> None:
        rows, experts = len(self.features), len(self.names)
        shapes = tuple(self.features.shape), tuple(self.nats.shape), tuple(self.owners.shape)
        if self.features.dim() not in (2, 3) or shapes[1:] != ((rows, experts + 1), (rows,)):
            raise DataError(f"a table of {experts} experts has features (n, D), nats (n, E + 1), owners; got {shapes}")
        if not self.nats.isfinite().all() or (self.features.dim() == 2 and not self.features.isfinite().all()):
            raise DataError("a table's nats and features are finite")
        if rows and not (int(self.owners.min()) >= UNKNOWN and int(self.owners.max()) < experts):
            raise DataError(f"a table's owners are experts 0 to {experts - 1}, {NOBODY} or {UNKNOWN}")

    def __len__(self) -> int:
        return len(self.features)

    def rows(self, places: Tensor) -> Table:
        """Only some rows, by int64 places or a bool mask."""
        return Table(self.names, self.features[places], self.nats[places], self.owners[places], self.base)

    @property
    def whole(self) -> Tensor:
        """Features of whole rows, (n, D): of their last token where there are some of each."""
        if self.features.dim() == 2:
            return self.features
        last = self.features.isfinite().all(-1).sum(1) - 1
        return self.features[torch.arange(len(self)), last]

    def save(self, path: Path) -> None:
        from safetensors.torch import save

        tensors = {name: getattr(self, name).contiguous() for name in _TENSORS}
        metadata = {"names": json.dumps(self.names), "base": self.base}
        atomic_write_bytes(path, save(tensors, metadata=metadata))

    @classmethod
    def load(cls, path: Path) -> Table:
        """Raises DataError for a file that is missing or damaged."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                about = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in _TENSORS}
            names = tuple(check_name(name) for name in json.loads(about["names"]))
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"the table {path} cannot be read: {shorten(str(error))}") from error
        return cls(names, **tensors, base=about.get("base", ""))
