"""A server of nano with what Reverie alone has, its memory and its log of talks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("prometheus_client", reason="needs the extra 'serve'")

from starlette.testclient import TestClient

from reverie.paths import packaged_bundles
from reverie.server.hosting import HostingConfig
from reverie.server.serving import ServeConfig, make_serving
from reverie.talks import TalkLog


@pytest.fixture(scope="module")
def log_and_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TalkLog, TestClient]]:
    folder = tmp_path_factory.mktemp("served")
    hosting = HostingConfig(memory=str(folder / "memory.db"), library=folder / "experts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REVERIE_HOME", str(folder))
        app = make_serving(packaged_bundles, {}, ServeConfig(hosting=hosting))
        with TalkLog() as log, TestClient(app.asgi, base_url="http://127.0.0.1") as client:
            yield log, client


@pytest.fixture
def client(log_and_client: tuple[TalkLog, TestClient]) -> TestClient:
    return log_and_client[1]


@pytest.fixture
def log(log_and_client: tuple[TalkLog, TestClient]) -> TalkLog:
    return log_and_client[0]
