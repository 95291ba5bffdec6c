"""The real server while many ask: places, clients that leave, the end, models that come and go."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from reverie.server.hosting import HostingConfig
from toy_serving import Served, served, toy_bundle, toy_library

TALK = [{"role": "user", "content": "what falls?"}]
ENDLESS: dict[str, Any] = {"model": "tiny:base", "prompt": "what falls", "temperature": 0, "max_tokens": 4000}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_bundle(tmp_path_factory.mktemp("load"))


def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.005)


def stream(server: Served, **more: Any) -> tuple[socket.socket, bytes]:
    """A connection amid an answer that goes on for long, and what came of it."""
    body = json.dumps({**ENDLESS, "stream": True, **more}).encode()
    host, port = server.client.base_url.host, server.client.base_url.port or 0
    line = socket.create_connection((host, port), timeout=30)
    head = f"POST /v1/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    line.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    came = b""
    while b"data:" not in came:
        came += line.recv(4096)
    return line, came


def test_a_client_that_leaves_amid_a_stream_frees_its_place(bundle: Path) -> None:
    with served([bundle], HostingConfig(weights="fp32", max_running=1, max_queued=0)) as server:
        line, _ = stream(server)
        assert server.running() == 1
        assert server.post("/v1/completions", **ENDLESS).status_code == 503
        line.close()
        until(lambda: server.running() == 0)
        assert server.post("/v1/completions", **ENDLESS | {"max_tokens": 2}).status_code == 200
        assert server.number('reverie_requests_total{end="cancelled",model="tiny"}') == 1


def test_a_client_that_leaves_without_waiting_for_a_whole_answer_frees_its_place(bundle: Path) -> None:
    with served([bundle], HostingConfig(weights="fp32", max_running=1)) as server:
        server.post("/v1/completions", **ENDLESS | {"max_tokens": 2})  # loads the model
        with pytest.raises(httpx.ReadTimeout):
            server.client.post("/v1/completions", json=ENDLESS, timeout=httpx.Timeout(30, read=0.2))
        until(lambda: server.running() == 0)


def test_where_too_many_wait_the_next_is_told_when_to_come_back(bundle: Path) -> None:
    with served([bundle], HostingConfig(weights="fp32", max_running=1, max_queued=1)) as server:
        first, _ = stream(server)
        with ThreadPoolExecutor(1) as threads:
            second = threads.submit(server.post, "/v1/completions", **ENDLESS | {"max_tokens": 2})
            until(lambda: server.number("reverie_waiting") == 1)
            third = server.post("/v1/completions", **ENDLESS)
            assert third.status_code == 503
            assert third.json()["error"]["code"] == "busy"
            assert int(third.headers["retry-after"]) >= 1
            first.close()
            assert second.result(30).status_code == 200  # its turn came
        assert server.number("reverie_running") == server.number("reverie_waiting") == 0


def test_a_slow_reader_holds_up_nobody(bundle: Path) -> None:
    with served([bundle]) as server:
        line, _ = stream(server)  # and nothing more of it is read
        for _ in range(3):
            assert server.post("/v1/completions", **ENDLESS | {"max_tokens": 5}).status_code == 200
        line.close()


def test_an_answer_that_takes_too_long_ends_with_what_it_has(bundle: Path) -> None:
    with served([bundle], HostingConfig(weights="fp32", request_seconds=0.5)) as server:
        server.post("/v1/completions", **ENDLESS | {"max_tokens": 2})
        choice = server.post("/v1/completions", **ENDLESS).json()["choices"][0]
        assert choice["finish_reason"] == "length"
        assert choice["text"]


def test_at_the_end_what_runs_may_finish_and_nothing_new_begins(bundle: Path) -> None:
    with served([bundle], HostingConfig(weights="fp32", grace_seconds=20)) as server:
        line, came = stream(server, max_tokens=400)
        server.stop()
        until(lambda: refuses(server))
        while b"[DONE]" not in came:
            got = line.recv(65536)
            assert got, "the answer was cut off"
            came += got
        line.close()
    assert b'"finish_reason":"length"' in came
    assert not any(thread.name == "reverie-engine" for thread in threading.enumerate())


def refuses(server: Served) -> bool:
    """Whether nobody new comes in."""
    try:
        return httpx.get(f"{server.url}healthz", timeout=5).status_code == 503
    except httpx.HTTPError:
        return True


def test_after_a_while_even_an_endless_answer_ends_in_order(bundle: Path) -> None:
    with served([bundle], HostingConfig(weights="fp32", grace_seconds=0.2)) as server:
        line, came = stream(server)
        server.stop()
        while got := line.recv(65536):
            came += got
        line.close()
    assert b"[DONE]" in came


def test_models_are_let_go_of_by_bytes_and_by_time(tmp_path: Path) -> None:
    both = [toy_bundle(tmp_path, name) for name in ("one", "two")]
    with served(both, HostingConfig(weights="fp32", max_loaded_bytes=400_000)) as server:
        for name in ("one", "two", "one"):
            assert server.post("/v1/chat/completions", model=name, messages=TALK, max_tokens=2).status_code == 200
            assert 0 < server.number("reverie_loaded_bytes") <= 400_000
        asked = {"model": "one", "messages": TALK, "max_tokens": 2, "keep_alive": 0}
        assert server.post("/v1/chat/completions", **asked).status_code == 200
        until(lambda: server.number("reverie_loaded_bytes") == 0)
        assert server.post("/v1/chat/completions", model="one", messages=TALK, max_tokens=2).status_code == 200


def test_experts_come_and_go_while_it_runs(bundle: Path, tmp_path: Path) -> None:
    with served([bundle], HostingConfig(weights="fp32", library=tmp_path / "library")) as server:
        asked: dict[str, Any] = {"prompt": "what falls", "max_tokens": 12, "temperature": 0}
        bare = server.post("/v1/completions", model="tiny", **asked).json()["choices"][0]["text"]
        assert server.post("/v1/completions", model="tiny:birds", **asked).status_code == 404
        library = toy_library(bundle, tmp_path / "library", ["birds"])
        helped = server.post("/v1/completions", model="tiny:birds", **asked).json()["choices"][0]["text"]
        assert helped != bare
        assert [one["id"] for one in server.client.get("/v1/models").json()["data"]] == ["tiny", "tiny:birds"]
        library.remove("birds")
        assert server.post("/v1/completions", model="tiny:birds", **asked).status_code == 404


def test_a_damaged_bundle_is_told_of_and_the_others_answer(bundle: Path, tmp_path: Path) -> None:
    broken = toy_bundle(tmp_path, "broken")
    weights = next((broken / "backbone").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-10])
    with served([bundle, broken]) as server:
        told = server.post("/v1/completions", model="broken", prompt="x")
        assert told.status_code == 500
        assert "damaged" in told.json()["error"]["message"]
        assert str(tmp_path) not in told.text
        assert server.post("/v1/completions", **ENDLESS | {"max_tokens": 2}).status_code == 200


def test_idle_connections_keep_nobody_out(bundle: Path) -> None:
    with served([bundle]) as server:
        host, port = server.client.base_url.host, server.client.base_url.port or 0
        idle = [socket.create_connection((host, port)) for _ in range(200)]
        assert server.post("/v1/completions", **ENDLESS | {"max_tokens": 2}).status_code == 200
        for line in idle:
            line.close()


def test_health_and_numbers(bundle: Path) -> None:
    with served([bundle], token="a-long-secret") as server:
        assert server.client.get("/healthz").json() == {"status": "ok"}
        assert server.client.get("/readyz").json() == {"status": "ready"}
        assert server.client.get("/metrics").status_code == 401
        server.client.headers["Authorization"] = "Bearer a-long-secret"
        server.post("/v1/completions", **ENDLESS | {"max_tokens": 3})
        assert server.number('reverie_ids_total{kind="drawn",model="tiny"}') == 3
        assert server.number('reverie_first_word_seconds_count{model="tiny"}') == 1
