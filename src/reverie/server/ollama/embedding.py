"""``POST /api/embed`` and the older ``POST /api/embeddings``."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from fastapi import APIRouter, Request

from reverie.server.hosting import Embedded, Hosting
from reverie.server.http.errors import RequestError
from reverie.server.http.streams import unless_gone
from reverie.server.ollama.bodies import EmbedBody, EmbeddingsBody, kept_alive
from reverie.server.ollama.shared import nanoseconds

__all__ = ["embedding_routes"]


def embedding_routes(hosting: Hosting) -> APIRouter:
    routes = APIRouter(prefix="/api")

    @routes.post("/embed")
    async def embed(wanted: EmbedBody, request: Request) -> dict[str, Any]:
        """A vector of length 1 a text."""
        texts = [wanted.input] if isinstance(wanted.input, str) else wanted.input or []
        if len(texts) > hosting.config.max_texts:
            raise RequestError(400, f"at most {hosting.config.max_texts} texts, got {len(texts)}", "input")
        if wanted.dimensions is not None and wanted.dimensions < 0:
            raise RequestError(400, f"'dimensions' is at least 1, got {wanted.dimensions}", "dimensions")
        started = time.monotonic()
        loading = await unless_gone(request, hosting.load(wanted.model, kept_alive(wanted.keep_alive)))
        found = await unless_gone(request, _embedded(hosting, wanted.model, texts, wanted.truncate is not False))
        vectors = found.vectors
        if wanted.dimensions and wanted.dimensions < vectors.shape[1]:
            vectors = vectors[:, : wanted.dimensions]
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return {
            "model": wanted.model,
            "embeddings": vectors.tolist(),
            "total_duration": nanoseconds(time.monotonic() - started),
            "load_duration": nanoseconds(loading),
            "prompt_eval_count": found.num_ids,
        }

    @routes.post("/embeddings")
    async def embeddings(wanted: EmbeddingsBody, request: Request) -> dict[str, Any]:
        """One vector, of length 1; none for no text."""
        await unless_gone(request, hosting.load(wanted.model, kept_alive(wanted.keep_alive)))
        texts = [wanted.prompt] if wanted.prompt else []
        found = await unless_gone(request, _embedded(hosting, wanted.model, texts, True))
        return {"embedding": found.vectors[0].tolist() if texts else []}

    return routes


async def _embedded(hosting: Hosting, model: str, texts: list[str], truncate: bool) -> Embedded:
    if not texts or texts == [""]:
        return Embedded(np.zeros((0, 1), dtype=np.float32), 0)
    return await hosting.embed(model, texts, truncate)
