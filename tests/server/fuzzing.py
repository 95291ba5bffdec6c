"""Requests made of an OpenAPI description: mostly what it allows, with faults here and there, and what nobody expects.

Every case is drawn from its own seed alone, so that a number is enough to see it again.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    -(2**63),
    10**30,
    1.5,
    -0.0,
    1e308,
    1e-320,
    "",
    " ",
    "null",
    "true",
    "0",
    "json",
    "tiny",
    "tiny:latest",
    "tiny:art@nan",
    "tiny:art+art",
    "nano",
    "../../etc/passwd",
    "a" * 5000,
    "\x00",
    "\ud800",
    "😀" * 50,
    "<|end|>",
    "{{ 7 * 7 }}",
    "%s%n",
    "data:image/png;base64,AAAA",
    "5m",
    "-1s",
    [],
    [[]],
    [None],
    [0] * 300,
    {},
    {"": {}},
    {"type": "object"},
    {"$ref": "#"},
    {"a": {"b": {"c": [1, {"d": None}]}}},
    [{"role": "user", "content": "hi"}],
    [{"role": "tool", "content": ""}],
)
_MODELS = ("tiny", "tiny:latest", "tiny:base", "tiny:art", "nano", "toy", "tinny", "")
_RAW = (b"", b"{", b"[]", b"null", b'"x"', b"[" * 500, b'{"a":' * 500, b"\xff\xfe", b"NaN", b'{"model":"tiny"}' * 2)


@dataclass(frozen=True)
class Case:
    """One request."""

    method: str
    path: str
    body: bytes | None
    kind: str = "application/json"


def cases(document: Mapping[str, Any], seed: int, count: int) -> Iterator[Case]:
    """``count`` requests to the operations of an OpenAPI document, the first of number ``seed``."""
    operations = [
        (method.upper(), path, operation)
        for path, item in sorted(document["paths"].items())
        for method, operation in sorted(item.items())
        if method in ("get", "post", "put", "delete", "head")
    ]
    for number in range(seed, seed + count):
        rng = random.Random(number)
        yield _case(document, rng, *operations[number % len(operations)])


def _case(
    document: Mapping[str, Any], rng: random.Random, method: str, path: str, operation: Mapping[str, Any]
) -> Case:
    for one in operation.get("parameters", ()):
        one = _resolved(document, one)
        if one.get("in") == "path":
            said = str(rng.choice([*_MODELS, "sha256:" + "0" * 64, *(odd for odd in ODD if isinstance(odd, str))]))
            path = path.replace("{" + one["name"] + "}", quote(said.encode("utf-8", "replace")[:300], safe=":"))
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is None:
        return Case(method, path, None if method in ("GET", "HEAD") else b"{}")
    if rng.random() < 0.04:
        return Case(method, path, rng.choice(_RAW), rng.choice(["application/json", "text/plain", ""]))
    value = _value(document, body.get("schema", {}), rng, 0)
    if isinstance(value, dict):
        _use(value, rng)
    return Case(method, path, json.dumps(value, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass"))


def _odd(rng: random.Random) -> Any:
    return copy.deepcopy(rng.choice(ODD))


def _use(value: dict[str, Any], rng: random.Random) -> None:
    """Most requests name a model that is there, and ask for little; a few are given a field that is not known."""
    for name in ("model", "name", "source"):
        if name in value and rng.random() < 0.9:
            value[name] = rng.choice(_MODELS)
    if "model" not in value and rng.random() < 0.7:
        value["model"] = "tiny"
    if rng.random() < 0.1:
        value[rng.choice(["x", "strem", "tools", "options", "format"])] = _odd(rng)


def _value(document: Mapping[str, Any], schema: Any, rng: random.Random, depth: int) -> Any:
    if rng.random() < 0.06 or depth > 6 or not isinstance(schema, dict):
        return _odd(rng)
    schema = _resolved(document, schema)
    for name in ("anyOf", "oneOf", "allOf"):
        if schema.get(name):
            return _value(document, rng.choice(schema[name]), rng, depth + 1)
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type")
    kind = rng.choice(kind) if isinstance(kind, list) else kind
    if kind == "object" or "properties" in schema:
        needed = schema.get("required", ())
        given = {
            name: _value(document, one, rng, depth + 1)
            for name, one in schema.get("properties", {}).items()
            if name in needed or rng.random() < 0.35
        }
        return given if given or rng.random() < 0.5 else {"a": _odd(rng)}
    if kind == "array":
        return [_value(document, schema.get("items", {}), rng, depth + 1) for _ in range(rng.choice([0, 1, 1, 2, 3]))]
    if kind == "integer":
        return rng.choice(
            [0, 1, 2, 7, 64, -1, int(schema.get("minimum", 0)), int(min(schema.get("maximum", 9), 2**62))]
        )
    if kind == "number":
        return rng.choice([0, 0.5, 1, 1.0, -1, schema.get("minimum", 0.1), schema.get("maximum", 2.0)])
    if kind == "boolean":
        return rng.random() < 0.5
    if kind == "string":
        return rng.choice(
            ["hi", "what happens when you drop an egg?", "user", "assistant", "json", "", "é😀", "x" * 200]
        )
    return None if kind == "null" else _odd(rng)


def _resolved(document: Mapping[str, Any], schema: Any) -> Any:
    while isinstance(schema, dict) and isinstance(schema.get("$ref"), str):
        found: Any = document
        for part in schema["$ref"].lstrip("#/").split("/"):
            found = found[part]
        schema = found
    return schema
