"""``POST /v1/images/generations`` and ``GET /v1/models`` in OpenAI's shape, with seeds and captions beside it.

Source: the request and response types of OpenAI's Python package, version 3.52 (``openai.types``), which are made from
the API's description. What a local generator cannot do is refused by name; what says nothing here is accepted and has
no effect, so that programs written for that API run as they are.
"""

from __future__ import annotations

import re
import time
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field

from reverie.server.http.body import Body
from reverie.server.http.errors import RequestError
from reverie.server.http.worker import finish
from reverie.server.pictures.encoding import FORMATS, as_base64
from reverie.server.pictures.service import GeneratedPicture, GenerationService, PictureRequest, random_seed

__all__ = ["ImageRequest", "answer_of", "model_entry", "openai_routes", "picture_request", "side_of"]

_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})", re.ASCII)


class ImageRequest(Body):
    """Fields of a request; null is the same as leaving one out."""

    prompt: str = ""  # empty: whatever the seed brings
    model: str | None = None
    n: int | None = None
    size: str | None = None  # "auto", or WIDTHxHEIGHT of a square
    response_format: str | None = None
    output_format: str | None = None
    output_compression: int | None = Field(None, ge=0, le=100)
    stream: bool | None = None
    # ours
    seed: int | None = None  # of the first picture; the next has the next seed
    temperature: float | None = None
    guidance: float | None = None
    prior: str | None = None
    # accepted, and without effect here
    background: Literal["auto", "opaque"] | None = None
    quality: str | None = None
    style: str | None = None
    moderation: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    complexity: str | None = None
    partial_images: Literal[0] | None = None


def openai_routes(service: GenerationService) -> APIRouter:
    routes = APIRouter(prefix="/v1")

    @routes.post("/images/generations")
    async def generate(wanted: ImageRequest, request: Request) -> dict[str, Any]:
        """Pictures with captions: one for each of ``n`` seeds, the prompt followed where one is given."""
        asked = picture_request(wanted, service)
        painted = await finish(service.paint(asked), request)
        return answer_of(painted, service, asked.form, asked.side, wanted.prompt)

    @routes.get("/models")
    async def models() -> dict[str, Any]:
        """The one model that is served."""
        return {"object": "list", "data": [model_entry(service)]}

    @routes.get("/models/{name:path}")
    async def model(name: str) -> dict[str, Any]:
        service.check_name(name)
        return model_entry(service)

    return routes


def picture_request(wanted: ImageRequest, service: GenerationService) -> PictureRequest:
    """What to paint. Raises RequestError on what is not offered."""
    service.check_name(wanted.model)
    if wanted.stream:
        raise RequestError(400, "this server sends pictures whole: leave 'stream' out", "stream", "unsupported_value")
    if wanted.response_format not in (None, "b64_json"):
        said = f"response_format '{wanted.response_format[:40]}' is not offered (nothing is stored); ask for 'b64_json'"
        raise RequestError(400, said, "response_format", "unsupported_value")
    form = wanted.output_format or "png"
    if form not in FORMATS:
        said = f"output_format is one of {', '.join(FORMATS)}, got '{form[:40]}'"
        raise RequestError(400, said, "output_format", "unsupported_value")
    return PictureRequest(
        seed=random_seed() if wanted.seed is None else wanted.seed,
        count=1 if wanted.n is None else wanted.n,
        prompt=wanted.prompt.strip(),
        temperature=1.0 if wanted.temperature is None else wanted.temperature,
        guidance=2.0 if wanted.guidance is None else wanted.guidance,
        prior=wanted.prior or "",
        side=side_of(wanted.size, service.side),
        form=form,
        quality=90 if wanted.output_compression is None else wanted.output_compression,
    )


def side_of(size: str | None, painted: int) -> int:
    """The side that ``size`` asks for, 0 for that of ``painted``. Raises RequestError where it is no square."""
    if size in (None, "auto"):
        return 0
    found = _SIZE.fullmatch(size)
    if found is None:
        raise RequestError(
            400, f"size is 'auto' or a square as {painted}x{painted}, got '{size[:40]}'", "size", "invalid_size"
        )
    width, height = int(found[1]), int(found[2])
    if width != height:
        said = f"pictures are square: ask for 'auto', {painted}x{painted} or another square, got {width}x{height}"
        raise RequestError(400, said, "size", "invalid_size")
    return 0 if width == painted else width


def answer_of(
    painted: list[GeneratedPicture], service: GenerationService, form: str, side: int, prompt: str = ""
) -> dict[str, Any]:
    """OpenAI's response. ``revised_prompt`` is the caption that the generator itself wrote below its picture."""
    side = side or service.side
    return {
        "created": int(time.time()),
        "model": service.name,
        "background": "opaque",
        "output_format": form,
        "size": f"{side}x{side}",
        "painted_size": f"{service.side}x{service.side}",
        "prompt": prompt,
        "data": [
            {
                "b64_json": as_base64(one.data),
                "revised_prompt": one.sample.caption,
                "caption": one.sample.caption,
                "seed": one.sample.seed,
            }
            for one in painted
        ],
    }


def model_entry(service: GenerationService) -> dict[str, Any]:
    figures, limits = service.card.get("figures"), service.limits
    return {
        "id": service.name,
        "object": "model",
        "created": service.facts.created,
        "owned_by": "reverie",
        "size": f"{service.side}x{service.side}",
        "priors": sorted(service.generator.priors),
        "default_prior": service.generator.default_prior,
        "figures": figures if isinstance(figures, dict) else {},
        "description": str(service.card.get("description") or service.card.get("about") or ""),
        "pictures": service.card.get("pictures"),
        "follows_prompts": any(prior.follows_captions for prior in service.generator.priors.values()),
        "limits": {
            "count": limits.max_count,
            "pixels": limits.max_pixels,
            "letters": limits.max_letters,
            "waiting": limits.max_waiting,
        },
    }
