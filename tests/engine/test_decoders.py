"""Every decoder keeps the contract, with experts and without, held to its base's own forward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from bases import BASES, toy_transformers_base
from reverie.engine import check_decoder, open_decoder
from reverie.engine.contract import Read, State
from reverie.engine.packed import PackedDecoder
from reverie.errors import ContractError
from reverie.experts.contract import Choice
from reverie.model import Backbone, BackboneConfig

CONFIG = BackboneConfig(
    vocab_size=60, hidden_size=32, intermediate_size=48, num_layers=2, num_heads=4, max_positions=96
)


@pytest.mark.parametrize("family", BASES)
def test_bases_of_transformers(family: str) -> None:
    backbone = toy_transformers_base(family)

    def plain(ids: Sequence[int], choice: Choice) -> torch.Tensor:
        assert not choice
        with torch.inference_mode():
            return backbone(torch.tensor([[*ids]]))[0]

    passed = check_decoder(open_decoder(backbone), plain)
    assert "rows give what each gives alone" in passed


def backbone() -> Backbone:
    return Backbone(CONFIG, torch.Generator().manual_seed(1))


def plainly(ids: Sequence[int], choice: Choice) -> torch.Tensor:
    with torch.inference_mode():
        return backbone()(torch.tensor([[*ids]]))[0]


def test_our_own_backbone() -> None:
    passed = check_decoder(open_decoder(backbone()), plainly)
    assert "rows that join later run beside those that have gone on" in passed


class Forgetful(PackedDecoder):
    """Reads on as if nothing had been there before."""

    def read(self, reads: Sequence[Read]) -> list[tuple[torch.Tensor, State]]:
        return super().read([replace(one, past=None) for one in reads])


def test_a_decoder_that_breaks_a_promise_is_told_which() -> None:
    with pytest.raises(ContractError, match="one id is read on from a state"):
        check_decoder(Forgetful(backbone(), None, 0), plainly)
