"""What heat, cold and a blade do to a thing: its condition follows from its properties alone."""

from __future__ import annotations

from math import exp

from reverie.worlds.everyday.things import Thing

KNIFE_HARDNESS = 1.2  # Mohs: the hardest stuff that the kitchen knife cuts
HOT_FROM = 100.0  # °C
COLD_TO = 0.0  # °C
SKIN_BURSTS_AT = 80.0  # °C
# temperature around the thing (°C) and for how long (s)
FLAME = (350.0, 30.0)
MATCH = (600.0, 3.0)
FREEZER = (-30.0, 600.0)
ROOM = (20.0, 600.0)


def temperature(thing: Thing, around: float, seconds: float) -> float:
    """Newton's law of cooling: °C of the thing after ``seconds`` in surroundings of ``around`` °C."""
    return around + (thing.starts_at - around) * exp(-thing.warming * seconds)


def warmed(thing: Thing, around: float, seconds: float) -> str:
    """The condition after ``seconds`` in surroundings of ``around`` °C, an open flame where it is hot."""
    degrees = temperature(thing, around, seconds)
    if thing.pressed and degrees >= SKIN_BURSTS_AT:
        return "popped"
    if degrees >= thing.ignites_at:
        return "burning"
    if degrees >= thing.melts_at:
        return "melted"
    if degrees >= thing.cooks_at:
        return "cooked"
    if degrees >= HOT_FROM:
        return "hot"
    if degrees <= thing.freezes_at:
        return "frozen"
    return "cold" if degrees < min(COLD_TO, thing.starts_at) and thing.starts_at > COLD_TO else "whole"


def touched_by_match(thing: Thing) -> str:
    return "lit" if thing.wick else warmed(thing, *MATCH)


def burnt_out(condition: str) -> str:
    """What is left when a fire has had its time; a wick burns on."""
    return "burnt" if condition == "burning" else condition


def cut(thing: Thing) -> str:
    """The condition after a knife pressed through it."""
    if thing.hardness > KNIFE_HARDNESS:
        return "whole"
    if thing.pressed:
        return "popped"
    return "broken" if thing.fragile else "cut"


def smashed(thing: Thing) -> str:
    return "popped" if thing.pressed else "broken"
