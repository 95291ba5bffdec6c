"""A library that grows while a router is in use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from reverie.errors import ExpertError
from reverie.experts.dynamic_router import DynamicRouter
from reverie.experts.prototypes import PROTOTYPE_FILE, fit_prototype, save_prototype
from reverie.experts.router import Router, RouterConfig

CENTERS = 4 * torch.randn(4, 12, generator=torch.Generator().manual_seed(1))


def rows_of(kind: int, seed: int = 0) -> Tensor:
    return CENTERS[kind] + torch.randn(40, 12, generator=torch.Generator().manual_seed(seed))


class Folders:
    """Experts as folders in a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def names(self) -> list[str]:
        return sorted(os.listdir(self.folder))

    def key(self, name: str) -> str:
        return name

    def folder_of(self, name: str) -> Path:
        return self.folder / name

    def put(self, name: str, kind: int | None, base: str = "") -> None:
        (self.folder / name).mkdir(exist_ok=True)
        if kind is not None:
            save_prototype(fit_prototype(rows_of(kind), rank=2), self.folder / name, base)


def most(router: DynamicRouter, kind: int) -> str:
    """Whom most rows of a kind get."""
    names = ["+".join(name for name, _ in choice) for choice in router.route(rows_of(kind, seed=5))]
    return max(set(names), key=names.count)


def test_experts_that_come_and_go_are_routed_to_at_the_next_call(tmp_path: Path) -> None:
    library = Folders(tmp_path)
    router = DynamicRouter.open(tmp_path / "no-router", library)
    assert router.route(rows_of(0)) == [()] * 40
    assert router.names == []
    library.put("a", 0)
    library.put("bare", None)
    assert (most(router, 0), most(router, 1)) == ("a", "")
    assert router.names == list(router.prototypes) == ["a"]
    assert set(router.gates(rows_of(0))) == {"a"}
    library.put("b", 1)
    assert (most(router, 0), most(router, 1)) == ("a", "b")
    (tmp_path / "a" / PROTOTYPE_FILE).unlink()
    assert (most(router, 0), most(router, 1)) == ("", "b")


def test_learned_gates_hold_for_the_experts_that_are_there(tmp_path: Path) -> None:
    trained = Router(("a", "gone"), 12, RouterConfig(prototypes=False), base="x" * 64)
    with torch.no_grad():
        trained.weight.zero_()
        assert trained.bias is not None
        trained.bias.fill_(3.0)  # both gates are always open
    trained.save(tmp_path / "router")
    (tmp_path / "experts").mkdir()
    library = Folders(tmp_path / "experts")
    library.put("a", 2)  # its prototype is not asked: the router learned its gate
    router = DynamicRouter.open(tmp_path / "router", library, base="x" * 64)
    assert most(router, 0) == "a"
    library.put("late", 1)
    assert (most(router, 0), most(router, 1)) == ("a", "late+a")


def test_another_base_is_refused(tmp_path: Path) -> None:
    library = Folders(tmp_path)
    library.put("a", 0, base="y" * 64)
    with pytest.raises(ExpertError, match="was made for the base yyyyyyyyyyyy"):
        DynamicRouter(library, None, base="x" * 64).route(rows_of(0))
