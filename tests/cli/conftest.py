"""Ways to run a command that the tests of several commands share. A file may have a ``run`` of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reverie.cli import main


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """run(*arguments) → (exit code, stdout, stderr) of `reverie generator`."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = main(["generator", *map(str, arguments)])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def told(run: Any) -> Any:
    """told(*arguments) → the JSON object of a command that works."""

    def call(*arguments: object) -> dict[str, Any]:
        code, out, err = run(*arguments, "--json")
        assert code == 0, err
        loaded = json.loads(out)
        assert isinstance(loaded, dict)
        return loaded

    return call
