"""Words for conditions, places and outcomes of the everyday world; the canonical wording first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reverie.worlds.everyday.picture import main_thing
from reverie.worlds.everyday.things import THINGS, Thing

__all__ = [
    "CONDITION_WORDS",
    "PLACES",
    "Outcome",
    "changed",
    "cooked_words",
    "liquid_of",
    "outcome",
    "place_words",
]

# condition → (as an adjective, "it …")
CONDITION_WORDS: dict[str, tuple[str, str]] = {
    "whole": ("", "is whole"),
    "broken": ("broken", "is broken"),
    "popped": ("popped", "is popped"),
    "melted": ("melted", "is melted"),
    "burning": ("burning", "is on fire"),
    "burnt": ("burnt", "is burnt to ash"),
    "cut": ("cut", "is cut in two"),
    "hot": ("hot", "is hot"),
    "cold": ("cold", "is cold"),
    "frozen": ("frozen", "is frozen"),
    "cooked": ("cooked", "is cooked"),
    "lit": ("lit", "is burning with a small flame"),
    "toppled": ("fallen", "lies on its side"),
    "spilled": ("spilled", "lies on its side, empty"),
    "empty": ("empty", "is empty"),
}
PLACES: dict[str, str] = {
    "floor": "on the floor", "pillow": "on the pillow", "sand": "on the sand", "table": "on the table",
    "water": "in the water", "ceiling": "at the ceiling", "hand": "in the hand", "air": "in the air",
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What became of the thing: its class, the full sentence, and other wordings of it (no final periods)."""

    kind: str
    clause: str
    others: tuple[str, ...] = ()


def place_words(place: str) -> str:
    return PLACES.get(place) or f"on top of the {THINGS[place].short}"


def liquid_of(thing: Thing) -> str:
    return f"the {thing.contents} in the {thing.short}" if thing.contents else thing.the


def cooked_words(thing: Thing) -> tuple[str, ...]:
    if thing.round:
        return (f"{thing.the} cooks", f"{thing.the} gets cooked", f"{thing.the} is cooked")
    return (f"{thing.the} turns into toast", f"{thing.the} gets toasted", f"{thing.the} is toasted")


def changed(thing: Thing, condition: str, off: str | None = None) -> tuple[str, ...]:
    """Wordings of how a thing came into a condition."""
    the, fell = thing.the, f"falls off the {THINGS[off].short if off in THINGS else off} and " if off else ""
    words: dict[str, tuple[str, ...]] = {
        "broken": (f"{the} {fell}breaks", f"{the} {fell}shatters", f"{the} {fell}breaks into pieces"),
        "popped": (f"{the} pops", f"{the} bursts", f"{the} goes pop"),
        "melted": (f"{the} melts", f"{the} melts away", f"{the} turns into a puddle"),
        "burning": (f"{the} catches fire", f"{the} starts to burn", f"{the} is on fire"),
        "burnt": (f"{the} burns to ash", f"{the} burns down", f"only ash is left of {the}"),
        "cut": (f"{the} is cut in two", f"the knife cuts {the} in two", f"{the} falls into two halves"),
        "hot": (f"{liquid_of(thing)} gets hot", f"{liquid_of(thing)} heats up", f"{liquid_of(thing)} becomes hot"),
        "cold": (f"{the} gets cold", f"{the} cools down", f"{the} becomes cold"),
        "frozen": (f"{liquid_of(thing)} freezes", f"{liquid_of(thing)} turns to ice", f"{liquid_of(thing)} is frozen"),
        "cooked": cooked_words(thing),
        "lit": (f"{the} burns with a small flame", f"{the} is lit", f"the wick of {the} burns"),
        "toppled": (
            f"{the} {fell}{'tips' if off else 'falls'} over",
            f"{the} {fell}tips over",
            f"{the} {fell}lies on its side",
        ),
        "spilled": (
            f"{the} {fell or 'falls over and '}spills the {thing.contents}",
            f"the {thing.contents} spills out of {the}",
            f"{the} tips over and the {thing.contents} runs out",
        ),
        "empty": (
            f"the {thing.contents} pours out of {the}",
            f"the {thing.contents} runs out of {the}",
            f"{the} is emptied",
        ),
    }
    return words[condition]


