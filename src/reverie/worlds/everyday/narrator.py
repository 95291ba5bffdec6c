"""Says states, actions and results of the everyday world in words; every list starts with the canonical wording.

Works on what the pictures show (things, conditions, cells); what a state knows beyond that (``event``, ``place``,
``off``) sharpens the words where it is there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from reverie.worlds.contract import Episode, Question
from reverie.worlds.everyday import questions
from reverie.worlds.everyday.picture import main_thing
from reverie.worlds.everyday.things import ACTIONS, FLOOR_ROW, SURFACES, THINGS, Thing
from reverie.worlds.everyday.wording import CONDITION_WORDS, changed, place_words

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
        return questions.ask(episode, rng)


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
