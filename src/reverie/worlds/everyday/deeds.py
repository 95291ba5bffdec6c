"""What a question of the everyday world says is done to a thing, from what its words mention in whatever order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

from reverie.worlds.everyday.events import APART, FALLING
from reverie.worlds.everyday.mentions import PEOPLE, Mentions, Unclear, classes, keys, values

__all__ = ["SEVERAL", "UNDONE", "Deeds"]

SEVERAL = "it names several things"
UNDONE = "it does not say what is done"
_USED_FOR = {"heat": ("heat",), "cool": ("cool",), "cut": ("cut",), "light": ("light", "heat")}  # action → its tools
_DONE = re.compile(r"\b(heated|warmed|cooled|chilled|dropped|tipped|tilted|thrown|tossed|pushed|knocked|released)\b")
_TWICE = "it names two things that are done"


class Deeds:
    """What is done in one question. Raises Unclear where that is not plain."""

    def __init__(self, said: Mentions):
        self.said = said

    @cached_property
    def acts(self) -> list[str]:
        """Actions that are mentioned and not denied; words that may also be an outcome where nothing else is."""
        sure, maybe = list[str](), list[str]()
        for place, one in enumerate(self.said):
            if self.said.denied(one) is None:
                found = sure if "verb" not in keys(one) or self.by_somebody(place) else maybe
                found += values(one, "act")
        if sure or self.said.has("tool") or self.said.form in ("whether", "why"):
            return list(dict.fromkeys(sure))
        return maybe[:1]

    def by_somebody(self, place: int) -> bool:
        """Whether a word that may be an action or an outcome is what somebody does: "I tip it", "when tipped"."""
        before, after = self.said.near(place, -1), self.said.near(place, 1)
        if _DONE.search(self.said.all[place].text):
            return True
        if after is not None and ("thing" in keys(after) or after.text in ("it", "them", "him", "her")):
            return before is None or ("thing" not in keys(before) and before.text not in ("it", "they", "does", "will"))
        if before is None:
            return False
        subject = before.text in (*PEOPLE, "he", "she") or classes(before) == {"person"}
        return subject or before.text in ("when", "if", "once", "after", "by", "on")

    @cached_property
    def told(self) -> bool:
        """Whether anything is said to be done, or to befall a thing."""
        wet = "water" in self.said.values("surface") and any(
            "surface" in keys(one) and one.text.split()[0] in ("in", "into", "on", "to") for one in self.said
        )
        comes = any(self.said.has(key) for key in ("fell", "put", "tool", "on", "support"))
        return bool(self.acts) or comes or wet

    @cached_property
    def done(self) -> dict[str, str]:
        """The action, with where it is done."""
        surfaces, supports = self._surfaces, self.said.values("support")
        action = self._action(surfaces, supports)
        named = {"action": action}
        if action == "stack":
            if len(supports) != 1:
                raise Unclear("it does not say what the thing is put on")
            named["support"] = supports[0]
            surfaces = [one for one in surfaces if one != "floor"]
        elif supports:
            raise Unclear(SEVERAL)
        if self.said.has("off"):
            if action not in ("push", "drop", "tip"):
                raise Unclear(APART)
            named |= {"action": "push", "off": "yes", "surface": "table"}
            surfaces = [one for one in surfaces if one not in ("table", "floor")]
        if len(surfaces) > 1:
            raise Unclear("it names several places")
        if surfaces and surfaces != ["floor"]:
            named["surface"] = surfaces[0]
        heights = self.said.values("height")
        if len(heights) > 1:
            raise Unclear("it names several heights")
        if heights and action in (*FALLING, "pour"):
            named["height"] = heights[0]
        return named

    @cached_property
    def _surfaces(self) -> list[str]:
        """Where it is done; "water" alone may be what is in a cup."""
        found = [
            says["surface"]
            for one, says in self.said.says
            if "surface" in says
            and "off" not in says
            and "verb" not in keys(one)
            and not ("liquid" in keys(one) and " " not in one.text)
        ]
        return list(dict.fromkeys(found))

    def _action(self, surfaces: Sequence[str], supports: Sequence[str]) -> str:
        acts, tools, put = self.acts, self._tools, self.said.has("put")
        if acts == ["let go"] and put and supports:
            return "stack"  # put there, and the hand taken off
        if acts and set(acts) <= {"drop", "let go"}:
            acts = acts[:1]
        if acts == ["wait"] or (not acts and put):
            return self._left_there(surfaces, supports, tools)
        if acts:
            if len(acts) > 1 or any(tool not in _USED_FOR.get(acts[0], ()) for tool in tools):
                raise Unclear(_TWICE)
            return acts[0]
        return self._come_about(supports, tools)

    def _left_there(self, surfaces: Sequence[str], supports: Sequence[str], tools: Sequence[str]) -> str:
        """What is put or left somewhere is done to it by what is there."""
        if self.said.has("off"):
            return "push"
        if tools:
            return _only(tools)
        if supports:
            return "stack"
        fell = self.said.has("fell") and not self.acts
        if "water" in surfaces or fell:
            return "drop"
        if self.acts or surfaces:
            return "wait"
        raise Unclear(UNDONE)

    def _come_about(self, supports: Sequence[str], tools: Sequence[str]) -> str:
        """What befalls a thing that nobody is said to do anything with."""
        if tools:
            return _only(tools)
        if supports:
            if self.said.has("fell"):
                raise Unclear(SEVERAL)
            return "stack"
        return "push" if self.said.has("off") else "drop"

    @cached_property
    def _tools(self) -> list[str]:
        there = [one for one in self.said if "tool" in keys(one) and self.said.denied(one) is None]
        return list(dict.fromkeys(value for one in there for value in values(one, "tool")))


def _only(tools: Sequence[str]) -> str:
    if len(tools) != 1:
        raise Unclear(_TWICE)
    return tools[0]
