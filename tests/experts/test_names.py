"""Functions that have the name of their module are exported as functions, whatever is imported first."""

from __future__ import annotations

import importlib
import subprocess
import sys


def test_before_the_module() -> None:
    code = "from reverie.experts import inject, routed; print(callable(inject), callable(routed))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("True True\n", "")


def test_after_the_module() -> None:
    module = importlib.import_module("reverie.experts.inject")
    from reverie.experts import inject

    assert inject is module.inject
