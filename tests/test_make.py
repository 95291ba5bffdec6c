"""What ``make ask`` runs: smol is pulled where it is missing, and where it cannot be had nano answers all the same."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None or os.name == "nt", reason="needs make and a shell")
Make = Callable[..., tuple[list[str], str]]


@pytest.fixture
def make(repository: Path, tmp_path: Path) -> Make:
    """make(*arguments, NAME=value…) → (the calls of `python` and `reverie` of an installed house, stderr)."""
    calls, bin = tmp_path / "calls", tmp_path / "venv" / "bin"
    bin.mkdir(parents=True)
    shutil.copy(repository / "Makefile", tmp_path)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    for name, mishaps in (
        ("python", '*peft*) exit ${NO_PARTS:-0};; *"pip install"*) exit ${NO_PIP:-0};; *pulled*) exit ${NO_SMOL:-0};;'),
        ("reverie", "*pull*) exit ${NO_NETWORK:-0};;"),
    ):
        (bin / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {calls}\ncase "$*" in {mishaps} esac\n')
        (bin / name).chmod(0o755)
    (tmp_path / "venv" / ".installed").touch()

    def run(*arguments: str, **variables: str) -> tuple[list[str], str]:
        calls.unlink(missing_ok=True)
        command = ["make", "ask", f"VENV={tmp_path / 'venv'}", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ | variables, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        told = [line for line in calls.read_text().splitlines() if not line.startswith("python -c")]
        return told, done.stderr

    return run


def test_smol_is_pulled_where_it_is_missing(make: Make) -> None:
    assert make("Q=What's up?", NO_SMOL="1")[0] == ["reverie models pull smol", "reverie ask What's up?"]
    assert make("Q=What's up?")[0] == ["reverie ask What's up?"]


def test_the_parts_that_run_it_are_installed_once(make: Make) -> None:
    calls, _ = make("Q=Hi", NO_PARTS="1")
    assert calls[0].startswith("python -m pip install")
    assert calls[0].endswith("-e .[bases]")
    assert calls[1:] == ["reverie ask Hi"]


def test_nano_alone_asks_for_nothing_else(make: Make) -> None:
    assert make("Q=Hi", "MODEL=nano", NO_SMOL="1", NO_PARTS="1")[0] == ["reverie ask Hi --model nano"]


def test_without_a_network_nano_answers_and_a_line_says_so(make: Make) -> None:
    calls, said = make("Q=Hi", NO_SMOL="1", NO_PARTS="1", NO_PIP="1", NO_NETWORK="1")
    assert calls[-1] == "reverie ask Hi"
    assert said.strip() == "Without smol, nano answers alone; make ask MODEL=nano does not try to fetch it."
