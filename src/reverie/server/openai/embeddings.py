"""``POST /v1/embeddings``."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

from reverie.server.hosting import Hosting
from reverie.server.http.errors import RequestError
from reverie.server.http.streams import unless_gone
from reverie.server.openai.bodies import EmbeddingBody, pass_over
from reverie.server.openai.completions import texts_of

__all__ = ["embedding_routes"]


def embedding_routes(hosting: Hosting) -> APIRouter:
    routes = APIRouter(prefix="/v1")

    @routes.post("/embeddings")
    async def embed(wanted: EmbeddingBody, request: Request, answer: Response) -> dict[str, Any]:
        """A vector of length 1 a text: the mean of the bare base's final states. Fewer ``dimensions`` are the first."""
        pass_over(wanted, answer)
        texts = texts_of(wanted.input, "input", hosting.config.max_texts)
        if not all(texts):
            raise RequestError(400, "'input' holds an empty text", "input", "invalid_value")
        found = await unless_gone(request, hosting.embed(wanted.model, texts))
        vectors, size = found.vectors, found.vectors.shape[1]
        if wanted.dimensions is not None and wanted.dimensions != size:
            if wanted.dimensions > size:
                said = f"'dimensions' is at most {size} here, got {wanted.dimensions}"
                raise RequestError(400, said, "dimensions", "invalid_value")
            vectors = vectors[:, : wanted.dimensions]
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        data = [
            {"object": "embedding", "index": place, "embedding": _written(one, wanted.encoding_format == "base64")}
            for place, one in enumerate(vectors)
        ]
        usage = {"prompt_tokens": found.num_ids, "total_tokens": found.num_ids}
        return {"object": "list", "data": data, "model": wanted.model, "usage": usage}

    return routes


def _written(vector: np.ndarray, packed: bool) -> str | list[float]:
    """Numbers, or base64 of little-endian float32."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode() if packed else vector.tolist()
