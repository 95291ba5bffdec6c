"""``POST /api/generate`` in Ollama's shape: a picture for a prompt, a caption for posted ``images``.

Ollama's own server had fields for image generation from v0.14.3 to v0.32.9 (``width``, ``height``, ``steps``; in the
answer ``image``, ``completed``, ``total``). Pull request 16615 took them out in v0.32.10; client libraries have them
still. This follows the documentation of that time. As with Ollama, the answer is a stream of JSON lines unless
``"stream": false``, and fields that are not known are passed over. ``response`` holds the caption, which is what this
generator has to say.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

import reverie
from reverie.server.http.body import LenientModel
from reverie.server.http.streams import json_lines
from reverie.server.http.worker import Job, finish
from reverie.server.pictures.encoding import as_base64, open_base64
from reverie.server.pictures.openai_api import side_of
from reverie.server.pictures.service import GeneratedPicture, GenerationService, PictureRequest, random_seed

__all__ = ["GenerateOptions", "GenerateRequest", "listed", "ollama_routes", "painted"]

T = TypeVar("T")

_LOOK_S = 0.25  # between two looks at how far it is


class GenerateOptions(LenientModel):
    seed: int | None = None  # below 0, as none: a random one
    temperature: float | None = None
    guidance: float | None = None  # ours
    prior: str | None = None  # ours


class GenerateRequest(LenientModel):
    model: str | None = None
    prompt: str = ""
    images: list[str] | None = None  # pictures to caption, base64
    stream: bool | None = None  # null is true
    width: int | None = None
    height: int | None = None
    steps: int | None = None  # accepted: this generator has no steps of diffusion
    options: GenerateOptions | None = None


def ollama_routes(service: GenerationService) -> APIRouter:
    routes = APIRouter(prefix="/api")

    @routes.post("/generate")
    async def generate(wanted: GenerateRequest, request: Request) -> Response:
        """A picture with its caption; with ``images`` their captions."""
        service.check_name(wanted.model)
        return await painted(service, wanted, request)

    @routes.get("/tags")
    async def tags() -> dict[str, Any]:
        """The one model that is served."""
        return {"models": [listed(service)]}

    @routes.get("/version")
    async def version() -> dict[str, Any]:
        return {"version": reverie.__version__}

    return routes


async def painted(service: GenerationService, wanted: GenerateRequest, request: Request) -> Response:
    """A picture with its caption; with ``images`` their captions."""
    options, stream = wanted.options or GenerateOptions(), wanted.stream is not False
    if wanted.images:
        opened = [partial(open_base64, one, service.limits.max_pixels, "images") for one in wanted.images]
        captions = service.describe(opened, options.temperature or 0.0, max(0, options.seed or 0))
        return await _answer(service, captions, _of_captions, request, stream)
    if not wanted.prompt and options.seed is None:  # as with Ollama: asks only that the model is ready
        return JSONResponse(_line(service, response="", done=True, done_reason="load"))
    return await _answer(service, service.paint(_request(wanted, options, service)), _of_picture, request, stream)


def _request(wanted: GenerateRequest, options: GenerateOptions, service: GenerationService) -> PictureRequest:
    width, height = wanted.width or wanted.height, wanted.height or wanted.width  # 0 and null: the generator's own
    return PictureRequest(
        seed=random_seed() if options.seed is None or options.seed < 0 else options.seed,
        prompt=wanted.prompt.strip(),
        temperature=1.0 if options.temperature is None else options.temperature,
        guidance=2.0 if options.guidance is None else options.guidance,
        prior=options.prior or "",
        side=side_of(f"{width}x{height}" if width else None, service.side),
    )


def _of_picture(pictures: list[GeneratedPicture]) -> dict[str, Any]:
    (one,) = pictures
    return {"image": as_base64(one.data), "response": one.sample.caption, "seed": one.sample.seed}


def _of_captions(captions: list[str]) -> dict[str, Any]:
    return {"response": "\n".join(captions), "captions": captions}


async def _answer(
    service: GenerationService, job: Job[T], fields_of: Callable[[T], dict[str, Any]], request: Request, stream: bool
) -> Response:
    started = time.perf_counter_ns()

    def last_line(result: T) -> dict[str, Any]:
        took = time.perf_counter_ns() - started
        return _line(service, **fields_of(result), done=True, done_reason="stop", total_duration=took, load_duration=0)

    if stream:
        return json_lines(_lines(service, job, last_line))
    return JSONResponse(last_line(await finish(job, request)))


async def _lines(
    service: GenerationService, job: Job[T], last_line: Callable[[T], dict[str, Any]]
) -> AsyncIterator[dict[str, Any]]:
    """How far it is, whenever that changes; then the answer."""
    answer, said = asyncio.ensure_future(finish(job)), -1
    try:
        while not answer.done():
            if job.num_done > said:
                said = job.num_done
                yield _line(service, response="", completed=said, total=job.num_all, done=False)
            await asyncio.wait({answer}, timeout=_LOOK_S)
        yield last_line(answer.result())
    finally:
        answer.cancel()  # drops the job where the client went away


def _line(service: GenerationService, **fields: Any) -> dict[str, Any]:
    created = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return {"model": service.name, "created_at": created, **fields}


def listed(service: GenerationService) -> dict[str, Any]:
    facts, num_weights = service.facts, sum(one.numel() for one in service.generator.network.parameters())
    modified = datetime.fromtimestamp(facts.created, UTC).isoformat().replace("+00:00", "Z")
    details = {
        "parent_model": "",
        "format": "safetensors",
        "family": "reverie-generator",
        "families": ["reverie-generator"],
        "parameter_size": f"{num_weights / 1e6:.1f}M",
        "quantization_level": str(service.facts.weights).upper(),
    }
    return {
        "name": f"{service.name}:latest",
        "model": f"{service.name}:latest",
        "modified_at": modified,
        "size": facts.num_bytes,
        "digest": facts.digest,
        "details": details,
        "capabilities": ["image", "vision"],
    }
