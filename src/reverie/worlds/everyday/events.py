"""Something done to a thing of the everyday world: the taught ways to ask about it, and the names of its outcomes."""

from __future__ import annotations

from reverie.worlds.everyday.asking_things import lower_first
from reverie.worlds.everyday.questions import VERBS
from reverie.worlds.everyday.things import DEFAULT_HEIGHT, SUPPORTS, SURFACES, THINGS, heights_over
from reverie.worlds.phrasebook import Bindings

__all__ = ["APART", "FALLING", "Event", "holds", "is_so", "meant", "yes_or_no"]

APART = "it joins what was taught apart"
FALLING = ("drop", "let go", "throw")  # actions after which a thing is in the air
# outcome → words of what happens that say it
_SHOWN = {
    "break": ("breaks", "shatters"),
    "pop": ("pops", "bursts"),
    "melt": ("melts", "puddle"),
    "catch fire": ("catches fire", "burns"),
    "freeze": ("freezes", "turns to ice", "is frozen"),
    "get hot": ("gets hot", "heats up", "becomes hot"),
    "bounce": ("bounces",),
    "float": ("floats",),
    "sink": ("sinks",),
    "rise": ("rises", "flies up", "floats up"),
    "fall over": ("falls over", "tips over", "lies on its side"),
    "stay on top": ("stays on top", "rests on top"),
    "fall off": ("falls off",),
    "fall": ("falls over", "tips over", "falls off"),  # what is pushed may do either
    "roll": ("rolls",),
    "slide": ("slides",),
    "spill": ("spills", "pours out", "runs out"),
    "cook": ("cooks", "cooked", "toast"),
    "get cold": ("gets cold", "cools down", "becomes cold"),
    "drift": ("drifts",),
    "be cut": ("cut in two", "in two", "two halves"),
    "move": ("slides", "rolls", "falls", "moves", "rises", "tips", "drifts", "bounces"),
    "come down": ("lands", "falls", "drifts", "bounces", "rests on the floor"),
}
_CONTRARIES = {"stay the same": "change", "stay solid": "melt"}
_UNCHANGED = ("nothing happens", "stays as it is", "does not change")
# outcomes after which a thing is not whole
_GONE = ("breaks", "shatters", "pops", "bursts", "melts", "burns", "in two")


