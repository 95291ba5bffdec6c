"""What an expert is: low-rank factors of some of a base's linears, a card that says where it comes from, and a choice
of a few of them with weights."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from torch import Tensor

from reverie.errors import ExpertError, UsageError, shorten

__all__ = [
    "MAX_EXPERTS",
    "Adapter",
    "Choice",
    "ExpertCard",
    "ExpertSource",
    "Factors",
    "ResolvedExperts",
    "check_choice",
    "members_of",
    "resolve",
    "check_name",
]

MAX_EXPERTS = 4  # of one row or token

Choice = tuple[tuple[str, float], ...]  # names with their weights, at most MAX_EXPERTS; () is nobody, which is allowed
ResolvedExperts = tuple[tuple[str, float, str], ...]  # a choice sorted by name, with the key that each file has now

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, eq=False)
class Factors:
    """What an adapter adds to one linear: x (…, in) → x @ down.T @ up.T (…, out)."""

    down: Tensor  # float32 (R, in): LoRA's A
    up: Tensor  # float32 (out, R): LoRA's B, its scale (alpha / R) multiplied in

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    @property
    def nbytes(self) -> int:
        return self.down.nbytes + self.up.nbytes


@dataclass(frozen=True, eq=False)
class Adapter:
    """A LoRA adapter in memory. ``factors``: a linear's name in the base, as transformers calls the module
    (``model.layers.0.self_attn.q_proj``) → what is added to it. Ranks may differ from linear to linear.
    """

    factors: Mapping[str, Factors]

    @property
    def rank(self) -> int:
        return max((one.rank for one in self.factors.values()), default=0)

    @property
    def nbytes(self) -> int:
        return sum(one.nbytes for one in self.factors.values())


@dataclass(frozen=True)
class ExpertCard:
    """Where an expert comes from: ``card.json`` beside its weights. Unknown things are empty, never guessed."""

    name: str
    domain: str = ""  # one word or two: "causal", "babi-qa1"
    description: str = ""
    base: str = ""  # SHA-256 of the base's weights that it was trained on (see ``files.base_hash``)
    data_hash: str = ""  # SHA-256 of what it was trained on
    data_size: int = 0  # rows of that
    parents: tuple[str, ...] = ()  # experts that it was merged or trained on from
    before: Mapping[str, float] = field(default_factory=dict)  # figures of the base alone on its own unseen rows
    after: Mapping[str, float] = field(default_factory=dict)  # the same with this expert
    created: str = ""  # ISO 8601, UTC
    notes: str = ""  # such as why it was not admitted

    def __post_init__(self) -> None:
        check_name(self.name)

    @classmethod
    def from_json(cls, values: Any) -> ExpertCard:
        """Raises ExpertError for what is no card. Keys of later versions are left out."""
        kinds: dict[str, type | tuple[type, ...]] = {
            "data_size": int,
            "parents": (list, tuple),
            "before": dict,
            "after": dict,
        }
        if not isinstance(values, dict) or "name" not in values:
            raise ExpertError("a card is a JSON object with at least a name")
        known = {one.name: values[one.name] for one in fields(cls) if one.name in values}
        for key, value in known.items():
            if not isinstance(value, kinds.get(key, str)) or isinstance(value, bool):
                raise ExpertError(f"the card's {key} is {shorten(repr(value))}, which it cannot be")
        return cls(**known | {"parents": tuple(known.get("parents", ()))})


class ExpertSource(Protocol):
    """Where adapters come from at run time. ``Library`` is one; tests use a dict behind it."""

    def key(self, name: str) -> str:
        """Changes whenever the expert of that name does. Raises UnknownNameError."""

    def adapter(self, name: str) -> Adapter:
        """Its factors, from memory or from disk. Raises UnknownNameError, ExpertError."""


def check_name(name: str) -> str:
    """``name``, or UsageError: a name is a folder's name, never a path."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"an expert's name has 1 to 64 letters, digits, '_', '-' or '.', and begins with a letter or digit; "
            f"got '{shorten(name)}'"
        )
    return name


def check_choice(choice: Sequence[tuple[str, float]]) -> Choice:
    """``choice`` as it is kept: weights finite and not 0, no expert twice, at most MAX_EXPERTS. Raises UsageError."""
    names = [check_name(name) for name, _ in choice]
    if len(names) > MAX_EXPERTS:
        raise UsageError(f"a row has at most {MAX_EXPERTS} experts, got {len(names)}")
    if len(set(names)) < len(names):
        raise UsageError(f"an expert can be chosen once, got {', '.join(names)}")
    if not all(math.isfinite(weight) for _, weight in choice):
        raise UsageError(f"an expert's weight is a finite number, got {list(choice)}")
    return tuple((name, float(weight)) for name, weight in choice if weight != 0)


def resolve(choice: Choice, source: ExpertSource | None) -> ResolvedExperts:
    """Who a checked ``choice`` is now. UsageError where there is no ``source``, UnknownNameError for unknown ones."""
    if not choice:
        return ()
    if source is None:
        raise UsageError(f"this engine has no experts, and a request names '{shorten(choice[0][0])}'")
    return tuple(sorted((name, weight, source.key(name)) for name, weight in choice))


def members_of(experts: Iterable[ResolvedExperts]) -> list[tuple[str, str]]:
    """(name, key) of everybody among them, each once, sorted."""
    return sorted({(name, key) for of_row in experts for name, _, key in of_row})
