"""A tiny base that talks, with eight tiny experts, behind the real server on a port of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bases import save_base
from reverie.bundles.bundle import read_manifest
from reverie.bundles.experts import open_library
from reverie.bundles.init import InitConfig, init_bundle
from reverie.experts.contract import ExpertCard
from reverie.experts.library import Library
from reverie.server.hosting import HostingConfig
from reverie.server.serving import ServeConfig, prepared_serving
from toy_experts import toy_adapter

EXPERTS = ("art", "birds", "causal", "dogs", "east", "farms", "games", "houses")


def toy_bundle(folder: Path, name: str = "tiny", chat: bool = True, positions: int = 4096) -> Path:
    """The bundle ``folder/name`` of a random base in Llama layout."""
    base = save_base(folder / f"{name}-base", chat=chat, max_position_embeddings=positions)
    return init_bundle(base, folder / name, InitConfig(dtype="fp32", name=name))


def toy_library(bundle: Path, folder: Path, names: Sequence[str] = EXPERTS) -> Library:
    """Experts of that bundle in ``folder``, each with a clear effect."""
    library = open_library(bundle, read_manifest(bundle), folder)
    layers = {name: sizes for name, sizes in (library.linears or {}).items() if name != "lm_head"}
    for place, name in enumerate(names):
        library.create(ExpertCard(name), toy_adapter(place, linears=layers))
    return library


@dataclass(frozen=True)
class Served:
    """A server at work. ``url`` ends with a slash."""

    url: str
    server: Any
    client: httpx.Client

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.client.post(path, json=body)

    def running(self, model: str = "tiny") -> float:
        """Answers under way, as the metrics have it."""
        return self.number(f'reverie_running{{model="{model}"}}')

    def number(self, name: str) -> float:
        lines = self.client.get("/metrics").text.splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)), 0.0)

    def stop(self) -> None:
        self.server.should_exit = True


@contextmanager
def served(models: Sequence[Path | str], hosting: HostingConfig | None = None, **settings: Any) -> Iterator[Served]:
    """The server of these models, running in a thread; stopped and waited for at the end."""
    config = ServeConfig(port=0, hosting=hosting or HostingConfig(weights="fp32"), **settings)
    up = threading.Event()
    with prepared_serving([str(one) for one in models], config) as (server, listener, _):
        server.when_ready = up.set
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            assert up.wait(30)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            with httpx.Client(base_url=url, timeout=60) as client:
                yield Served(url, server, client)
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive()
