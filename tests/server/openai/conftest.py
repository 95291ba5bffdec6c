"""One tiny model with experts, behind the real server for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from reverie.experts.library import Library
from reverie.server.hosting import HostingConfig
from toy_serving import Served, served, toy_bundle, toy_library


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_bundle(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def library(bundle: Path) -> Library:
    return toy_library(bundle, bundle.parent / "library")


@pytest.fixture(scope="module")  # no thread of it is left for tests that count threads
def tiny(bundle: Path, library: Library) -> Iterator[Served]:
    with served([bundle], HostingConfig(weights="fp32", library=library.folder)) as one:
        yield one


@pytest.fixture(scope="module")
def client(tiny: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{tiny.url}v1", api_key="nobody asks", max_retries=0) as one:
        yield one
