from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reverie.errors import BundleError, ConfigError, MissingExtraError, ReverieError, UsageError
from reverie.generator import Generator
from reverie.server.pictures.demo import DemoConfig, facts_of, prepared_demo, run_demo


@pytest.fixture
def bundle(generator: Generator, tmp_path: Path) -> Path:
    return generator.save(tmp_path / "toy")


@contextlib.contextmanager
def running(bundle: Path, settings: DemoConfig) -> Iterator[str]:
    """The address of a server that runs in a thread."""
    ready = threading.Event()
    with prepared_demo(bundle, settings) as (server, listener):
        server.when_ready = ready.set
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            assert ready.wait(30)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
        assert not thread.is_alive()


def asked(url: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"} | headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_a_bundle_is_served_over_the_network_and_stops_when_told(bundle: Path) -> None:
    with running(bundle, DemoConfig(port=0, page=False)) as url:
        status, answer = asked(f"{url}/v1/images/generations", {"prompt": "", "seed": 3})
        assert (status, answer["data"][0]["seed"]) == (200, 3)
        assert asked(f"{url}/v1/models")[1]["data"][0]["id"] == "toy"
        assert asked(f"{url}/healthz")[0] == 200
        assert asked(f"{url}/")[0] == 404
        assert asked(f"{url}/v1/models", Host="evil.example")[0] == 403
    with pytest.raises(urllib.error.URLError):
        asked(f"{url}/healthz")


def test_a_token_is_asked_of_everyone_but_the_watchman(bundle: Path) -> None:
    with running(bundle, DemoConfig(port=0, page=False, host="0.0.0.0", token="a-long-secret")) as url:
        assert asked(f"{url}/v1/models")[0] == 401
        assert asked(f"{url}/v1/models", Authorization="Bearer a-long-secret")[0] == 200
        assert asked(f"{url}/healthz")[0] == 200


def test_the_one_who_starts_it_is_told_the_address_and_ctrl_c_ends_it(bundle: Path) -> None:
    told = list[str]()

    def ready(url: str) -> None:
        told.append(url)
        raise KeyboardInterrupt

    run_demo(bundle, DemoConfig(port=0, page=False), ready)
    assert told[0].startswith("http://127.0.0.1:")


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_a_watchmans_signal_ends_it_and_leaves_nothing_behind(bundle: Path) -> None:
    caches = list[Path]()

    def ready(url: str) -> None:
        caches.append(Path(os.environ["GRADIO_TEMP_DIR"]))
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    run_demo(bundle, DemoConfig(port=0, page=False), ready)
    assert not caches[0].exists()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_port_that_is_taken_is_one_line(bundle: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1, port {port}: .*Choose another"):
            run_demo(bundle, DemoConfig(port=port, page=False))


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (lambda bundle: run_demo(bundle / "nowhere", DemoConfig(port=0, page=False)), BundleError),
        (
            lambda bundle: run_demo(bundle, DemoConfig(port=0, host="no.such.host.invalid", token="12345678")),
            UsageError,
        ),
        (lambda bundle: run_demo(bundle, DemoConfig(port=0, host="0.0.0.0")), ConfigError),
    ],
)
def test_what_cannot_be_served_is_one_line(
    bundle: Path, start: Callable[[Path], None], kind: type[ReverieError]
) -> None:
    with pytest.raises(kind) as error:
        start(bundle)
    assert "\n" not in str(error.value)


def test_a_missing_library_is_named_with_its_install_command(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'reverie\[serve\]'"):
        run_demo(bundle, DemoConfig(port=0, page=False))


def test_the_surroundings_are_as_before(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "True")
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    with prepared_demo(bundle, DemoConfig(port=0, page=False)):
        cache = Path(os.environ["GRADIO_TEMP_DIR"])
        assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
        assert cache.is_dir()
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "True"
    assert "GRADIO_TEMP_DIR" not in os.environ
    assert not cache.exists()


def test_facts_come_from_the_manifest(bundle: Path) -> None:
    facts = facts_of(bundle)
    assert facts.weights == "bf16"
    assert len(facts.digest) == 64
    assert facts.num_bytes == sum(
        path.stat().st_size for path in bundle.rglob("*") if path.is_file() and path.name != "manifest.json"
    )
