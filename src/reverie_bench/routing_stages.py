"""What `bench routing` makes before it measures, in one folder: rows, a base, experts, tables. A stopped run goes on.

domains/<name>/{train,test}.jsonl   outsiders/{train,test}/<kind>.jsonl   rows.json
base/    experts/<name>/    library/<name>/    routers/<name>/    tables/*.safetensors
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from reverie.errors import DataError, TrainingError, UsageError
from reverie.experts import Library
from reverie.experts.contract import Choice
from reverie.experts.files import base_hash
from reverie.experts.router import Router
from reverie.files import atomic_write_json, atomic_write_text
from reverie.jsonio import read_object
from reverie.model import Backbone
from reverie.progress import Progress, no_progress
from reverie.settings import load_settings, settings_to_dict
from reverie.training.loop import TrainResult, train
from reverie.training.measuring import BackboneScorer, Row, make_table
from reverie.training.recipes import ExpertRecipe, RouterRecipe, TextRecipe
from reverie.training.routing import RouterObjective
from reverie.training.routing_rows import RowReader
from reverie.training.routing_table import NOBODY, Table
from reverie_bench.domains import babi_domains, gym_domains, outsiders, write_rows

__all__ = ["Rows", "RunFolder"]

R = TypeVar("R")
_LONGEST = 320  # ids of a row that is measured


@dataclass(frozen=True)
class Rows:
    """Rows beside their owners (places in the names, or NOBODY) and of what kind each is: a domain, or outsiders."""

    rows: list[Row]
    owners: list[int]
    kinds: list[str]

    def some(self, places: Sequence[int]) -> Rows:
        rows, owners = [self.rows[place] for place in places], [self.owners[place] for place in places]
        return Rows(rows, owners, [self.kinds[place] for place in places])


class RunFolder:
    """The run in ``folder``. ``recipes``: where routing-base.yaml, routing-expert.yaml and routing-router.yaml lie."""

    def __init__(self, folder: Path, recipes: Path, seed: int = 0, progress: Progress = no_progress):
        self.folder, self.recipes, self.seed, self.progress = folder, recipes, seed, progress
        self.bundle = folder / "base" / "export"
        self.names: list[str] = []

    def make_rows(self, data: Path, count: int, only: tuple[str, ...], outsider_rows: int) -> list[str]:
        """Rows of the domains (``only`` these, where some are named) and of outsiders; returns the domains' names.
        Raises UsageError for other settings than the folder was made with."""
        told: dict[str, Any] = {"count": count, "only": list(only), "outsiders": outsider_rows, "seed": self.seed}
        done = self.folder / "rows.json"
        if done.is_file():
            made = read_object(done, DataError, "the settings of the run")
            self.names = made.pop("names")
            if made != told:
                raise UsageError(f"{self.folder} holds a run with other rows, {made}: give another run_dir")
            return self.names
        domains = [*babi_domains(data / "babi", count), *gym_domains(count, self.seed)]
        if unknown := set(only) - {one.name for one in domains}:
            raise UsageError(f"there are no domains {', '.join(sorted(unknown))} in {data}")
        for domain in domains:
            if not only or domain.name in only:
                self.names.append(domain.name)
                for part in ("train", "test"):
                    path = self.folder / "domains" / domain.name / f"{part}.jsonl"
                    write_rows(path, getattr(domain, part), domain.name)
        for part, kinds in zip(("train", "test"), outsiders(data, outsider_rows, self.seed), strict=True):
            for kind, questions in kinds.items():
                write_rows(self.folder / "outsiders" / part / f"{kind}.jsonl", ((q, "") for q in questions), "")
        atomic_write_json(done, told | {"names": self.names})
        return self.names

    def make_base(self, texts: list[Path]) -> None:
        """A plain language model of the questions and ``texts``."""
        if self.bundle.is_dir():
            return
        rows = [str(self.folder / "domains" / name / "train.jsonl") for name in self.names]
        recipe = self._recipe(TextRecipe, "base", self.folder / "base", {})
        recipe = replace(recipe, data=replace(recipe.data, rows=tuple(rows), texts=tuple(map(str, texts))))
        self._finish("the base", recipe.train(progress=False))

    def make_experts(self) -> Library:
        """An expert of each domain, in a library."""
        library = self.library()
        for done, name in enumerate(self.names):
            self.progress("experts", done, len(self.names))
            if name not in library:
                self._make_expert(name, self.folder / "domains" / name / "train.jsonl", library)
        self.progress("experts", len(self.names), len(self.names))
        return library

    def make_single(self, share: float, library: Library) -> dict[str, str]:
        """One of an expert's size that is trained on all domains, for ``share`` times the steps of one: system → name;
        none where it is 0."""
        if not share:
            return {}
        name, rows = f"all-domains-{share:g}x", self.folder / "domains" / "all.jsonl"
        if name not in library:
            parts = [(self.folder / "domains" / each / "train.jsonl").read_text("utf-8") for each in self.names]
            atomic_write_text(rows, "".join(parts))
            self.progress("the adapter of all domains", 0, 1)
            self._make_expert(name, rows, library, share)
        return {"all_domains": name}

    def _make_expert(self, name: str, rows: Path, library: Library, share: float = 1.0) -> None:
        run_dir = self.folder / "experts" / name
        filled = {"data.name": name, "data.domain": name, "data.bundle": self.bundle, "data.rows": rows}
        recipe = self._recipe(ExpertRecipe, "expert", run_dir, filled)
        recipe = replace(recipe, loop=replace(recipe.loop, steps=round(share * recipe.loop.steps)))
        self._finish(f"the expert {name}", recipe.train(progress=False))
        library.add(run_dir / "export")

    def library(self) -> Library:
        return Library.open(self.folder / "library", base_hash(self.bundle / "backbone"))

    def rows_of(self, part: str, count: int) -> Rows:
        """At most ``count`` rows of each domain and of each kind of outsiders; ``part`` is train or test."""
        reader, found = RowReader(self.bundle, _LONGEST, self.seed), Rows([], [], [])
        sources = [(place, self.folder / "domains" / name / f"{part}.jsonl") for place, name in enumerate(self.names)]
        sources += [(NOBODY, path) for path in sorted((self.folder / "outsiders" / part).glob("*.jsonl"))]
        for owner, path in sources:
            try:
                rows = reader.read(str(path), count)
            except DataError:
                if owner != NOBODY:
                    raise
                continue  # no row of this kind is short enough for the base
            found.rows.extend(rows)
            found.owners.extend([owner] * len(rows))
            found.kinds.extend([path.stem if owner == NOBODY else self.names[owner]] * len(rows))
        return found

    def table(self, name: str, rows: Rows, scorer: BackboneScorer, library: Library) -> Table:
        """Features of the rows and their nats with every expert; kept in tables/."""
        path = self.folder / "tables" / f"{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        keys = [library.key(each) for each in self.names]

        def tell(what: str, done: int, of: int) -> None:
            self.progress(f"table {name}", done, of)

        layers = self._router_recipe({}).data.router.layers
        return make_table(scorer, rows.rows, rows.owners, self.names, library.base, False, keys, path, tell, layers)

    def features(self, name: str, rows: Rows, base: str) -> Table:
        """Features alone: all that a router needs that is told whose each row is."""
        scorer = _Reader(Backbone.load(self.bundle / "backbone").eval(), Library.open(None, base))
        path = self.folder / "tables" / f"{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        layers = self._router_recipe({}).data.router.layers
        return make_table(scorer, rows.rows, rows.owners, self.names, base, path=path, layers=layers)

    def router(self, name: str, table: Table, overrides: Mapping[str, Any]) -> Router:
        """A router by the recipe and ``overrides`` (dotted keys) on ``table``: another table, another folder."""
        seen = hashlib.sha256(table.features.numpy().tobytes() + table.nats.numpy().tobytes())
        recipe = self._router_recipe(overrides, name)
        seen.update(json.dumps([settings_to_dict(recipe), table.names, table.owners.tolist()]).encode())
        run_dir = self.folder / "routers" / f"{name}-{seen.hexdigest()[:8]}"
        if not (run_dir / "export").is_dir():
            objective, loop = RouterObjective(recipe.data, table), recipe.loop
            self._finish(f"the router {name}", train(objective, loop, run_dir, progress=False))
        return Router.load(run_dir / "export" / "router")

    def _router_recipe(self, overrides: Mapping[str, Any], name: str = "router") -> RouterRecipe:
        return self._recipe(RouterRecipe, "router", Path(name), {"data.bundle": self.bundle, **overrides})

    def _recipe(self, kind: type[R], name: str, run_dir: Path, filled: Mapping[str, Any]) -> R:
        given = [f"{key}={value}" for key, value in {"run_dir": run_dir, **filled}.items()]
        return load_settings(kind, self.recipes / f"routing-{name}.yaml", given)

    def _finish(self, what: str, result: TrainResult) -> None:
        if result.stopped != "done":
            raise TrainingError(f"{what} is not finished: {result.message} Give the same command again to go on.")


class _Reader(BackboneScorer):
    """Gives features; nobody's nats are asked for."""

    def nats(self, rows: Sequence[Row], choices: Sequence[Choice]) -> Tensor:
        return torch.zeros(len(rows))
