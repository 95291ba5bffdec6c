"""One engine, many threads."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from reverie.engine import BrokenOffError, Engine, Interruption, Request, Sampling, Worker
from reverie.errors import UsageError
from reverie.model import Backbone, BackboneConfig

CONFIG = BackboneConfig(
    vocab_size=60, hidden_size=32, intermediate_size=48, num_layers=2, num_heads=4, max_positions=2048
)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return Backbone(CONFIG, torch.Generator().manual_seed(1))


def request(seed: int) -> Request:
    return Request((1 + seed % 3, 2, 3), seed, Sampling(0.9), max_new_ids=5 + seed)


def test_many_threads_get_what_each_gets_alone(backbone: Backbone) -> None:
    alone = [Engine(backbone).generate([request(seed)])[0] for seed in range(12)]
    with Worker(Engine(backbone)) as worker, ThreadPoolExecutor(6) as threads:
        streams = [threads.submit(lambda seed=seed: tuple(worker.stream(request(seed)))) for seed in range(12)]
        scores = [threads.submit(worker.score, (1, 2), (seed,)) for seed in range(12)]
        assert [one.result(30) for one in streams] == [one.ids for one in alone]
        bare = Engine(backbone)
        for seed, score in enumerate(scores):
            assert np.allclose(score.result(30), bare.score((1, 2), (seed,)), atol=1e-4)
        assert [one.ids for one in worker.generate([request(seed) for seed in range(12)])] == [one.ids for one in alone]
        assert np.allclose(worker.embed((1, 2)), bare.embed((1, 2)))


def test_an_engine_is_made_in_its_thread_and_what_that_raises_is_raised(backbone: Backbone) -> None:
    def made() -> Engine:
        assert threading.current_thread().name == "reverie-engine"
        return Engine(backbone)

    with Worker(made) as worker:
        assert worker.generate([request(2)]) == Engine(backbone).generate([request(2)])
    with pytest.raises(ZeroDivisionError):
        Worker(lambda: 1 // 0)  # type: ignore[arg-type, return-value]
    assert not any(thread.name == "reverie-engine" for thread in threading.enumerate())


def test_a_handle_streams_ends_and_tells_its_completion(backbone: Backbone) -> None:
    with Worker(Engine(backbone)) as worker:
        handle = worker.submit(request(4))
        ids = tuple(handle)
        assert handle.done
        assert handle.result() == Engine(backbone).generate([request(4)])[0]
        assert ids == handle.result().ids
        assert tuple(handle) == ()


def test_a_cancelled_one_ends_soon_and_the_others_go_on(backbone: Backbone) -> None:
    with Worker(Engine(backbone)) as worker:
        endless, other = worker.submit(Request((1,), max_new_ids=2000)), worker.submit(request(9))
        next(iter(endless))
        endless.cancel()
        assert 1 <= len(endless.result(10).ids) < 2000
        assert len(other.result(10).ids) == 14


def test_what_a_thread_asks_can_be_broken_off_wherever_it_is(backbone: Backbone) -> None:
    with Worker(Engine(backbone)) as worker, ThreadPoolExecutor(1) as threads:
        broken, begun, asked = Interruption(), threading.Event(), list[str]()

        def answer() -> None:
            with broken.heeded():
                worker.embed((1, 2))
                asked.append("first")
                worker.generate([Request((1,), max_new_ids=2000), request(3)], lambda *_: begun.set())
                asked.append("never")

        told = threads.submit(answer)
        assert begun.wait(10)
        broken.now()
        with pytest.raises(BrokenOffError):
            told.result(10)
        assert asked == ["first"]
        assert not worker.run(lambda: worker._open).result(10)  # nothing of it is drawn any more
        with pytest.raises(BrokenOffError):
            threads.submit(answer).result(10)
        assert len(threads.submit(lambda: worker.generate([request(9)])).result(10)[0].ids) == 14  # others do not heed


def test_what_is_wrong_with_a_request_is_its_own(backbone: Backbone) -> None:
    with Worker(Engine(backbone)) as worker:
        bad, good = worker.submit(Request((99,))), worker.submit(request(1))
        with pytest.raises(UsageError, match="id 99 is not in the vocabulary"):
            bad.result(10)
        with pytest.raises(UsageError, match="id 99"):
            list(bad)
        with pytest.raises(UsageError, match="no ids"):
            worker.embed(())
        assert len(good.result(10).ids) == 6


def test_closing_ends_what_is_under_way_and_refuses_more(backbone: Backbone) -> None:
    worker = Worker(Engine(backbone))
    handle = worker.submit(Request((1,), max_new_ids=2000))
    next(iter(handle))
    worker.close()
    worker.close()
    assert handle.done
    assert len(handle.result(0).ids) < 2000
    with pytest.raises(UsageError, match="closed"):
        worker.submit(request(0))
    assert not any(thread.name == "reverie-engine" for thread in threading.enumerate())


def test_an_idle_worker_takes_no_time(backbone: Backbone) -> None:
    with Worker(Engine(backbone)) as worker:
        worker.submit(request(0)).result(10)
        before = time.process_time()
        time.sleep(0.3)
        assert time.process_time() - before < 0.15
