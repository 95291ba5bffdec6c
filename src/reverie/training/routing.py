"""Trains a router: rows and a library of experts become a table of features and nats, and gates are fitted to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from reverie.errors import ConfigError, DataError
from reverie.experts.files import base_hash
from reverie.experts.library import Library
from reverie.experts.prototypes import Prototype, fit_prototype, save_prototype
from reverie.experts.router import Router, RouterConfig
from reverie.model import Backbone
from reverie.paths import default_library, find_bundle
from reverie.progress import Progress, no_progress
from reverie.training.measuring import BackboneScorer, Row, make_table
from reverie.training.routing_evaluation import evaluate
from reverie.training.routing_losses import Targets, gate_targets, router_loss
from reverie.training.routing_rows import RowReader
from reverie.training.routing_table import NOBODY, UNKNOWN, Table

__all__ = [
    "Measured",
    "RouterData",
    "RouterObjective",
    "fit_prototypes",
    "gather_rows",
    "measure_library",
    "open_library",
    "split_places",
]

_LEAST = 8  # rows that a prototype needs
_ROUTER = RouterConfig(layers=2)  # to read a question to its end may cost more than to answer it


@dataclass(frozen=True)
class RouterData:
    """What a router learns from. A source of rows is what ``routing_rows.RowReader`` reads."""

    bundle: str = "nano"  # whose backbone gives the features
    library: str = ""  # folder of the user's experts, beside the bundle's; "": where they usually lie
    experts: tuple[str, ...] = ()  # of the library; none: all
    rows: dict[str, str] = field(default_factory=dict)  # expert → a source of rows of its kind
    unlabelled: tuple[str, ...] = ()  # sources of rows whose experts only the losses tell
    outsiders: tuple[str, ...] = ()  # sources of rows that belong to nobody
    rows_a_source: int = 400  # drawn from each
    max_ids: int = 512  # rows that are longer are left out
    targets: Targets = "gain"  # which gates open: by the losses, or (owner) the row's own expert
    margin: float = 0.05  # nats an id that an expert has to gain at least
    share: float = 0.9  # of the best expert's gain, from which another is wanted beside it
    outsider_share: float = 0.25  # of a batch, where there are outsiders
    batch_size: int = 256  # rows
    test_share: float = 0.2  # of the rows, for the figures
    router: RouterConfig = _ROUTER
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("rows_a_source", 1, 1e9),
            ("max_ids", 2, 1e9),
            ("batch_size", 1, 1e9),
            ("margin", 0, 1e9),
            ("share", 0, 1),
            ("outsider_share", 0, 0.9),
            ("test_share", 0.01, 0.9),
        ):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"the router's data.{name} lies between {low:g} and {high:g}: {getattr(self, name)}")
        if self.targets not in ("gain", "owner"):
            raise ConfigError(f"the router's data.targets is gain or owner, got '{self.targets}'")


@dataclass(frozen=True)
class Measured:
    """A table beside what it was measured from."""

    table: Table
    rows: Sequence[Row]
    scorer: BackboneScorer


def gather_rows(data: RouterData, names: Sequence[str]) -> tuple[list[Row], list[int]]:
    """The rows of all sources and their owners, as tables have them. Raises ConfigError, DataError."""
    unknown = sorted(set(data.rows) - set(names))
    if unknown:
        raise ConfigError(f"data.rows names {', '.join(unknown)}, which the library lacks; it has {', '.join(names)}")
    sources = [(names.index(name), source) for name, source in data.rows.items()]
    sources += [(UNKNOWN, source) for source in data.unlabelled] + [(NOBODY, source) for source in data.outsiders]
    rows, owners = list[Row](), list[int]()
    reader = RowReader(find_bundle(data.bundle), data.max_ids, data.seed)
    for owner, source in sources:
        read = reader.read(source, data.rows_a_source)
        rows += read
        owners += [owner] * len(read)
    if not rows:
        raise ConfigError("a router learns from rows: name some under data.rows, data.unlabelled or data.outsiders")
    return rows, owners


def open_library(data: RouterData) -> Library:
    """The bundle's experts and the user's."""
    folder = find_bundle(data.bundle)
    base = base_hash(folder / "backbone")
    return Library.open(Path(data.library) if data.library else default_library(base), base, folder / "experts")


def measure_library(data: RouterData, path: Path | None = None, progress: Progress = no_progress) -> Measured:
    """The rows of ``data`` with the bundle's own backbone and the experts of its library; else as ``make_table``."""
    folder, library = find_bundle(data.bundle), open_library(data)
    base, names = library.base, list(data.experts) or library.names()
    if not names:
        raise ConfigError(f"there are no experts to route to in {library.folder}: train some and add them first")
    keys = [library.key(name) for name in names]
    rows, owners = gather_rows(data, names)
    scorer = BackboneScorer(Backbone.load(folder / "backbone").eval(), library)
    return Measured(
        make_table(scorer, rows, owners, names, base, data.router.per_token, keys, path, progress, data.router.layers),
        rows,
        scorer,
    )


