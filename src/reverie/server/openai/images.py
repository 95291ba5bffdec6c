"""``POST /v1/images/generations`` for the generators that are served beside language models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request

from reverie.server.http.errors import RequestError, hint
from reverie.server.http.worker import finish
from reverie.server.pictures.openai_api import ImageRequest, answer_of, picture_request
from reverie.server.pictures.service import GenerationService

__all__ = ["image_routes"]


def image_routes(pictures: Mapping[str, GenerationService]) -> APIRouter:
    routes = APIRouter(prefix="/v1")

    @routes.post("/images/generations")
    async def generate(wanted: ImageRequest, request: Request) -> dict[str, Any]:
        """Pictures with captions: one for each of ``n`` seeds."""
        service = _service(wanted.model, pictures)
        asked = picture_request(wanted, service)
        painted = await finish(service.paint(asked), request)
        return answer_of(painted, service, asked.form, asked.side, wanted.prompt)

    return routes


def _service(name: str | None, pictures: Mapping[str, GenerationService]) -> GenerationService:
    if not pictures:
        said = "this server paints nothing; give it a generator (reverie serve --model GENERATOR)"
        raise RequestError(404, said, "model", "model_not_found")
    if not name and len(pictures) == 1:
        return next(iter(pictures.values()))
    bare = (name or "").removesuffix(":latest")
    if bare not in pictures:
        said = f"no generator '{bare[:80]}'.{hint(bare, pictures)} There are: {', '.join(pictures)}"
        raise RequestError(404, said, "model", "model_not_found")
    return pictures[bare]
