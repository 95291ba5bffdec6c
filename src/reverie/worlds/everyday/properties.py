"""Properties that one can ask a thing about with yes or no."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reverie.worlds.everyday import matter
from reverie.worlds.everyday.things import Thing

__all__ = ["PROPERTIES", "Property", "properties_of"]


@dataclass(frozen=True)
class Property:
    """A yes/no property of a thing: question frames about {x}, the sentence of a yes and of a no."""

    name: str
    holds: Callable[[Thing], bool]
    frames: tuple[str, ...]
    yes: str
    no: str
    asks: Callable[[Thing], bool] = lambda thing: True


PROPERTIES: tuple[Property, ...] = (
    Property("fragile", lambda t: t.fragile, (
        "Is {x} fragile?", "Does {x} break easily?", "Is {x} easy to break?", "Would you call {x} fragile?",
        "Can {x} break when it falls?", "Is {x} something fragile?"), "{x} is fragile", "{x} is not fragile"),
    Property("burns", lambda t: t.burns, (
        "Can {x} burn?", "Does {x} burn?", "Is {x} able to burn?", "Can you burn {x}?", "Can {x} catch fire?",
        "Could {x} go up in flames?"), "{x} can burn", "{x} cannot burn"),
    Property("melts", lambda t: t.melts_at < 400, (
        "Does {x} melt?", "Can {x} melt?", "Does {x} melt when it gets hot?", "Will {x} melt in the heat?",
        "Can you melt {x}?", "Is {x} something that melts?"), "{x} melts", "{x} does not melt"),
    Property("cut", lambda t: t.hardness <= matter.KNIFE_HARDNESS and not t.pressed and not t.fragile, (
        "Can you cut {x} with a knife?", "Can a knife cut {x}?", "Is {x} soft enough to cut?", "Can {x} be cut?",
        "Does a knife go through {x}?", "Is it possible to cut {x}?"),
        "a knife cuts {x}", "a knife does not cut {x} in two",
        lambda t: not t.pressed and not t.fragile),
    Property("floats", lambda t: t.floats, (
        "Does {x} float in water?", "Can {x} float?", "Does {x} float on water?", "Will {x} float?",
        "Is {x} able to float on water?", "Does {x} stay on top of water?"), "{x} floats", "{x} sinks",
        lambda t: not t.rises and not t.pressed),
    Property("rolls", lambda t: t.round, (
        "Is {x} round?", "Can {x} roll?", "Does {x} roll?", "Is {x} able to roll?", "Will {x} roll if you push it?",
        "Could {x} roll away?"), "{x} can roll", "{x} does not roll", lambda t: not t.pressed and t.rolling < 5),
    Property("light", lambda t: t.rises, (
        "Is {x} lighter than air?", "Does {x} rise in the air?", "Can {x} fly up by itself?",
        "Does {x} go up on its own?",
        "Will {x} rise if you release it?", "Is air heavier than {x}?"), "{x} is lighter than air",
        "{x} is heavier than air"),
    Property("liquid", lambda t: bool(t.contents), (
        "Is there anything to pour out of {x}?", "Can you pour something out of {x}?", "Does {x} hold a liquid?",
        "Is there a liquid in {x}?", "Does anything run out of {x} if you tip it?", "Does {x} contain a liquid?"),
        "{x} holds a liquid", "{x} holds no liquid"),
)  # fmt: skip


def properties_of(thing: Thing) -> list[Property]:
    """Those that make sense for it."""
    return [each for each in PROPERTIES if each.asks(thing)]
