"""A router over a library that grows while it is in use."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from torch import Tensor

from reverie.experts.contract import Choice
from reverie.experts.prototypes import PROTOTYPE_FILE, Prototype, load_prototype
from reverie.experts.router import Router, RouterConfig

__all__ = ["DynamicRouter", "ExpertIndex"]


class ExpertIndex(Protocol):
    """What is needed of a library."""

    def names(self) -> list[str]: ...

    def key(self, name: str) -> str: ...

    def folder_of(self, name: str) -> Path: ...


class DynamicRouter:
    """Routes among the experts that ``library`` holds at each call.

    Experts that ``router`` was trained for have their learned gates; one that came later has the gate of the prototype
    beside it; one without a prototype is never chosen, only named. Without a router all gates are prototypes.

    ``patience``: after each look at the library none follows for so many times what the look took, so that a large one
    costs a request a share of at most 1 / patience; 0 looks every time.
    """

    def __init__(self, library: ExpertIndex, router: Router | None, base: str = "", config: RouterConfig | None = None):
        self.library, self.base = library, base
        self._trained, self._config = router, config or (router.config if router else RouterConfig())
        self._router = router
        self._keys: dict[str, tuple[str, int]] = {}
        self.patience, self._next_look = 0.0, 0.0

    @classmethod
    def open(cls, folder: Path, library: ExpertIndex, base: str = "") -> DynamicRouter:
        """With the router in ``folder``, or without one where there is no such folder. Raises ExpertError."""
        return cls(library, Router.load(folder, base) if folder.is_dir() else None, base)

    @property
    def names(self) -> list[str]:
        """The experts that it can choose now."""
        router = self._current()
        return [name for name in self._keys if router is not None and name in router.names]

    @property
    def learned(self) -> frozenset[str]:
        """The experts that the router was trained with; prototypes alone choose the others."""
        return frozenset(self._trained.names[: self._trained.num_learned] if self._trained else ())

    @property
    def prototypes(self) -> dict[str, Prototype]:
        """Those of the experts that it can choose now, where they have one."""
        router = self._current()
        return (
            {}
            if router is None
            else {name: router.prototypes[name] for name in self.names if name in router.prototypes}
        )

    @property
    def layers(self) -> int:
        """Of the base, whose states are to be made to features; 0: all."""
        router = self._current()
        return 0 if router is None else router.config.layers

    def gates(self, features: Tensor) -> dict[str, Tensor]:
        """The gate of each expert that can be chosen: features (…, D) → (…,) in [0, 1]."""
        router = self._current()
        if router is None:
            return {}
        gates = dict(zip(router.names, router.gates(features).unbind(-1)))
        return {name: gate for name, gate in gates.items() if name in self._keys}

    def route(self, features: Tensor) -> list[Choice]:
        """The experts of each row of features (B, D); () is nobody. As ``Router.route`` in inference."""
        router = self._current()
        return (
            [()] * len(features) if router is None else router.route(features, training=False, among=list(self._keys))
        )

    def _current(self) -> Router | None:
        if time.monotonic() < self._next_look:
            return self._router
        started = time.monotonic()
        keys = {name: self._key(name) for name in self.library.names()}
        if keys != self._keys:
            self._router, self._keys = self._made_of(list(keys)), keys
        self._next_look = time.monotonic() + self.patience * (time.monotonic() - started)
        return self._router

    def _key(self, name: str) -> tuple[str, int]:
        """Changes with the expert, and with its prototype."""
        try:
            return self.library.key(name), (self.library.folder_of(name) / PROTOTYPE_FILE).stat().st_mtime_ns
        except OSError:
            return self.library.key(name), 0

    def _made_of(self, names: Sequence[str]) -> Router | None:
        router = self._trained
        learned = self.learned
        found: dict[str, Prototype] = {}
        for name in names:
            prototype = None if name in learned else load_prototype(self.library.folder_of(name), self.base)
            if prototype is not None:
                found[name] = prototype
        if router is None and found:
            first = next(iter(found.values()))
            config = replace(self._config, layers=first.layers)
            router = Router((), first.size, config, self.base).eval().requires_grad_(False)
        return router.with_prototypes(found) if router is not None and found else router
