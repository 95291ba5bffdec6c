"""The page in a real browser: a talk with its dreams, refusals with their checks, memory, experts; on a phone, by
keyboard alone, and with nothing asked from elsewhere."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
uvicorn = pytest.importorskip("uvicorn", reason="needs the extra 'serve'")

from fastapi import APIRouter  # noqa: E402

from reverie.paths import packaged_bundles  # noqa: E402
from reverie.server.hosting import Hosting, HostingConfig  # noqa: E402
from reverie.server.http.app import make_app  # noqa: E402
from reverie.server.http.settings import AccessPolicy, Limits  # noqa: E402
from reverie.server.http.worker import Worker  # noqa: E402
from reverie.server.native import native_routes  # noqa: E402
from reverie.server.page import PAGE  # noqa: E402
from reverie.talks import TalkLog  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = "--no-sandbox --headless --disable-gpu --disable-quic --no-first-run --disable-background-networking"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
