"""Texts that are read beside others give what each gives alone, whatever they have in common."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reverie.engine import Engine, SlowEngine
from reverie.engine import reading as reading_module
from reverie.engine.contract import Read, State
from reverie.engine.packed import PackedDecoder
from reverie.engine.reading import Kept, holders_of
from reverie.model import Backbone, BackboneConfig

CONFIG = BackboneConfig(
    vocab_size=60, hidden_size=32, intermediate_size=48, num_layers=2, num_heads=4, max_positions=200
)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    rng = torch.Generator().manual_seed(1)
    backbone = Backbone(CONFIG, rng)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=rng) * 0.1)
    return backbone


@pytest.mark.parametrize("most", [2**24, 2000])
def test_many_continuations_are_scored_as_each_alone(
    backbone: Backbone, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_module, "_MOST", most)  # few at a time, too
    rng = np.random.default_rng(0)
    shared, other = (tuple(rng.integers(0, 60, length).tolist()) for length in (30, 12))
    lengths = (1, 2, 5, 6, 7, 70, 3, 5)
    wanted = [
        ((*prefix, *rng.integers(0, 60, row % 3).tolist()), tuple(rng.integers(0, 60, length).tolist()), ())
        for prefix in (shared, other, shared[:20])
        for row, length in enumerate(lengths)
    ]
    slow = SlowEngine(backbone)
    for given, (prefix, continuation, _) in zip(Engine(backbone).score_many(wanted), wanted, strict=True):
        np.testing.assert_allclose(given, slow.score(prefix, continuation), atol=1e-4)


def test_a_prefix_may_grow_piece_by_piece(backbone: Backbone) -> None:
    decoder = PackedDecoder(backbone, None, 0)
    ids = np.random.default_rng(2).integers(0, 60, 40)
    state: State | None = None
    for first in range(0, 40, 4):
        state = decoder.read([Read(ids[first : first + 4], state)])[0][1]
    assert state is not None
    whole = decoder.read([Read(ids)])[0][1]
    torch.testing.assert_close(state.logits, whole.logits, rtol=1e-4, atol=1e-4)
    for length in (1, 4, 9, 40):
        one, other = (torch.cat(decoder.cut(each, length).kept.parts, 3) for each in (state, whole))
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_prefixes_that_begin_alike_share_memory() -> None:
    first, second = torch.randn(2, 2, 1, 3, 4), torch.randn(2, 2, 1, 2, 4)
    grown = Kept().after(first).after(second)
    assert len(grown) == 5
    assert grown.parts[0].data_ptr() == first.data_ptr()
    assert torch.equal(grown.layer(1), torch.cat((first, second), 3)[1])
    assert [part.shape[3] for part in grown.between(2, 4)] == [1, 1]
    assert grown.between(5, 5) == []


def test_a_text_that_another_begins_with_is_read_with_it() -> None:
    texts = [np.array(ids) for ids in ([1, 2], [1, 2, 3, 4], [2, 2], [1, 2, 3], [1, 2], [5], [1])]
    holders = holders_of(texts)
    assert [texts[one].tolist() for one in holders] == [
        [1, 2, 3, 4], [1, 2, 3, 4], [2, 2], [1, 2, 3, 4], [1, 2, 3, 4], [5], [1, 2, 3, 4],
    ]  # fmt: skip