class Event:
    """Something done to a thing, and the taught ways to ask about it."""

    def __init__(self, named: Bindings):
        self.thing, self.action = THINGS[named["thing"]], named["action"]
        self.surface, self.support = named.get("surface", "floor"), named.get("support", "")
        self.height = named.get("height", "")
        self.off = "off" in named

    @property
    def problem(self) -> str:
        """Why it cannot be pictured; "" where it can."""
        if self.action == "stack":
            if not self.support:
                return "it does not say what the thing is put on"
            if self.support not in SUPPORTS:
                return f"nothing was taught to be put on {THINGS[self.support].a}"
        elif self.support:
            return APART
        if self.off and self.surface in ("floor", "water"):
            return "it does not say what the thing falls off"
        if self.height and self.action not in (*FALLING, "pour"):
            return "a height was taught for what is held alone"
        heights = heights_over(self.surface, self.action)
        if not heights or (self.height and self.height not in heights):
            return f"that was not taught on the {self.surface}"
        return ""

    @property
    def wet(self) -> bool:
        """Whether the thing comes into water."""
        return self.surface == "water" and self.action in FALLING

    @property
    def at(self) -> str:
        words = ""
        if self.surface != "floor":
            words = f" {SURFACES[self.surface].on}"
            if self.action in ("let go", "pour"):
                words = f" over {SURFACES[self.surface].on.split(' ', 1)[1]}"
            if self.off:
                words = words.replace(" on ", " off ", 1)
        if self.height and self.height != DEFAULT_HEIGHT:
            words += " from low down" if self.height == "low" else " from half way up"
        return words

    def does(self, x: str, wording: int = 0) -> str:
        return self._worded(0, x, wording)

    def gerund(self, wording: int = 0) -> str:
        return self._worded(1, "it", wording)

    def _worded(self, form: int, x: str, wording: int) -> str:
        base = VERBS[self.action][wording % len(VERBS[self.action])].split(" | ")[form]
        return base.format(x=x, y=THINGS[self.support].a if self.support else "") + self.at

    def happens(self) -> tuple[str, ...]:
        x = self.thing.a
        return (f"what happens when you {self.does(x)}?", f"what happens if you {self.does(x, 1)}?",
                f"if you {self.does(self.thing.the)}, what happens?")  # fmt: skip

    def will(self, verb: str) -> tuple[str, ...]:
        x = self.thing.a
        free = [number for number, words in enumerate(VERBS[self.action]) if verb not in words] or [0]
        return (
            f"will {x} {verb} if you {self.does('it', free[0])}?",
            f"does {x} {verb} when you {self.does('it', free[-1])}?",
        )

    def whole(self) -> tuple[str, ...]:
        x = self.thing.a
        return f"is {x} still whole when you {self.does('it')}?", f"will {x} stay whole if you {self.does('it')}?"

    def where(self) -> tuple[str, ...]:
        x = self.thing.a
        return f"where does {x} end up when you {self.does('it')}?", f"where will {x} be after {self.gerund()}?"

    def after(self) -> tuple[str, ...]:
        x = self.thing.a
        return f"what does {x} look like when you {self.does('it')}?", f"how does {x} look after {self.gerund()}?"

    def why(self, verb: str, happened: bool) -> tuple[str, ...]:
        x, no = self.thing.a, "" if happened else " not"
        return (
            f"why does {x}{no} {verb} when you {self.does('it')}?",
            f"why would {x}{no} {verb} if you {self.does('it', 1)}?",
            f"if you {self.does(x)}, why does it{no} {verb}?",
            f"what is the reason for {x}{no} to {verb} after {self.gerund()}?",
        )

    def dropped(self) -> Event:
        """The same thing let fall on the floor: where a push was not enough to get it off the table, but it fell."""
        return Event({"thing": self.thing.name, "action": "drop"})


def meant(event: Event, verb: str) -> str:
    """What floats in the air rises, and what sinks there comes down."""
    if verb == "float" and event.action == "stack":
        return "stay on top"
    if verb == "float" and not event.wet:
        return "rise"
    if verb == "sink" and not event.wet and event.action in ("push", "tip", "stack", *FALLING):
        verb = "fall"  # to go down
    if verb == "fall off" and event.action in FALLING:
        return "come down"
    if verb == "fall":
        return {"stack": "fall off", "push": "fall", "tip": "fall over"}.get(event.action, "come down")
    if verb == "spill" and not event.thing.contents:
        return "fall over"
    if verb == "rise" and event.wet and not event.thing.rises:
        return "float"
    return verb


def holds(verb: str, happens: str) -> bool:
    """Whether what happens is that outcome; "whole" is to stay so."""
    happens = happens.lower()
    if verb == "whole":
        return not any(words in happens for words in _GONE)
    if verb in _CONTRARIES:
        return not holds(_CONTRARIES[verb], happens)
    if verb == "change":
        return not any(words in happens for words in _UNCHANGED)
    if verb == "move" and "hardly moves" in happens:
        return False
    if verb == "come down" and "to the ceiling" in happens:
        return False
    return any(words in happens for words in _SHOWN[verb])


def is_so(event: Event, verb: str, happens: str) -> bool:
    """Whether what happens is that outcome, as it is meant there; "stay on top" is to stay where it is."""
    if verb == "stay on top" and event.action != "stack":
        if event.wet:
            return holds("float", happens)
        return not holds("move" if event.action in ("push", "tip") else "change", happens)
    return holds(meant(event, verb), happens)


def yes_or_no(so: bool, happens: str) -> str:
    """An answer: whether it is so, and what happens."""
    return f"{'Yes' if so else 'No'}, {lower_first(happens)}"