def outcome(thing: Thing, action: str, state: dict[str, Any]) -> Outcome:
    """What a chain of steps that began with ``action`` came to, from its last true state."""
    now, event, place, off = main_thing(state), state["event"], state["place"], state["off"]
    the, condition = thing.the, now["condition"]
    falls = {"drop": "falls and ", "let go": "falls and ", "throw": "lands and "}.get(action, "")
    if condition == "burnt":
        return Outcome("burns", f"{the} catches fire and burns to ash", changed(thing, "burnt"))
    if condition == "broken" and action == "cut":
        return Outcome("breaks", f"{the} breaks under the knife", changed(thing, condition))
    if condition == "broken" and falls:
        return Outcome("breaks", f"{the} {falls}breaks", (*changed(thing, condition), f"{the} {falls}shatters"))
    if condition not in ("whole", *(("toppled",) if falls else ())):
        words = changed(thing, condition, off)
        return Outcome(_KINDS[condition], words[0], (*words[1:], *changed(thing, condition)))
    if condition == "toppled":
        return Outcome("falls over", f"{the} {falls}tips over", changed(thing, condition))
    return _unchanged(thing, action, event, place, off)


_KINDS = {
    "broken": "breaks", "popped": "pops", "melted": "melts", "burning": "burns", "burnt": "burns", "cut": "is cut",
    "hot": "gets hot", "cold": "gets cold", "frozen": "freezes", "cooked": "cooks", "lit": "is lit",
    "toppled": "falls over", "spilled": "spills", "empty": "pours out",
}  # fmt: skip


def _unchanged(thing: Thing, action: str, event: str, place: str, off: str | None) -> Outcome:
    """Outcomes that leave the thing as it was: where it went, or why nothing came of it."""
    the, at = thing.the, place_words(place)
    whole = " and stays whole" if thing.toughness < 20 else ""
    down = f"falls off the {THINGS[off].short if off in THINGS else off} and " if off else ""
    lands = (
        f"{the} {down.removesuffix(' and ')} onto{at.removeprefix('on')}{whole}" if off else f"{the} lands {at}{whole}"
    )
    drifts = f"{the} {down}drifts to the floor" if off else f"{the} drifts slowly down and lands {at}"
    moves: dict[str, tuple[str, ...]] = {
        "bounces": (
            f"{the} {down.replace(' and ', ', ')}bounces and rests {at}",
            f"{the} bounces",
            f"{the} bounces and stops {at}",
        ),
        "lands": (lands, f"{the} falls and stays {at}", f"{the} lands {at}"),
        "drifts": (drifts, f"{the} drifts down", f"{the} lands {at}"),
        "rises": (f"{the} rises to the ceiling", f"{the} rises", f"{the} flies up", f"{the} floats up"),
        "floats": (f"{the} floats on the water", f"{the} floats", f"{the} falls and floats"),
        "sinks": (f"{the} sinks in the water", f"{the} sinks", f"{the} falls and sinks"),
        "rolls": (f"{the} rolls away and stops", f"{the} rolls", f"{the} rolls away"),
        "slides": (f"{the} slides a bit and stops", f"{the} slides", f"{the} moves a bit"),
        "stays": (f"{the} stays {at}", f"{the} rests {at}", f"{the} stays there"),
    }
    if event in moves:
        return Outcome("stays on top" if event == "stays" else event, moves[event][0], moves[event][1:])
    why = {
        "push": f"{the} hardly moves",
        "tip": f"{the} does not fall over",
        "cut": f"the knife cannot cut {the}",
        "light": f"{the} does not catch fire",
        "pour": f"nothing pours out of {the}",
    }
    same = (f"nothing happens to {the}", f"{the} stays as it is", "nothing happens")
    return Outcome("nothing", why.get(action, same[0]), same)
