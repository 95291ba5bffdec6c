"""What models there are, what they can do, which are in memory: ``tags``, ``show``, ``ps``, ``version``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter

import reverie
from reverie.errors import BundleError
from reverie.jsonio import read_object
from reverie.server.hosting import Hosting, ModelFacts
from reverie.server.http.errors import RequestError
from reverie.server.ollama.bodies import NamedBody
from reverie.server.ollama.infill import fills_in
from reverie.server.ollama.shared import iso
from reverie.server.pictures.ollama_api import listed
from reverie.server.pictures.service import GenerationService

__all__ = ["OLLAMA_VERSION", "listing_routes"]

OLLAMA_VERSION = "0.12.11"  # of the API that this follows; clients compare its three numbers

_DRAWING = {"temperature": "temperature", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p"}


def listing_routes(hosting: Hosting, pictures: Mapping[str, GenerationService]) -> APIRouter:
    routes = APIRouter(prefix="/api")

    @routes.head("/version", include_in_schema=False)
    @routes.get("/version")
    async def version() -> dict[str, Any]:
        """The version of Ollama's API that is spoken here, and ours."""
        return {"version": OLLAMA_VERSION, "reverie": reverie.__version__}

    @routes.head("/tags", include_in_schema=False)
    @routes.get("/tags")
    async def tags() -> dict[str, Any]:
        """The models, each with its experts as further ones."""
        found = [_listed(facts, variant) for facts in hosting.models() for variant in _variants(facts)]
        return {"models": [*found, *map(listed, pictures.values())]}

    @routes.get("/ps")
    async def running() -> dict[str, Any]:
        """The models in memory."""
        return {
            "models": [
                {
                    **_listed(one.facts, "latest"),
                    "size": one.num_bytes,
                    "size_vram": 0,
                    "expires_at": iso(one.expires_at),
                    "context_length": one.facts.context,
                }
                for one in hosting.loaded()
            ]
        }

    @routes.post("/show")
    async def show(wanted: NamedBody) -> dict[str, Any]:
        """What a model is."""
        if not wanted.named:
            raise RequestError(400, "model is required", "model")
        if painter := pictures.get(wanted.named.removesuffix(":latest")):
            return _painter_shown(painter)
        return _shown(wanted.named, hosting.model_facts(wanted.named))

    return routes


def _variants(facts: ModelFacts) -> list[str]:
    return ["latest", *(["base"] if facts.experts else []), *facts.experts]


def _listed(facts: ModelFacts, variant: str) -> dict[str, Any]:
    name = f"{facts.name}:{variant}"
    return {
        "name": name,
        "model": name,
        "modified_at": iso(facts.created),
        "size": facts.num_bytes,
        "digest": _digest(facts, variant),
        "details": _details(facts, "" if variant == "latest" else f"{facts.name}:latest"),
        "capabilities": _capabilities(facts),
    }


def _digest(facts: ModelFacts, variant: str) -> str:
    """Clients take models of one digest for one model by several names."""
    if variant == "latest":
        return facts.digest
    return hashlib.sha256(f"{facts.digest}:{variant}".encode()).hexdigest()


def _details(facts: ModelFacts, parent: str = "") -> dict[str, Any]:
    family = _family(facts)
    return {
        "parent_model": parent,
        "format": "safetensors",
        "family": family,
        "families": [family],
        "parameter_size": _size(facts.num_weights),
        "quantization_level": facts.quantization.upper(),
        "context_length": facts.context,
        "embedding_length": facts.hidden_size,
    }


def _family(facts: ModelFacts) -> str:
    """As GGUF files call the architecture: llama, qwen2."""
    return facts.architecture.partition("For")[0].removesuffix("LMHeadModel").lower() or "llama"


def _size(number: int) -> str:
    return f"{number / 1e9:.1f}B" if number >= 1e9 else f"{number / 1e6:.2f}M"


def _capabilities(facts: ModelFacts) -> list[str]:
    if facts.dreams:
        return ["completion", "vision", "thinking"]
    return ["completion", "tools", *(["insert"] if fills_in(facts) else [])]


def _shown(name: str, facts: ModelFacts) -> dict[str, Any]:
    family = _family(facts)
    return {
        "modelfile": f"# made by Reverie; it goes back to where it came from with: ollama show {name}\nFROM {name}\n",
        "parameters": _parameters(facts),
        "template": facts.template,
        **({"system": facts.kept.system} if facts.kept and facts.kept.system else {}),
        "license": facts.licence,
        "details": _details(facts),
        "model_info": {
            "general.architecture": family,
            "general.basename": facts.name,
            "general.name": name,
            "general.parameter_count": facts.num_weights,
            f"{family}.context_length": facts.context,
            f"{family}.embedding_length": facts.hidden_size,
        },
        "capabilities": _capabilities(facts),
        "modified_at": iso(facts.created),
        "reverie": {"dreams": facts.dreams, "experts": list(facts.experts)},
    }


def _parameters(facts: ModelFacts) -> str:
    """A line each, as Ollama writes them."""
    lines = [("num_ctx", str(facts.context))]
    if not facts.dreams:
        drawing = _told(facts, "generation_config.json")
        lines += [(ours, str(drawing[theirs])) for theirs, ours in _DRAWING.items() if theirs in drawing]
        end = _told(facts, "tokenizer_config.json").get("eos_token")
        text = end.get("content") if isinstance(end, dict) else end
        lines += [("stop", json.dumps(text, ensure_ascii=False))] if isinstance(text, str) and text else []
    for name, value in facts.kept.parameters.items() if facts.kept else ():
        lines = [line for line in lines if line[0] != name]
        lines += [(name, one if isinstance(one, str) and name != "stop" else json.dumps(one, ensure_ascii=False))
                  for one in (value if isinstance(value, list) else [value])]  # fmt: skip
    return "\n".join(f"{name:<30} {value}" for name, value in lines)


def _told(facts: ModelFacts, name: str) -> dict[str, Any]:
    path = facts.folder / "backbone" / name
    return read_object(path, BundleError, "the words of a base") if path.is_file() else {}


def _painter_shown(painter: GenerationService) -> dict[str, Any]:
    told = listed(painter)
    family = told["details"]["family"]
    info = {
        "general.architecture": family,
        "general.basename": painter.name,
        "general.parameter_count": sum(one.numel() for one in painter.generator.network.parameters()),
        f"{family}.context_length": 0,
    }
    return {
        "modelfile": f"FROM {painter.name}\n",
        "parameters": "",
        "template": "",
        "license": "",
        "details": told["details"],
        "model_info": info,
        "capabilities": told["capabilities"],
        "modified_at": told["modified_at"],
    }
