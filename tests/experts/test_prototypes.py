from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from reverie.errors import ExpertError
from reverie.experts.contract import Adapter, Factors
from reverie.experts.prototypes import (
    PROTOTYPE_FILE,
    Prototype,
    fit_prototype,
    load_prototype,
    prototype_of_weights,
    save_prototype,
)


def draw(count: int, seed: int = 0) -> Tensor:
    """Rows that vary in three directions of 24, around a far place."""
    generator = torch.Generator().manual_seed(seed)
    axes = torch.randn(3, 24, generator=torch.Generator().manual_seed(99))
    noise = 0.1 * torch.randn(count, 24, generator=generator)
    return 5 + torch.randn(count, 3, generator=generator) @ axes + noise


def gate(one: Prototype, features: Tensor) -> Tensor:
    return (one.slope * (one.limit - one.distances(features))).sigmoid()


def test_unseen_rows_of_the_kind_are_let_in_and_others_are_not() -> None:
    one = fit_prototype(draw(200), rank=3)
    assert (gate(one, draw(400, seed=1)) >= 0.5).float().mean() > 0.95
    strangers = draw(400, seed=2) + torch.randn(400, 24, generator=torch.Generator().manual_seed(3))
    assert (gate(one, strangers) < 0.05).all()


def test_the_distance_is_that_of_the_gaussian() -> None:
    one = fit_prototype(draw(200), rank=3)
    rest = torch.eye(24) - one.directions.T @ one.directions
    covariance = one.directions.T @ one.variances.diag() @ one.directions + one.rest * rest
    away = draw(5, seed=4) - one.mean
    plain = (away @ torch.linalg.inv(covariance) * away).sum(1).div(24).sqrt()
    torch.testing.assert_close(one.distances(draw(5, seed=4)), plain, rtol=1e-3, atol=1e-4)


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    one = fit_prototype(draw(50))
    save_prototype(one, tmp_path, base="a" * 64)
    again = load_prototype(tmp_path, base="a" * 64)
    assert again is not None
    assert all(torch.equal(tensor, again.tensors()[name]) for name, tensor in one.tensors().items())
    assert load_prototype(tmp_path / "elsewhere") is None


def test_another_base_is_refused(tmp_path: Path) -> None:
    save_prototype(fit_prototype(draw(50)), tmp_path, base="a" * 64)
    with pytest.raises(ExpertError, match=r"was made for the base aaaaaaaaaaaa, and this base is bbbbbbbbbbbb"):
        load_prototype(tmp_path, base="b" * 64)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / PROTOTYPE_FILE
    path.write_bytes(b"no tensors")
    with pytest.raises(ExpertError, match="is damaged"):
        load_prototype(tmp_path)
    save_prototype(fit_prototype(draw(50)), tmp_path)
    tensors = load_file(path)
    for damage in ({"mean": torch.zeros(7)}, {"limit": torch.tensor(torch.nan)}, {"rest": torch.tensor(-1.0)}):
        save_file(tensors | damage, path)
        with pytest.raises(ExpertError, match="is damaged"):
            load_prototype(tmp_path)
    del tensors["slope"]
    save_file(tensors, path)
    with pytest.raises(ExpertError, match="is damaged"):
        load_prototype(tmp_path)


@pytest.mark.parametrize("features", [torch.zeros(3, 8), torch.zeros(20), torch.full((20, 4), torch.nan)])
def test_too_little_to_go_by_is_refused(features: Tensor) -> None:
    with pytest.raises(ExpertError, match="at least 8 rows"):
        fit_prototype(features)


def test_without_data_the_weights_say_what_an_expert_answers_to() -> None:
    generator = torch.Generator().manual_seed(0)
    wanted = torch.randn(16, generator=generator)
    wanted = wanted / wanted.norm()
    up = torch.randn(12, 2, generator=generator)
    strong = Factors(torch.stack((3 * wanted, 0.1 * torch.randn(16, generator=generator))), up)
    other = Factors(torch.randn(2, 40, generator=generator), up)  # reads something that is no hidden state
    one = prototype_of_weights(Adapter({"a": strong, "b": other}), 16)
    assert abs(float(one.directions[0] @ wanted)) > 0.99
    with pytest.raises(ExpertError, match="reads 17 features"):
        prototype_of_weights(Adapter({"a": strong}), 17)


def test_one_row_more_or_less_changes_little() -> None:
    rows = draw(60)
    first, second = fit_prototype(rows), fit_prototype(rows.flip(0))  # and their order nothing
    assert torch.allclose(first.mean, second.mean, atol=1e-4)
    assert torch.allclose(replace(first).variances, second.variances, rtol=1e-3)
