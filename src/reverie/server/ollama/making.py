"""Models fetched, made, copied and deleted: ``pull``, ``create``, ``blobs``, ``copy``, ``delete``; ``push`` is refused.

All of it happens in the user's own folder of models, by names that are no paths.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import ValidationError

from reverie.bundles.known_models import known_models
from reverie.bundles.pull import pull_model, remove_model
from reverie.errors import ReverieError, UnknownNameError, UsageError, shorten
from reverie.paths import find_bundle, models_dir, packaged_bundles, pulled_bundles
from reverie.server.hosting import Hosting
from reverie.server.hosting.kept import Kept, read_kept
from reverie.server.http.errors import RequestError
from reverie.server.ollama.blobs import Blobs
from reverie.server.ollama.bodies import CopyBody, CreateBody, NamedBody, Options, PullBody
from reverie.server.ollama.shared import answered

__all__ = ["making_routes"]

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_FILE_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,127}\.(gguf|safetensors|json|jinja|txt|model)", re.ASCII)

Tell = Callable[[dict[str, Any]], None]


def making_routes(hosting: Hosting, manage: bool) -> APIRouter:
    routes, blobs, busy = APIRouter(prefix="/api"), Blobs(), asyncio.Lock()

    def check() -> None:
        if not manage:
            said = "this server serves the models that it was given: none are made or deleted here"
            raise RequestError(403, said, code="not_managed")

    @routes.post("/pull", response_model=None)
    async def pull(wanted: PullBody, request: Request) -> Response:
        """Fetch a model that ``reverie models pull`` knows by name, or a hub's ``owner/name``."""
        check()
        given = _bare(wanted.named)
        if given not in known_models and (not _HUB_NAME.fullmatch(given) or Path(given).exists()):
            known = ", ".join(known_models)
            raise RequestError(404, f"'{shorten(given)}' can be pulled from nowhere. Known: {known}", "model")
        name = given.rpartition("/")[2]
        return await answered(_told(lambda tell: _pull(given, name, tell), busy), wanted.stream, request)

    @routes.post("/create", response_model=None)
    async def create(wanted: CreateBody, request: Request) -> Response:
        """A model of another one, or of files sent as blobs: one GGUF file, or those of a transformers folder."""
        check()
        _check_create(wanted)
        name = _bare(wanted.named)
        return await answered(_told(lambda tell: _create(wanted, name, blobs, tell), busy), wanted.stream, request)

    @routes.post("/copy", response_model=None)
    async def copy(wanted: CopyBody) -> Response:
        check()
        source, name = _bundle(wanted.source), _bare(wanted.destination)
        _check_new(name)
        async with busy:
            with _clients_fault():
                await asyncio.to_thread(_made_of, str(source), name)
                _keep(read_kept(source), name)
        return Response(status_code=200)

    @routes.delete("/delete", response_model=None)
    async def delete(wanted: NamedBody) -> Response:
        check()
        name = _bare(wanted.named)
        if name in packaged_bundles():
            raise RequestError(403, f"the model '{name}' belongs to the package: it cannot be deleted", "model")
        _bundle(name)
        await hosting.unload(name)
        await asyncio.to_thread(remove_model, name)
        return Response(status_code=200)

    @routes.post("/push")
    async def push(wanted: PullBody) -> None:
        raise RequestError(400, "models are not pushed from here", code="unsupported")

    @routes.head("/blobs/{digest}", response_model=None)
    async def has_blob(digest: str) -> Response:
        check()
        return Response(status_code=200 if blobs.find(digest) else 404)

    @routes.post("/blobs/{digest}", response_model=None)
    async def take_blob(digest: str, request: Request) -> Response:
        """A file for ``create``, held to its digest."""
        check()
        return Response(status_code=201 if await blobs.take(digest, request.stream()) else 200)

    return routes


def _bare(name: str) -> str:
    """A name without what Ollama's clients put behind it."""
    bare = name.strip().removesuffix(":latest")
    if not bare:
        raise RequestError(400, "model is required", "model")
    return bare


def _bundle(name: str) -> Path:
    """Where a model by that name lies. Names that look like paths are names here, too."""
    bare, known = _bare(name), pulled_bundles() | packaged_bundles()
    if bare not in known:
        raise RequestError(404, str(UnknownNameError("model", shorten(bare), [*known])), "model", "model_not_found")
    return known[bare]


