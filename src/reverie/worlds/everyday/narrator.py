"""Says states, actions and results of the everyday world in words; every list starts with the canonical wording.

Works on what the pictures show (things, conditions, cells); what a state knows beyond that (``event``, ``place``,
``off``) sharpens the words where it is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from reverie.worlds.contract import Episode, Question
from reverie.worlds.everyday.picture import main_thing
from reverie.worlds.everyday.things import ACTIONS, FLOOR_ROW, SURFACES, THINGS, Thing

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
# action → wordings of the command for "the egg"
COMMANDS: dict[str, tuple[str, ...]] = {
    "drop": ("drop {x}", "let {x} fall", "drop {x} from the hand"),
    "let go": ("let go of {x}", "release {x}", "open the hand around {x}"),
    "throw": ("throw {x}", "toss {x}", "throw {x} forward"),
    "pour": ("pour out {x}", "empty {x}", "turn {x} upside down"),
    "push": ("push {x}", "give {x} a push", "shove {x}"),
    "tip": ("tip {x} over", "tip over {x}", "tilt {x}"),
    "heat": ("heat {x}", "heat up {x}", "heat {x} with a flame"),
    "cool": ("cool {x}", "cool down {x}", "chill {x} with ice"),
    "cut": ("cut {x}", "cut {x} with a knife", "try to cut {x}"),
    "light": ("light {x}", "light {x} with a match", "hold a match to {x}"),
    "stack": ("stack {x} on {y}", "put {x} on top of {y}", "place {x} on {y}"),
    "wait": ("wait", "wait a while", "do nothing"),
}
_MOVING = {
    "falls": ("falls", "is falling", "drops down"),
    "drifts": ("drifts down", "is drifting down", "sinks slowly through the air"),
    "rises": ("rises", "is rising", "goes up"),
    "moves": ("moves along", "is moving", "moves to the side"),
    "bounces": ("bounces", "bounces up", "jumps up again"),
}


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


class EverydayNarrator:
    """The narrator of the everyday world."""

    def say_state(self, state: dict[str, Any]) -> list[str]:
        thing, now = THINGS[main_thing(state)["name"]], main_thing(state)
        adjective = CONDITION_WORDS[now["condition"]][0]
        noun = f"{_article(adjective)} {adjective} {thing.short}" if adjective else thing.a
        plain = f"the {adjective} {thing.short}" if adjective else thing.the
        at = self._where(state)
        if state["held"]:
            over = self._over(state)
            return [f"a hand holds {noun} {over}", f"{noun} in a hand {over}", f"{plain} is held {over}"]
        verb = "is" if at in ("in the air", "at the ceiling") else "lies"
        return [f"{noun} {at}", f"{plain} is {at}", f"there is {noun} {at}", f"{plain} {verb} {at}"]

    def _over(self, state: dict[str, Any]) -> str:
        below = self._below(state)
        if below:
            return f"over the {THINGS[below].short}"
        return f"over the {state['surface']}"

    def _below(self, state: dict[str, Any]) -> str | None:
        """The support right under the thing."""
        now = main_thing(state)
        for other in state["things"]:
            if other is not now and other["name"] in THINGS and other["cell"] == [now["cell"][0] + 2, now["cell"][1]]:
                return str(other["name"])
        return None

    def _where(self, state: dict[str, Any]) -> str:
        row, column = main_thing(state)["cell"]
        surface, below = SURFACES[state["surface"]], self._below(state)
        if below:
            return place_words(below)
        left = state["surface_column"]
        over = left - 2 < column < left + surface.columns
        if surface.liquid and column == left + 1 and row + 2 > FLOOR_ROW - surface.height:
            return place_words("water")
        if row + 2 == FLOOR_ROW - surface.height and over:
            return place_words(surface.name)
        if row + 2 == FLOOR_ROW:
            return place_words("floor")
        return place_words("ceiling" if row == 0 else "air")

    def say_action(self, action: int, state: dict[str, Any]) -> list[str]:
        name = main_thing(state)["name"]
        others = [thing["name"] for thing in state["things"] if thing["name"] in THINGS]
        if name in others:
            others.remove(name)
        under = THINGS[others[0]].the if others else state["surface"]
        return [words.format(x=THINGS[name].the, y=under) for words in COMMANDS[ACTIONS[action]]]

    def say_result(self, before: dict[str, Any], action: int, after: dict[str, Any]) -> list[str]:
        was, now = main_thing(before), main_thing(after)
        thing = THINGS[now["name"]]
        if now["condition"] != was["condition"]:
            return list(changed(thing, now["condition"], after.get("off")))
        if now["cell"] != was["cell"] or before["held"] != after["held"]:
            return self._moved(thing, before, after)
        if after["tool"] and not before["tool"]:
            return self._tool(thing, after["tool"])
        same = f"nothing happens to {thing.the}"
        return [same, f"{thing.the} stays as it is", f"{thing.the} does not change"]

    def _tool(self, thing: Thing, tool: str) -> list[str]:
        the = thing.the
        return {
            "flame": [f"a flame warms {the}", f"a flame burns beside {the}", f"{the} stands beside a flame"],
            "ice": [f"ice cools {the}", f"an ice pack lies beside {the}", f"{the} stands beside an ice pack"],
            "knife": [f"the knife cannot cut {the}", f"{the} is too hard for the knife", f"{the} stays in one piece"],
            "match": [f"{the} does not catch fire", f"the match does not light {the}", f"{the} does not burn"],
        }[tool]

    def _moved(self, thing: Thing, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
        at, event = self._where(after), after.get("event")
        row, to_row = main_thing(before)["cell"][0], main_thing(after)["cell"][0]
        if at == "in the air" or (event in _MOVING and after.get("place") == "air"):
            rising = "rises" if thing.rises else "bounces" if to_row < row else "falls"
            falling = "moves" if to_row == row and event not in _MOVING else rising
            key = "drifts" if thing.drag >= 3 and falling == "falls" else event if event in _MOVING else falling
            return [f"{thing.the} {words}" for words in _MOVING[key]]
        if at == "at the ceiling" and thing.rises:
            return [f"{thing.the} rises to the ceiling", f"{thing.the} stops at the ceiling", f"{thing.the} flies up"]
        if at == "in the water":
            verb = "sinks in" if to_row + 2 == FLOOR_ROW else "floats on"
            return [
                f"{thing.the} {verb} the water",
                f"{thing.the} {verb.split()[0]}",
                f"{thing.the} now {verb} the water",
            ]
        return [f"{thing.the} rests {at}", f"{thing.the} comes to rest {at}", f"{thing.the} stops {at}"]

    def questions(self, episode: Episode, rng: np.random.Generator) -> list[Question]:
        """One question of every form that fits ``episode``, at random paraphrases."""
        from reverie.worlds.everyday.questions import ask

        return ask(episode, rng)

    def ask_all(self, episode: Episode) -> list[Question]:
        """Every form and paraphrase frame that fits ``episode``; the canonical one of a form comes first."""
        from reverie.worlds.everyday.questions import ask_all

        return ask_all(episode)


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
