"""`reverie serve`: it says where it is, ends well, and what cannot be is one line."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from reverie.cli import main


def test_it_answers_until_sigterm(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    heard: list[object] = []

    def visit() -> None:
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=10) as answer:
                    heard.append(json.load(answer)["data"][0]["id"])
                    break
            except OSError:
                time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)

    visitor = threading.Thread(target=visit)
    visitor.start()
    code = main(["serve", "--model", "nano", "--port", str(port), "--json"])
    visitor.join()
    said = json.loads(capsys.readouterr().out)
    assert (code, heard) == (0, ["nano"])
    assert said == {"url": f"http://127.0.0.1:{port}/", "models": ["nano"]}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "nanno"], "Did you mean 'nano'?"),
        (["--model", "nano", "--model", "nano"], "two models are called 'nano'"),
        (["--model", "."], "manifest.json"),
        (["--host", "0.0.0.0"], "no token is set"),
        (["--host", "0.0.0.0", "--token", "short"], "at least 8 letters"),
        (["--keys", "gone.json"], "gone.json"),
        (["hosting.max_runing=3"], "Did you mean 'hosting.max_running'?"),
        (["hosting.max_running=0"], "max_running must be at least 1"),
        (["--weights", "fp7"], "weights"),
        (["--port", "70000"], "--port"),
    ],
)
def test_what_cannot_be_is_one_line(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["serve", "--port", "0", *arguments]) in (1, 2)
    told = capsys.readouterr()
    assert words in told.err
    assert told.err.count("\n") == 1
    assert not told.out


def test_a_taken_port_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["serve", "--model", "nano", "--port", str(taken.getsockname()[1])]) == 2
    assert "cannot listen on 127.0.0.1" in capsys.readouterr().err
