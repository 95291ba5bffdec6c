"""A tiny model with experts, and a toy generator, behind the real server; asked by Ollama's own client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra 'serve'")
pytest.importorskip("ollama", reason="needs the extra 'ollama'")

import ollama

from reverie.generator import toy_generator
from reverie.server.hosting import HostingConfig
from toy_serving import Served, served, toy_bundle, toy_library


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = toy_bundle(tmp_path_factory.mktemp("ollama"))
    toy_library(folder, folder.parent / "library", ("art", "birds"))
    return folder


@pytest.fixture(scope="session")
def painter(bundle: Path) -> Path:
    return toy_generator().save(bundle.parent / "painter")


@pytest.fixture(scope="module")  # no thread of it is left for tests that count threads
def tiny(bundle: Path, painter: Path) -> Iterator[Served]:
    with served([bundle, painter], HostingConfig(weights="fp32", library=bundle.parent / "library")) as one:
        yield one


@pytest.fixture(scope="module")
def client(tiny: Served) -> Iterator[ollama.Client]:
    with ollama.Client(tiny.url) as one:
        yield one
