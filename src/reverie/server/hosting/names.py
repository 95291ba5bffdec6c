"""What a model is called: ``smol``, ``smol:auto``, ``smol:base``, ``smol:spatial+temporal@0.7``, ``nano+smol``.

Before the colon stands a bundle, or two joined by a plus (the first dreams in pictures, the second says the rest).
Behind it stands who helps: ``auto`` (or ``latest``, or nothing) whom the router chooses by what is asked, ``base``
nobody, else names of experts, each with a weight behind an @ where that is not 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reverie.errors import UsageError, shorten
from reverie.experts.contract import Choice, check_choice
from reverie.server.http.errors import RequestError, hint

__all__ = ["AUTO", "BASE", "Named", "read_lora", "read_name", "unknown_model"]

AUTO, BASE = "auto", "base"
_USUAL = ("", AUTO, "latest")


@dataclass(frozen=True)
class Named:
    """A model as it was asked for. ``experts``: None lets the router choose."""

    parts: tuple[str, ...]  # one bundle, or two that are joined
    variant: str  # AUTO, BASE, or the experts
    experts: Choice | None

    @property
    def bundle(self) -> str:
        return "+".join(self.parts)

    @property
    def whole(self) -> str:
        """The name in full."""
        return f"{self.bundle}:{self.variant}"


def read_name(name: str, bundles: Iterable[str], experts_of: Callable[[str], Sequence[str]]) -> Named:
    """Who is meant. ``bundles``: those there are; ``experts_of``: the experts of one. Raises RequestError: 404 for who
    is not there, with the nearest names, 400 for weights that make no sense."""
    known = list(bundles)
    bundle, _, variant = (name, "", "") if name in known else name.rpartition(":") if ":" in name else (name, "", "")
    parts = (bundle,) if bundle in known else tuple(bundle.split("+"))
    if len(parts) > 2 or not set(parts) <= set(known):
        raise unknown_model(name, known)
    variant = AUTO if variant in _USUAL else variant
    if variant in (AUTO, BASE):
        return Named(parts, variant, None if variant == AUTO else ())
    if len(parts) > 1:
        raise RequestError(400, f"'{shorten(bundle)}' chooses its experts itself: leave out what follows", "model")
    there = experts_of(bundle)
    choice = _choice(variant)
    if any(one not in there for one, _ in choice):
        raise unknown_model(name, [f"{bundle}:{one}" for one in (AUTO, BASE, *there)])
    return Named(parts, variant, choice)


def _choice(variant: str) -> Choice:
    given = list[tuple[str, float]]()
    for one in variant.split("+"):
        expert, at, weight = one.partition("@")
        try:
            given.append((expert, float(weight) if at else 1.0))
        except ValueError:
            raise RequestError(
                400, f"an expert's weight is a number, as in causal@0.7; got '{shorten(one)}'", "model"
            ) from None
    try:
        return check_choice(given)
    except UsageError as error:
        raise RequestError(404, f"model '{shorten(variant)}': {error}", "model", "model_not_found") from error


def unknown_model(name: str, known: Sequence[str]) -> RequestError:
    there = ", ".join(known[:20]) + (" …" if len(known) > 20 else "")
    said = f"model '{shorten(name, 80)}' not found.{hint(name, known)} Known: {there or 'none'}"
    return RequestError(404, said, "model", "model_not_found")


def read_lora(given: Sequence[Mapping[str, Any]], there: Sequence[str]) -> Choice:
    """The field ``lora`` as llama.cpp's server takes it: objects with ``id`` (the place among the experts, which are
    sorted by name) or ``name``, and ``scale``. Raises RequestError."""
    choice = list[tuple[str, float]]()
    for one in given:
        place, name, scale = one.get("id"), one.get("name"), one.get("scale", 1.0)
        if isinstance(place, int) and not isinstance(place, bool) and name is None:
            if not 0 <= place < len(there):
                raise RequestError(400, f"there is no expert {place}: there are {len(there)}, from 0 on", "lora")
            name = there[place]
        if not isinstance(name, str) or isinstance(scale, bool) or not isinstance(scale, (int, float)):
            raise RequestError(400, "'lora' holds objects with 'id' or 'name', and a number 'scale'", "lora")
        if name not in there:
            said = f"unknown expert '{shorten(name)}'.{hint(name, there)}"
            raise RequestError(404, said, "lora", "expert_not_found")
        choice.append((name, float(scale)))
    try:
        return check_choice(choice)
    except UsageError as error:
        raise RequestError(400, str(error), "lora") from error
