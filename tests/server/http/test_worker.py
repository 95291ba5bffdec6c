from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from reverie.generator import Generator
from reverie.server.http.errors import RequestError
from reverie.server.http.settings import Limits
from reverie.server.http.worker import Job, Worker, finish
from reverie.server.pictures.service import GenerationService, PictureRequest


@pytest.fixture
def held() -> Any:
    """A worker whose first job runs until ``held.set()``."""
    worker, begun, held = Worker(max_waiting=1), threading.Event(), threading.Event()

    def hold(job: Job[str]) -> str:
        begun.set()
        held.wait(20)
        return "held"

    first = worker.start(hold)
    assert begun.wait(20)
    yield worker, first, held
    held.set()
    worker.close()


def test_jobs_run_one_after_the_other_and_one_too_many_is_told_to_come_back(held: Any) -> None:
    worker, first, gate = held
    second = worker.start(lambda job: "second")
    with pytest.raises(RequestError, match="too many requests") as error:
        worker.start(lambda job: "third")
    assert error.value.status == 429
    gate.set()
    assert (first.future.result(20), second.future.result(20)) == ("held", "second")
    assert worker.start(lambda job: "again").future.result(20) == "again"


def test_a_dropped_job_never_starts_or_stops_after_the_portion_at_hand(held: Any) -> None:
    worker, _, gate = held
    seen = list[int]()

    def count(job: Job[None]) -> None:
        for (item,) in job.portions(range(5), 1):
            seen.append(item)
            if item == 1:
                job.drop()

    waiting = worker.start(count)
    waiting.drop()
    gate.set()
    running = worker.start(count)
    with pytest.raises(RequestError):
        running.future.result(20)
    assert seen == [0, 1]
    assert waiting.future.cancelled()


def test_closing_drops_what_waits_and_lets_the_portion_at_hand_end(held: Any) -> None:
    worker, first, gate = held
    second = worker.start(lambda job: "second")
    worker.stop()
    with pytest.raises(RequestError) as error:
        worker.start(lambda job: "late")
    assert error.value.status == 503
    with pytest.raises(RequestError) as error:
        asyncio.run(finish(second))
    assert error.value.status == 503
    gate.set()
    assert first.future.result(20) == "held"
    assert not worker.is_open


def test_nobody_waiting_drops_the_job(held: Any) -> None:
    worker, _, _ = held
    job = worker.start(lambda job: "second")

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(finish(job), 0.05)

    asyncio.run(impatient())
    assert job.future.cancelled()


def test_a_client_that_goes_away_drops_its_job(held: Any) -> None:
    worker, _, _ = held
    job = worker.start(lambda job: "second")

    class Gone:
        async def receive(self) -> dict[str, str]:
            return {"type": "http.disconnect"}

    with pytest.raises(RequestError, match="went away"):
        asyncio.run(finish(job, Gone()))  # type: ignore[arg-type]
    assert job.future.cancelled()


def test_while_a_picture_is_painted_the_server_answers_and_says_when_it_is_full(
    generator: Generator, serve: Callable[..., TestClient]
) -> None:
    service = GenerationService(generator, Limits(max_waiting=0))
    client = serve(service=service)
    begun, gate = threading.Event(), threading.Event()

    def hold(job: Job[None]) -> None:
        begun.set()
        gate.wait(20)

    service.worker.start(hold)
    assert begun.wait(20)
    assert client.get("/healthz").json() == {"status": "ok"}
    busy = client.post("/v1/images/generations", json={"prompt": ""})
    assert (busy.status_code, busy.json()["error"]["type"]) == (429, "rate_limit_error")
    assert int(busy.headers["retry-after"]) > 0
    assert client.post("/api/generate", json={"prompt": "a"}).status_code == 429
    gate.set()
    deadline = time.monotonic() + 20
    while (answer := client.post("/v1/images/generations", json={"prompt": ""})).status_code == 429:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert answer.status_code == 200


def test_a_fault_inside_is_no_traceback_for_the_client(
    generator: Generator,
    serve: Callable[..., TestClient],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(generator, "sample", broken)
    client = serve()
    answer = client.post("/v1/images/generations", json={"prompt": ""})
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    last = client.post("/api/generate", json={"prompt": "a"}).text.splitlines()[-1]
    assert "its log has the details" in last
    assert "secret detail" not in last
    assert "secret detail" in caplog.text


def test_progress_counts_pictures(generator: Generator) -> None:
    service = GenerationService(generator, Limits())
    job = service.paint(PictureRequest(1, 3))
    assert len(job.future.result(30)) == 3
    assert (job.num_done, job.num_all) == (3, 3)
    service.worker.close()
