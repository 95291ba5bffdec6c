"""Endpoints of our own, where the common APIs have no shape: captions of pictures, walks between two seeds."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field

from reverie.server.http.body import Body
from reverie.server.http.errors import RequestError
from reverie.server.http.worker import finish
from reverie.server.pictures.encoding import FORMATS, as_base64, open_base64
from reverie.server.pictures.openai_api import answer_of, side_of
from reverie.server.pictures.service import GenerationService, PictureRequest

__all__ = ["CaptionRequest", "InterpolationRequest", "native_routes"]


class CaptionRequest(Body):
    """Pictures as base64 or data URIs: ``image``, or several in ``images``."""

    image: str | None = None
    images: list[str] | None = None
    model: str | None = None
    temperature: float = 0.0  # 0: the likeliest words
    seed: int = 0  # of the words, where the temperature is above 0


class InterpolationRequest(Body):
    """The way from one seed to another."""

    first: int = Field(alias="from")
    last: int = Field(alias="to")
    steps: int = 12
    model: str | None = None
    temperature: float = 1.0
    prior: str = ""
    size: str | None = None
    output_format: str = "png"  # or gif: all steps in one moving picture
    frame_ms: int = 120  # of a GIF


def native_routes(service: GenerationService) -> APIRouter:
    routes = APIRouter()

    @routes.post("/v1/captions")
    async def caption(wanted: CaptionRequest, request: Request) -> dict[str, Any]:
        """What the generator would write below each picture."""
        service.check_name(wanted.model)
        given = [*([wanted.image] if wanted.image is not None else []), *(wanted.images or [])]
        if not given:
            raise RequestError(
                400, "send a picture as base64 in 'image', or several in 'images'", "image", "missing_parameter"
            )
        opened = [partial(open_base64, one, service.limits.max_pixels) for one in given]
        captions = await finish(service.describe(opened, wanted.temperature, wanted.seed), request)
        return {"model": service.name, "data": [{"caption": one} for one in captions]}

    @routes.post("/v1/interpolations")
    async def interpolate(wanted: InterpolationRequest, request: Request) -> dict[str, Any]:
        """Pictures with captions on the way, or one GIF of them."""
        service.check_name(wanted.model)
        is_gif = wanted.output_format == "gif"
        if not is_gif and wanted.output_format not in FORMATS:
            said = f"output_format is one of {', '.join(FORMATS)}, gif; got '{wanted.output_format[:40]}'"
            raise RequestError(400, said, "output_format", "unsupported_value")
        side = side_of(wanted.size, service.side)
        if is_gif and side:
            raise RequestError(400, "a GIF has the size that is painted; leave 'size' out", "size", "invalid_size")
        form = "png" if is_gif else wanted.output_format
        first = PictureRequest(wanted.first, 1, "", wanted.temperature, prior=wanted.prior, side=side, form=form)
        painted = await finish(service.walk(first, wanted.last, wanted.steps), request)
        answer = answer_of(painted, service, wanted.output_format, side)
        if is_gif:
            moving = await finish(service.gif([one.sample.picture for one in painted], wanted.frame_ms), request)
            captions = [one.sample.caption for one in painted]
            answer["data"] = [
                {"b64_json": as_base64(moving), "captions": captions, "from": wanted.first, "to": wanted.last}
            ]
        return answer

    return routes
