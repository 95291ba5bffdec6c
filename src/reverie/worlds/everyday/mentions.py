"""What the words of a question mention (``gist.txt``), and what can be said of it from their order alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from reverie.worlds.phrasebook import Bindings, Mention

__all__ = ["PEOPLE", "Mentions", "Unclear", "bare", "classes", "keys", "values"]

PEOPLE = frozenset("i you we us me people somebody someone anybody anyone everyone nobody thou".split())
_ASKS = re.compile(r"(is|are|was|were|will|would|does|do|did|can|could|has|have|had|might|art|dost|doth|wilt)\b")
_SUBJECT = re.compile(r"(it|they|he|she|the|my|a|an|this|that)\b")
_WITHIN = re.compile(
    r"(a|an|the|my|your|our|his|her|their|its|on|in|into|over|above|to|at|with|against|off|from|of|along|across|toward|inside|down|up)\b"
)


class Unclear(Exception):
    """Why a question is not understood."""


def keys(one: Mention) -> set[str]:
    return {key for says in one.says for key in says}


def values(one: Mention, key: str) -> list[str]:
    return [says[key] for says in one.says if key in says]


def classes(one: Mention) -> set[str]:
    """What kinds of harmless word it is."""
    return set(values(one, "aside"))


def bare(one: Mention) -> bool:
    """Whether a mention begins with its own noun: no article or preposition before it."""
    return "fell" not in keys(one) and not _WITHIN.match(one.text)


class Mentions:
    """All that one question mentions, in its order."""

    def __init__(self, found: Sequence[Mention]):
        self.all = tuple(found)

    def __iter__(self) -> Iterator[Mention]:
        return iter(self.all)

    def values(self, key: str) -> list[str]:
        """Every value that is mentioned for a key, once."""
        return list(dict.fromkeys(value for one in self.all for value in values(one, key)))

    def has(self, key: str, value: str = "") -> bool:
        return any(value in ("", said) for one in self.all for said in values(one, key))

    def one(self, key: str, otherwise: str) -> str:
        """The one value that is mentioned for a key. Raises Unclear where there is another, or none."""
        found = self.values(key)
        if len(found) != 1:
            raise Unclear(otherwise)
        return found[0]

    def near(self, place: int, step: int) -> Mention | None:
        """The mention so many steps beside one, in its clause."""
        other = place + step
        if not 0 <= other < len(self.all) or self.all[other].clause != self.all[place].clause:
            return None
        return self.all[other]

    def before(self, place: int, skips: Callable[[Mention], bool]) -> Mention | None:
        """The mention before one, in its clause, without those that are skipped."""
        return next((one for one in reversed(self.all[:place]) if not skips(one)), None) if place else None

    def opens(self, place: int) -> bool:
        """Whether a yes/no question begins there: "does it", "is my ball"."""
        one, after = self.all[place], self.near(place, 1)
        if self.near(place, -1) is None and _ASKS.match(one.text):
            return True
        return bool(_ASKS.fullmatch(one.text) and after and _SUBJECT.match(after.text))

    @cached_property
    def things(self) -> list[str]:
        """The things, without those that something is put on or hit with."""
        return self.values("thing")

    @cached_property
    def compared(self) -> list[str]:
        """All things, however they are named."""
        kinds = ("thing", "support", "target")
        return list(dict.fromkeys(value for one in self.all for kind in kinds for value in values(one, kind)))

    @cached_property
    def form(self) -> str:
        """What is asked: why, whether, where, after (what it is like), happens; "" where that is not said."""
        if self.has("ask", "why"):
            return "why"
        if self.has("ask", "whether") or self.has("or", "not"):
            return "whether"
        if self.has("or", "yes") or self.has("ask", "choice"):
            return "happens"
        plain = not any(re.match(r"(what|how|where)\b", one.text) for one in self.all)
        opened = any(map(self.opens, range(len(self.all))))
        if opened and plain and not self.has("ask", "where") and not self.has("ask", "after"):
            return "whether"
        asked = next((form for form in ("where", "after", "happens") if self.has("ask", form)), "")
        return asked or ("whether" if opened else "happens" if self._trails_off else "")

    @property
    def _trails_off(self) -> bool:
        """Whether the last clause only says "and?", or "and the plate?"."""
        last = [one for one in self.all if one.clause == self.all[-1].clause]
        leads = last[0].text in ("and", "and then", "then", "so", "well", "now", "next", "go")
        return leads and all(keys(one) <= {"aside", "thing"} for one in last[1:])

    def denied(self, act: Mention) -> Mention | None:
        """What says that it is not done: "no push", "I do not drop it"."""
        if "verb" in keys(act):
            return None
        near = [one for one in self.all if act.start - 3 <= one.start < act.start and one.clause == act.clause]
        return next((one for one in reversed(near) if "no" in keys(one) and not {"act", "ask", "or"} & keys(one)), None)

    @property
    def says(self) -> Iterator[tuple[Mention, Bindings]]:
        return ((one, says) for one in self.all for says in one.says)