def _check_new(name: str) -> None:
    if name in pulled_bundles() or name in packaged_bundles():
        raise RequestError(400, f"there is a model '{shorten(name)}' already; delete it first", "model")


def _pull(given: str, name: str, tell: Tell) -> None:
    tell({"status": "pulling manifest"})

    def progress(what: str, done: int, of: int, /) -> None:
        tell({"status": what.partition("  ")[0], **({"total": of, "completed": done} if of else {})})

    pull_model(given, name, progress=progress, on_step=lambda step: tell({"status": step}))


def _made_of(source: str, name: str, tell: Tell = lambda said: None) -> None:
    """A bundle of what lies on this machine."""
    pull_model(source, name, on_step=lambda step: tell({"status": step}))


def _check_create(wanted: CreateBody) -> None:
    _check_new(_bare(wanted.named))
    for field in ("template", "messages", "quantize", "adapters"):
        if getattr(wanted, field):
            said = f"'{field}' is not kept with a model here; say it with each request"
            raise RequestError(400, said, field, "unsupported_parameter")
    _kept(wanted)
    if bool(wanted.from_) == bool(wanted.files):
        raise RequestError(400, "neither 'from' or 'files' was specified, or both were", "from")
    if wanted.files and (wrong := [one for one in wanted.files if not _FILE_NAME.fullmatch(one)]):
        said = f"'{shorten(wrong[0])}' is no name of a file that a model is made of (.gguf, .safetensors, .json)"
        raise RequestError(400, said, "files")
    if wanted.from_:
        _bundle(wanted.from_)


def _create(wanted: CreateBody, name: str, blobs: Blobs, tell: Tell) -> None:
    if wanted.from_:
        source = find_bundle(_bundle(wanted.from_))
        _made_of(str(source), name, tell)
        _keep(_kept(wanted, read_kept(source)), name)
        return
    with tempfile.TemporaryDirectory(prefix="reverie-create-") as place:
        for file, digest in (wanted.files or {}).items():
            blob = blobs.find(digest)
            if blob is None:
                raise UsageError(f"the blob {shorten(digest)} of '{shorten(file)}' was not sent: POST /api/blobs first")
            (Path(place) / file).symlink_to(blob)
        models = [one for one in wanted.files or {} if one.endswith(".gguf")]
        if models and len(wanted.files or {}) > 1:
            raise UsageError("a model of a GGUF file is made of that one file")
        _made_of(str(Path(place) / models[0]) if models else place, name, tell)
    _keep(_kept(wanted), name)


def _kept(wanted: CreateBody, before: Kept | None = None) -> Kept | None:
    """What is to be kept with the model, over what was kept with the one that it is made from."""
    if not wanted.system and not wanted.parameters:
        return before
    before = before or Kept()
    given = {**before.parameters, **(wanted.parameters or {})}
    try:
        options = Options.model_validate(given)
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(["parameters", *(str(part) for part in fault["loc"])])
        raise RequestError(400, f"'{field}': {fault['msg']}", field) from error
    system = wanted.system or before.system
    seed = options.seed if options.seed is not None and options.seed >= 0 else None
    return Kept(system, options.drawing(), options.stops, options.most, seed, given)


def _keep(kept: Kept | None, name: str) -> None:
    if kept is not None:
        kept.save(find_bundle(name))


@contextmanager
def _clients_fault() -> Iterator[None]:
    """What the house refuses is a wrong request; where things lie is nobody's business."""
    try:
        yield
    except RequestError:
        raise
    except ReverieError as error:
        said = str(error).replace(f"{models_dir()}{os.sep}", "").replace(f"{tempfile.gettempdir()}{os.sep}", "")
        raise RequestError(400, said) from error


class _GoneError(ReverieError):
    """Nobody waits for it any more."""


async def _told(work: Callable[[Tell], None], busy: asyncio.Lock) -> AsyncIterator[dict[str, Any]]:
    """What ``work`` tells on a thread of its own, line by line; one at a time. It ends early where nobody listens."""
    queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
    loop, gone = asyncio.get_running_loop(), threading.Event()

    def tell(said: dict[str, Any]) -> None:
        if gone.is_set():
            raise _GoneError("nobody listens any more")
        loop.call_soon_threadsafe(queue.put_nowait, said)

    async with busy:
        task = asyncio.ensure_future(asyncio.to_thread(work, tell))
        task.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (said := await queue.get()) is not None:
                yield said
            with _clients_fault():
                task.result()
        finally:
            gone.set()
    yield {"status": "success"}
