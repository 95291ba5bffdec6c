"""A server that is killed amid its work, again and again: what it had kept is whole, and it answers anew."""

from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from reverie.bundles import find_bundle
from reverie.bundles.bundle import read_manifest
from reverie.bundles.experts import open_library
from reverie.memory import Memory
from reverie.talks import TalkLog

httpx = pytest.importorskip("httpx", reason="needs httpx")
pytest.importorskip("prometheus_client", reason="needs the extra 'serve'")

ROUNDS = int(os.environ.get("REVERIE_KILLS", "20"))
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX systems do")]


def start(home: Path) -> tuple[subprocess.Popen[bytes], str, float]:
    """A server of nano, where it listens, and the seconds from its start to its first answer."""
    began = time.monotonic()
    command = [sys.executable, "-m", "reverie", "serve", "--model", "nano", "--port", "0", "--json"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"REVERIE_HOME": str(home)})
    assert server.stdout is not None
    said = b""
    while not said.rstrip().endswith(b"}"):
        said += server.stdout.readline()
    url = json.loads(said)["url"].rstrip("/")
    assert ask(url, 0)["answer"]
    return server, url, time.monotonic() - began


def ask(url: str, number: int) -> dict[str, Any]:
    body = {"model": "nano", "question": f"What happens when you drop {('a glass', 'an egg', 'a ball')[number % 3]}?"}
    told: dict[str, Any] = httpx.post(f"{url}/v1/reverie/ask", json=body, timeout=60).raise_for_status().json()
    return told


def add(url: str, number: int) -> dict[str, Any]:
    body = {"model": "nano", "subject": f"thing {number}", "relation": "IsA", "object": "thing"}
    told: dict[str, Any] = httpx.post(f"{url}/v1/reverie/memory/facts", json=body, timeout=60).raise_for_status().json()
    return told


@pytest.mark.timeout(1200)
def test_nothing_that_was_told_is_lost_when_a_server_is_killed(tmp_path: Path) -> None:
    facts, turns, seconds = set[int](), set[int](), list[float]()
    numbers = iter(range(10**6))
    for _ in range(ROUNDS):
        server, url, took = start(tmp_path)
        seconds.append(took)
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            work = [
                pool.submit(add if number % 2 else ask, url, number) for number in (next(numbers) for _ in range(40))
            ]
            while sum(one.done() for one in work) < 12:
                time.sleep(0.01)
            server.send_signal(signal.SIGKILL)
            server.communicate()
        told = [one.result() for one in work if one.exception() is None]
        facts |= {one["fact"]["id"] for one in told if "fact" in one}
        turns |= {one["turn"] for one in told if "turn" in one}
    with Memory.open(tmp_path / "memory.db") as memory:
        assert memory.store.check() == []
        assert {fact.id for fact in memory.store.facts(sorted(facts))} == facts
    with TalkLog(tmp_path / "talks.db") as log:
        assert {turn.id for turn in log.all_turns()} >= turns
    folder = find_bundle("nano")
    assert open_library(folder, read_manifest(folder)).check() == []
    assert len(facts) + len(turns) >= 12 * ROUNDS
    print(f"first answers after {sorted(seconds)[len(seconds) // 2]:.1f} s, at most {max(seconds):.1f} s")
