"""Many prototypes at once: the sketch only ever leaves out what is shut."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from reverie.errors import ExpertError
from reverie.experts.contract import Adapter, Factors
from reverie.experts.dynamic_router import DynamicRouter
from reverie.experts.prototype_stack import PrototypeStack
from reverie.experts.prototypes import (
    Prototype,
    fit_prototype,
    load_prototype,
    prototype_of_weights,
    save_prototype,
    stack_prototypes,
)
from reverie.experts.router import Router, RouterConfig

SIZE = 24
CENTERS = 0.4 * torch.randn(80, SIZE, generator=torch.Generator().manual_seed(1))  # so near that many are mistaken


def rows_of(kind: int, count: int = 40, seed: int = 0) -> Tensor:
    noise = torch.randn(count, SIZE, generator=torch.Generator().manual_seed(100 * kind + seed))
    return CENTERS[kind] + noise * torch.linspace(0.05, 0.6, SIZE)


def prototypes(layers: int = 0) -> list[Prototype]:
    return [fit_prototype(rows_of(kind), rank=4, layers=layers) for kind in range(len(CENTERS))]


@pytest.mark.parametrize("layers", [0, 2])
def test_what_may_be_open_is_told_exactly(layers: int) -> None:
    adapter = Adapter({"one": Factors(torch.randn(2, SIZE), torch.randn(8, 2))})
    all_kinds = [*prototypes(layers), prototype_of_weights(adapter, SIZE), None]
    one = PrototypeStack(stack_prototypes(all_kinds, torch.zeros(SIZE), torch.ones(SIZE)))
    rows = torch.cat([rows_of(kind, 2, seed=7) for kind in range(0, 80, 5)])
    with torch.no_grad():
        plain = one.gates(rows)
        for least in (0.05, 0.3, 0.9):
            found = one.gates(rows, least)
            wanted = plain >= least
            torch.testing.assert_close(found[wanted], plain[wanted])
            assert (found[~wanted] < least).all()
        alone = torch.cat([one.gates(row[None], 0.3) for row in rows])
    assert (alone == 0).float().mean() > 0.3  # there is something that it leaves out
    assert torch.equal(alone >= 0.3, plain >= 0.3)


def test_a_router_over_many_chooses_as_one_that_looks_at_each() -> None:
    named = {f"e{kind}": one for kind, one in enumerate(prototypes())}
    many = Router((), SIZE, RouterConfig()).eval().with_prototypes(named)
    rows = torch.cat([rows_of(kind, 1, seed=3) for kind in range(80)])
    gates = PrototypeStack(stack_prototypes([*named.values()], many.center, many.spread)).gates(rows)
    experts, _ = many.choose(gates)
    plain = [[many.names[place] for place in row if place >= 0] for row in experts.tolist()]
    assert [[name for name, _ in choice] for choice in many.route(rows)] == plain


def test_after_the_first_layers_each_feature_counts_in_its_own_deviation(tmp_path: Path) -> None:
    one = fit_prototype(rows_of(0, 200), rank=2, layers=2)
    stretched = torch.linspace(0.01, 100, SIZE)
    other = fit_prototype(rows_of(0, 200) * stretched, rank=2, layers=2)
    strange = rows_of(1, 50, seed=9)
    assert (one.distances(strange) > one.limit).float().mean() > 0.5
    assert other.scale.shape == (SIZE,)
    assert float(other.scale[-1] / other.scale[0]) > 5
    save_prototype(one, tmp_path)
    again = load_prototype(tmp_path)
    assert again is not None
    assert again.layers == 2
    torch.testing.assert_close(again.distances(strange), one.distances(strange))


class _Library:
    def __init__(self, folder: Path):
        self.folder = folder

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def key(self, name: str) -> str:
        return name

    def folder_of(self, name: str) -> Path:
        return self.folder / name


def test_who_reads_the_first_layers_says_so_and_no_other_prototype_fits(tmp_path: Path) -> None:
    for name, layers in (("early", 2), ("late", 0)):
        (tmp_path / name).mkdir()
        save_prototype(fit_prototype(rows_of(0), layers=layers), tmp_path / name)
    router = DynamicRouter(_Library(tmp_path), None)
    with pytest.raises(ExpertError, match=r"'late' is of features after all layers of the base.*after 2: fit it again"):
        router.layers  # noqa: B018
    (tmp_path / "late" / "prototype.safetensors").unlink()
    assert router.layers == 2
    assert router.names == ["early"]
    assert router.route(rows_of(0, 5, seed=4)) == [(("early", 1.0),)] * 5
