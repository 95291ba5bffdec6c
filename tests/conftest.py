"""What every test may rely on: no network credentials, a home of its own, the same drawn examples every time.

This file is read before anything of the house: one thread for torch and a cache for numba are settled here, for the
tests and for every command that they start.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background of a shell is started without it
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side; sums do not depend on how many cores there are
os.environ.setdefault("NUMBA_CACHE_DIR", str(REPOSITORY / ".venv" / "numba"))  # compiled once, kept by a checkout

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# The same examples every time, so that a red run says something about the change; REVERIE_FUZZ=1 draws new ones.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("fuzz", deadline=None)
settings.load_profile("fuzz" if os.environ.get("REVERIE_FUZZ") else "steady")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test talks to a remote model or touches what is the user's, whatever the environment holds."""
    for name in os.environ:
        if name.startswith(("REVERIE_", "XDG_", "OPENAI_")) and name != "REVERIE_FUZZ":
            monkeypatch.delenv(name)
    monkeypatch.setenv("REVERIE_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return REPOSITORY
