"""Experts added into weights: the sum of what each adds, the base as it was."""

from __future__ import annotations

import pytest
import torch

from reverie.errors import ExpertError
from reverie.experts import merged_weights
from reverie.experts.contract import Adapter, Factors
from toy_experts import small_backbone, toy_adapter


def test_weights_are_the_base_s_and_the_weighted_sum_of_the_experts() -> None:
    base = small_backbone()
    before = {key: tensor.clone() for key, tensor in base.state_dict().items()}
    experts = [(toy_adapter(1), 0.5), (toy_adapter(2, rank=2), -1.5)]
    merged = merged_weights(base, experts)
    assert merged.keys() == {f"{linear}.weight" for linear in toy_adapter().factors}
    for linear, one in experts[0][0].factors.items():
        other = experts[1][0].factors[linear]
        wanted = before[f"{linear}.weight"] + 0.5 * one.up @ one.down - 1.5 * other.up @ other.down
        assert torch.allclose(merged[f"{linear}.weight"], wanted, atol=1e-5)
    assert all(torch.equal(tensor, before[key]) for key, tensor in base.state_dict().items())
    assert merged_weights(base, []) == {}


def test_convolutions_have_factors_of_their_own_shape() -> None:
    generator = torch.Generator().manual_seed(0)
    weight, down, up = (
        torch.randn(*shape, generator=generator) for shape in ((6, 4, 3, 3), (2, 4, 3, 3), (6, 2, 1, 1))
    )
    merged = merged_weights({"a.weight": weight}, [(Adapter({"a": Factors(down, up)}), 2.0)])
    assert torch.allclose(merged["a.weight"], weight + 2 * torch.einsum("orxy,rihw->oihw", up, down), atol=1e-5)


def test_what_does_not_fit_is_refused() -> None:
    (linear, factors), *_ = toy_adapter().factors.items()
    for wrong, said in (
        (Adapter({"model.nowhere": factors}), "'model.nowhere', which this base does not have"),
        (Adapter({linear: Factors(factors.down[:, 1:], factors.up)}), "does not fit"),
        (Adapter({linear: Factors(factors.down[1:], factors.up)}), "does not fit"),
    ):
        with pytest.raises(ExpertError, match=said):
            merged_weights(small_backbone(), [(wrong, 1.0)])
