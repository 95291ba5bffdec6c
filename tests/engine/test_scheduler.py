"""Rows of different requests share steps as they come and go, and none of them notices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reverie.engine import Engine, Request, Sampling, open_decoder
from reverie.engine.contract import Read
from reverie.errors import GrammarError
from reverie.model import Backbone, BackboneConfig

CONFIG = BackboneConfig(
    vocab_size=60, hidden_size=32, intermediate_size=48, num_layers=2, num_heads=4, max_positions=96
)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return Backbone(CONFIG, torch.Generator().manual_seed(1))


def requests(count: int) -> list[Request]:
    rng = np.random.default_rng(5)
    prefixes = [tuple(rng.integers(0, 60, length).tolist()) for length in (3, 11, 24, 11)]
    prefixes[3] = prefixes[1][:6] + prefixes[3][6:]
    return [
        Request(prefixes[row % 4], row, Sampling(0.0 if row % 5 == 0 else 0.9), max_new_ids=1 + (7 * row) % 23)
        for row in range(count)
    ]


def spy(engine: Engine) -> list[int]:
    """How many rows each step of the decoder has from now on."""
    sizes: list[int] = []
    rows = engine.decoder.rows

    def watched() -> object:
        made = rows()
        step = made.step

        def counted(ids: torch.Tensor) -> torch.Tensor:
            sizes.append(len(ids))
            return step(ids)

        made.step = counted  # type: ignore[method-assign]
        return made

    engine.decoder.rows = watched  # type: ignore[method-assign, assignment]
    return sizes


@pytest.mark.parametrize("max_branches", [1, 3, 64])
def test_requests_that_arrive_while_others_run_get_what_they_get_alone(backbone: Backbone, max_branches: int) -> None:
    alone = [Engine(backbone).generate([request])[0] for request in requests(14)]
    engine, rng = Engine(backbone, max_branches), np.random.default_rng(0)
    branches, coming = [], requests(14)
    while coming or engine.busy:
        for _ in range(rng.integers(0, 3)):
            branches += engine.add([coming.pop(0)]) if coming else []
        engine.step()
    given = [branch.completion() for branch in branches]
    assert [one.ids for one in given] == [one.ids for one in alone]
    for one, other in zip(given, alone, strict=True):
        assert np.allclose(one.log_probs, other.log_probs, atol=1e-4)


@pytest.mark.parametrize("read_ids", [1, 7, 20])
@pytest.mark.parametrize("cached_ids", [0, 16384])
def test_prefixes_that_are_read_in_parts_give_what_they_give_whole(
    backbone: Backbone, read_ids: int, cached_ids: int
) -> None:
    alone = [Engine(backbone, read_ids=10**6).generate([request])[0] for request in requests(14)]
    given = Engine(backbone, 5, cached_ids, read_ids=read_ids).generate(requests(14))
    assert [one.ids for one in given] == [one.ids for one in alone]
    for one, other in zip(given, alone, strict=True):
        assert np.allclose(one.log_probs, other.log_probs, atol=1e-4)


def test_who_runs_goes_on_while_long_prefixes_are_read_and_short_ones_pass_them(backbone: Backbone) -> None:
    engine = Engine(backbone, read_ids=16)
    (running,) = engine.add([Request((1, 2), 0, max_new_ids=60)])
    engine.step()
    rng = np.random.default_rng(3)
    (long,) = engine.add([Request(tuple(rng.integers(0, 60, 64).tolist()), 1, max_new_ids=5)])
    short = engine.add([Request(tuple(rng.integers(0, 60, 5).tolist()), seed, max_new_ids=5) for seed in (2, 3)])
    steps = 0
    while not long.ids:
        drawn, steps = engine.step(), steps + 1
        assert running in drawn
    assert all(len(one.ids) > 1 for one in short)
    assert 4 <= steps <= 9
    long.cancelled = True
    while engine.busy:
        engine.step()
    assert len(running.ids) == 60


def test_a_long_prefix_that_nobody_waits_for_any_more_is_not_read_on(backbone: Backbone) -> None:
    engine = Engine(backbone, read_ids=2)
    (long,) = engine.add([Request(tuple(range(60)), 1, max_new_ids=5)])
    engine.step()
    assert engine.busy
    long.cancelled = True
    assert engine.step() == []
    assert not engine.busy


def test_rows_leave_as_soon_as_they_are_done_and_others_take_their_place(backbone: Backbone) -> None:
    engine = Engine(backbone, max_branches=2)
    sizes = spy(engine)
    engine.generate([Request((1, 2), seed, max_new_ids=length) for seed, length in enumerate((9, 2, 2, 2, 2))])
    assert sizes == [2, 1] * 4  # the long one feeds eight ids, every second time beside the only one of another


def test_a_stream_that_is_left_alone_is_moved_on_by_others_and_gives_the_same(backbone: Backbone) -> None:
    engine, slow = Engine(backbone), requests(4)[3]
    stream = engine.stream(slow)
    first = next(stream)
    engine.generate(requests(3))
    assert (first, *stream) == Engine(backbone).generate([slow])[0].ids


def test_a_stream_that_is_closed_costs_nothing_more(backbone: Backbone) -> None:
    engine = Engine(backbone)
    stream = engine.stream(Request((1, 2), max_new_ids=50))
    next(stream)
    stream.close()
    sizes = spy(engine)
    engine.generate([Request((4, 5), max_new_ids=3)])
    assert sizes == [1, 1]
    assert not engine.busy


class Nothing:
    """Allows no id."""

    done = False

    def allowed(self) -> torch.Tensor:
        return torch.zeros(60, dtype=torch.bool)

    def advance(self, token_id: int) -> None:
        raise AssertionError(token_id)


def test_one_that_cannot_go_on_stops_nobody_else(backbone: Backbone) -> None:
    engine, good = Engine(backbone), requests(3)[2]
    bad, fine = engine.add([Request((1,), constraint=Nothing(), max_new_ids=9), good])
    while engine.busy:
        engine.step()
    with pytest.raises(GrammarError, match="allows no id"):
        bad.completion()
    assert fine.completion().ids == Engine(backbone).generate([good])[0].ids


def test_an_interrupted_step_leaves_an_engine_that_works(backbone: Backbone) -> None:
    engine, request = Engine(backbone), Request((1, 2), max_new_ids=20)

    def interrupt(_row: int, _token: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.generate([request], interrupt)
    assert engine.generate([request]) == Engine(backbone).generate([request])


def test_what_many_prefixes_begin_with_is_read_once(backbone: Backbone) -> None:
    engine, read = Engine(backbone), list[int]()
    plain = engine.decoder.read

    def counted(reads: list[Read]) -> object:
        read.extend(len(one.ids) for one in reads)
        return plain(reads)

    engine.decoder.read = counted  # type: ignore[method-assign, assignment]
    system = tuple(range(30, 55))
    requests = [Request((*system, place, 7), place, max_new_ids=3) for place in range(6)]
    given = engine.generate(requests)
    assert sum(read) == 27 + 5 * 2
    assert [one.ids for one in given] == [Engine(backbone).generate([one])[0].ids for one in requests]


def test_no_more_states_are_kept_than_their_logits_may_take(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reverie.engine.prefixes._LOGIT_BYTES", 0)  # 64 states at the least
    engine = Engine(backbone)
    scores = engine.score_many([((1, place % 60, place // 60), (5,), ()) for place in range(90)])
    assert len(engine._prefixes._entries) == 64
    assert np.allclose(scores[0], Engine(backbone).score((1, 0, 0), (5,)), atol=1e-4)


def test_an_engine_takes_a_decoder_too(backbone: Backbone) -> None:
    request = requests(2)[1]
    assert Engine(open_decoder(backbone)).generate([request]) == Engine(backbone).generate([request])
