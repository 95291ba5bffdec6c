"""A server of nano with what Reverie alone has, its memory and its log of talks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from reverie.paths import packaged_bundles
from reverie.server.hosting import Hosting, HostingConfig
from reverie.server.http.app import Application, make_app
from reverie.server.http.settings import AccessPolicy, Limits
from reverie.server.http.worker import Worker
from reverie.server.native import native_routes
from reverie.server.page import PAGE
from reverie.talks import TalkLog


def application(folder: Path, **settings: Any) -> tuple[Application, TalkLog]:
    """nano and the page, with a memory and a log in ``folder``."""
    config = HostingConfig(memory=str(folder / "memory.db"), library=folder / "experts", **settings)
    hosting, log = Hosting(packaged_bundles, config), TalkLog(folder / "talks.db")
    return make_app([native_routes(hosting, log)], Worker(4), AccessPolicy(), Limits(), PAGE), log


@pytest.fixture(scope="module")
def log_and_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TalkLog, TestClient]]:
    app, log = application(tmp_path_factory.mktemp("served"))
    with TestClient(app.asgi, base_url="http://127.0.0.1") as client:
        yield log, client
    log.close()


@pytest.fixture
def client(log_and_client: tuple[TalkLog, TestClient]) -> TestClient:
    return log_and_client[1]


@pytest.fixture
def log(log_and_client: tuple[TalkLog, TestClient]) -> TalkLog:
    return log_and_client[0]
