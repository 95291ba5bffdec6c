"""The experts of a model through the API: told from their files, without loading the model; added and removed while it
runs (its router finds them at the next question)."""

from __future__ import annotations

import base64
import binascii
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.bundles.bundle import read_manifest
from reverie.bundles.experts import open_library
from reverie.bundles.growing import take_out
from reverie.errors import ReverieError
from reverie.experts.files import CONFIG_FILE, WEIGHTS_FILE
from reverie.jsonio import jsonable
from reverie.server.http.errors import RequestError

if TYPE_CHECKING:
    from reverie.experts.library import Library
    from reverie.server.hosting import Hosting
    from reverie.server.native.bodies import ExpertBody

__all__ = ["add", "remove", "told"]


def told(hosting: Hosting, model: str) -> dict[str, Any]:
    """Cards with sizes."""
    library = _library(hosting, model)
    return {"experts": [_described(library, name) for name in library.names()]}


def add(hosting: Hosting, body: ExpertBody) -> dict[str, Any]:
    """Take in an adapter as PEFT saves it. Raises ExpertError for one that is damaged, or made for another base."""
    library = _library(hosting, body.model)
    try:
        weights = base64.b64decode(body.weights, validate=True)
    except (binascii.Error, ValueError):
        raise RequestError(400, "weights are not base64", "weights", "invalid_value") from None
    with tempfile.TemporaryDirectory(prefix="reverie-") as folder:
        Path(folder, WEIGHTS_FILE).write_bytes(weights)
        Path(folder, CONFIG_FILE).write_text(json.dumps(body.config), encoding="utf-8")
        try:
            card = library.add(Path(folder), body.name, body.trust_base)
        except ReverieError as error:  # it is the sender's, who knows no such folder
            raise RequestError(400, str(error).replace(f"{folder}/", ""), code="invalid_expert") from error
    return _described(library, card.name)


def remove(hosting: Hosting, model: str, name: str) -> dict[str, Any]:
    """Delete one that was added. Raises RequestError where there is none."""
    library = _library(hosting, model)
    if name not in library:
        raise RequestError(404, f"{model} has no expert '{name}'. Known: {', '.join(library.names()) or 'none'}.")
    gap, questions = take_out(library, name, hosting.config.memory or None)
    return {"deleted": name, "gap": gap, "reopened": questions}


def _library(hosting: Hosting, model: str) -> Library:
    folder = hosting.model_facts(model).folder
    return open_library(folder, read_manifest(folder), hosting.config.library)


def _described(library: Library, name: str) -> dict[str, Any]:
    told: dict[str, Any] = jsonable(library.describe(name))
    return {key: value for key, value in told.items() if key != "folder"}  # where it lies concerns nobody