class RouterObjective:
    """Fits the gates of a table's experts. Prototypes are fitted once, before training, to the training rows."""

    module: nn.Module

    def __init__(self, data: RouterData, table: Table):
        self.data, self.table = data, table
        self.wanted = gate_targets(table.nats, table.owners, data.margin, data.share, data.targets)  # (n, E)
        self.train, self.test = split_places(data, len(table))
        if not self.wanted[self.train].any():
            raise DataError(
                f"of {len(table)} rows none gains from any of {len(table.names)} experts: there is nothing to route. "
                "Look at the experts' cards, or lower data.margin"
            )
        generator = torch.Generator().manual_seed(data.seed)
        self.router = Router(table.names, table.features.shape[-1], data.router, table.base, generator)
        self.module = self.router
        learned = table.features[self.train].flatten(0, -2)
        self.router.fit_scale(learned[learned.isfinite().all(-1)])
        self.router.prototypes = fit_prototypes(table.rows(self.train), self.wanted[self.train], data.router)
        groups = {int(owner): self.train[table.owners[self.train] == owner] for owner in table.owners.unique()}
        self._outsiders = groups.pop(NOBODY, torch.zeros(0, dtype=torch.int64)).numpy()
        self._groups = [places.numpy() for places in groups.values() if len(places)]

    def batch(self, step: int) -> dict[str, Tensor]:
        """features float (B, D), wanted gates float (B, E). Owners come as often as each other, outsiders by share."""
        rng, count = np.random.default_rng([self.data.seed, step]), self.data.batch_size
        outside = round(count * self.data.outsider_share) if len(self._outsiders) else 0
        outside = outside if self._groups else count
        which = rng.integers(max(1, len(self._groups)), size=count - outside)
        places = [int(rng.choice(self._groups[group])) for group in which]
        places += rng.choice(self._outsiders, outside).tolist() if outside else []
        features = self.table.features[places]
        if features.dim() == 3:  # a token of each row
            lengths = features[..., 0].isfinite().sum(1).numpy()
            features = features[torch.arange(count), torch.from_numpy(rng.integers(lengths))]
        return {"features": features, "wanted": self.wanted[places]}

    def compute_loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return router_loss(self.router.logits(batch["features"]), batch["wanted"], self.data.router)

    def evaluate(self, step: int) -> dict[str, float]:
        table, wanted = self.table.rows(self.test), self.wanted[self.test]
        device = self.router.center.device
        loss = router_loss(self.router.logits(table.whole.to(device)), wanted.to(device), self.data.router)["gate"]
        found = evaluate(self.router, table, thresholds=(), targets=self.data.targets)
        return {"loss": float(loss), **found.figures}

    def export(self, folder: Path) -> None:
        """``router/`` for a bundle, ``prototypes/<expert>/prototype.safetensors`` to lie beside each expert, and
        ``test.safetensors``: the rows that it was not trained on, for ``reverie experts eval``."""
        self.router.save(folder / "router")
        for name, prototype in self.router.prototypes.items():
            save_prototype(prototype, folder / "prototypes" / name, self.table.base)
        self.table.rows(self.test).save(folder / "test.safetensors")


def fit_prototypes(table: Table, wanted: Tensor, config: RouterConfig) -> dict[str, Prototype]:
    """A prototype of the rows that each expert should get, where there are enough of them."""
    prototypes = {}
    for place, name in enumerate(table.names):
        mine = table.features[wanted[:, place] > 0].flatten(0, -2)
        mine = mine[mine.isfinite().all(-1)]
        if len(mine) >= _LEAST:
            prototypes[name] = fit_prototype(mine, config.prototype_rank, layers=config.layers)
    return prototypes


def split_places(data: RouterData, count: int) -> tuple[Tensor, Tensor]:
    """Places of ``count`` rows: those for training, and those for testing."""
    order = torch.from_numpy(np.random.default_rng([data.seed, 11]).permutation(count))
    tested = max(1, round(data.test_share * count))
    return order[tested:], order[:tested]
