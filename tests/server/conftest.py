"""A toy generator behind the server, asked in process."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("fastapi", reason="needs the extra 'serve'")

from starlette.testclient import TestClient

from reverie.generator import Generator, toy_generator
from reverie.server.http.app import make_app
from reverie.server.http.settings import AccessPolicy, Limits
from reverie.server.pictures.routes import picture_routes
from reverie.server.pictures.service import BundleFacts, GenerationService


@pytest.fixture(scope="session")
def generator() -> Generator:
    """The toy, with a flow that hears prompts (a freshly made one passes everything on)."""
    toy = toy_generator()
    draw = torch.Generator().manual_seed(0)
    for name, weight in toy.priors["flow"].named_parameters():
        if "modulate.weight" in name or name == "out.weight":
            weight.data.normal_(0, 0.3, generator=draw)
    return toy


@pytest.fixture
def serve(generator: Generator) -> Iterator[Callable[..., TestClient]]:
    """serve(limits=…, policy=…) → a client of a server with the toy."""
    clients = list[TestClient]()

    def start(
        limits: Limits | None = None, policy: AccessPolicy | None = None, service: GenerationService | None = None
    ) -> TestClient:
        service = service or GenerationService(
            generator, limits or Limits(), BundleFacts(1_700_000_000, 200_000, "ab" * 32, "bf16")
        )
        app = make_app(picture_routes(service), service.worker, policy or AccessPolicy(), service.limits)
        clients.append(TestClient(app.asgi, base_url="http://localhost:7860", raise_server_exceptions=False))
        return clients[-1].__enter__()

    yield start
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(serve: Callable[..., TestClient]) -> TestClient:
    return serve()


@pytest.fixture
def picture() -> str:
    """A small picture as base64 of a PNG."""
    return as_base64(np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3))


def as_base64(picture: np.ndarray, form: str = "PNG") -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, form)
    return base64.b64encode(file.getvalue()).decode()


@pytest.fixture
def opened() -> Callable[[str], Any]:
    """opened(base64) → the picture as Pillow has it."""

    def open_(text: str) -> Any:
        image = Image.open(io.BytesIO(base64.b64decode(text, validate=True)))
        image.load()
        return image

    return open_
