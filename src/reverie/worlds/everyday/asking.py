"""From what a free question names to the taught questions that answer it, and to one answer of theirs.

What a question takes for granted is asked too: why something happens only says so where it does happen, and what two
things have in common is asked of each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import permutations

from reverie.worlds.everyday.compare import SAID
from reverie.worlds.everyday.properties import PROPERTIES
from reverie.worlds.everyday.questions import ASKED, VERBS
from reverie.worlds.everyday.things import DEFAULT_HEIGHT, SUPPORTS, SURFACES, THINGS, heights_over
from reverie.worlds.phrasebook import Asking, Bindings

__all__ = ["ask"]

Answers = Sequence[str | None]
# outcome that no yes/no question was taught about → words of what happens that say it; others by their third person
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
_GONE = (
    "breaks",
    "shatters",
    "pops",
    "bursts",
    "melts",
    "burns",
    "in two",
)  # outcomes after which a thing is not whole
_LEFT = ("falls off", "drifts to", "rises", "pops", "bursts")  # it is off the table
_CONTRARY = "-"
_CAN = {"stack": "stay on top", "cut": "be cut", "light": "catch fire"}  # what "can you" asks of an action
_BECAUSE = {  # outcome → what its cause in the thing speaks of
    "break": "fragile", "bounce": "springy", "pop": "thin skin", "melt": "melt", "catch fire": "burn",
    "freeze": "freeze", "float": "water", "sink": "water", "rise": "lighter than air",
}  # fmt: skip
_OF_THING = {  # outcome asked of a thing of which nothing is said to happen → its property
    "break": "fragile", "catch fire": "burns", "melt": "melts", "be cut": "cut", "float": "floats", "sink": "-floats",
    "roll": "rolls",
}  # fmt: skip
_PROPERTIES = {each.name: each for each in PROPERTIES}


def ask(named: Bindings) -> Asking | str:
    """What to ask for what is named; a text says why nothing can be asked."""
    form = named.get("form", "")
    makers: Mapping[str, Callable[[Bindings], Asking | str]] = {
        "property": _property,
        "heavier": _heavier,
        "common": _common,
        "most": _most,
        "which": _which,
        "many": _many,
    }
    if form == "property" and "action" in named and named["property"] in ("floats", "-floats"):
        verb = {} if "or" in named else {"verb": "sink" if named["property"].startswith(_CONTRARY) else "float"}
        named = {key: value for key, value in named.items() if key != "property"}
        named |= {"form": "will" if verb else "happens", **verb}
        form = named["form"]
    if form in makers:
        extra = {"action", "verb", "surface", "height", "said", "can", "support", "not"} & set(named)
        return "it joins what was taught apart" if extra else makers[form](named)
    if not form and "can" in named and named.get("action") in _CAN:
        named = {**named, "form": "will", "verb": _CAN[named["action"]]}
        form = "will"
    if "tag" in named:
        named = {key: value for key, value in named.items() if key not in ("tag", "said")}
    if not form or ("open" in named) != ("closed" in named):
        return "it does not say what is asked"
    if "liquid" in named:
        alone = "thing" not in named and named.get("action") not in ("heat", "cool", "pour")
        if named.get("thing", named["liquid"]) != named["liquid"] or alone:
            return "it joins what was taught apart"
        named = {**named, "thing": named["liquid"]}
    if "thing" not in named:
        return "it names no thing that was taught"
    if {"other", "third", "fourth", "most", "property"} & set(named):
        return "it joins what was taught apart"
    if "action" not in named and named.get("surface") == "water" and form != "will":
        named = {**named, "action": "drop"}  # a thing in water came there
    if "action" not in named:
        return _of_thing(named)
    return _of_event(named)


def _of_thing(named: Bindings) -> Asking | str:
    """A yes/no question about a thing with nothing done to it."""
    name = _OF_THING.get(named.get("verb", ""))
    if named["form"] != "will" or not name or set(named) - {"form", "verb", "thing", "surface", "can"}:
        return "it does not say what is done"
    if named.get("surface", "water") != "water" or ("surface" in named and name not in ("floats", "-floats")):
        return "it does not say what is done"
    return _property({"thing": named["thing"], "property": name})


# events --------------------------------------------------------------------------------------------------------------


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
            if self.support == self.thing.name:
                return "a thing is not put on itself"
        elif self.support:
            return "it joins what was taught apart"
        if self.off and self.surface in ("floor", "water"):
            return "it does not say what the thing falls off"
        if self.height and self.action not in ("drop", "let go", "throw", "pour"):
            return "a height was taught for what is held alone"
        heights = heights_over(self.surface, self.action)
        if not heights or (self.height and self.height not in heights):
            return f"that was not taught on the {self.surface}"
        if SURFACES[self.surface].liquid and self.action in (
            "wait",
            "push",
            "tip",
            "heat",
            "cool",
            "cut",
            "light",
            "stack",
        ):
            return "that was not taught in water"
        return ""

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
        base = VERBS[self.action][wording % len(VERBS[self.action])].split(" | ")[0]
        y = THINGS[self.support].a if self.support else ""
        return base.format(x=x, y=y) + self.at

    def gerund(self, wording: int = 0) -> str:
        base = VERBS[self.action][wording % len(VERBS[self.action])].split(" | ")[1]
        y = THINGS[self.support].a if self.support else ""
        return base.format(x="it", y=y) + self.at

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


def _of_event(named: Bindings) -> Asking | str:
    event = Event(named)
    if event.problem:
        return event.problem
    form, verb = named["form"], named.get("verb", "")
    goes_on = form != "whole" and {"said", "or"} & set(named)
    if verb and form not in ("will", "why") and not goes_on:
        return "it asks two things at once"
    if form == "will" and "said" in named:
        return "it asks two things at once"
    if (form == "will" and not verb) or (form == "why" and not verb):
        return "it does not say what is to be explained" if form == "why" else "it does not say what is asked"
    if "or" in named:
        verb = ""
    if event.off:
        return _fallen(event, form, verb, named)
    return _asking(event, form, verb, "not" in named)


def _asking(event: Event, form: str, verb: str, negated: bool) -> Asking | str:
    if verb and form in ("happens", "where", "after"):
        return _as_said(event, form, verb, negated)
    if form == "happens":
        return Asking((event.happens(),))
    if form == "where" and event.action in ("heat", "cool", "cut", "light", "pour", "wait"):
        return "where a thing is that nobody moved was not taught"
    if form in ("where", "after"):
        asked = event.where() if form == "where" else event.after()
        return Asking((asked, event.happens()), lambda said: said[0] or said[1])
    if form == "whole":
        return Asking((event.whole(), event.happens()), lambda said: _checked(said[0], _whole(said[1])))
    if form == "why":
        return _why(event, _meant(event, verb), negated)
    return _will(event, _meant(event, verb))


def _as_said(event: Event, form: str, verb: str, negated: bool) -> Asking | str:
    """The question goes on from an outcome: it is answered where that is the one that is dreamed."""
    asking = _asking(event, form, "", False)
    if isinstance(asking, str):
        return asking

    def word(said: Answers) -> str | None:
        if said[-1] is None or _holds(_meant(event, verb), said[-1]) == negated:
            return None
        return asking.word(said[:-1]) if asking.word else said[0]

    return Asking((*asking.questions, event.happens()), word)


def _fallen(event: Event, form: str, verb: str, named: Bindings) -> Asking | str:
    """Something fell off the table. What no push moved that far was dropped from there."""
    pushed, dropped = _asking(event, form, verb, "not" in named), _asking(event.dropped(), form, verb, "not" in named)
    if isinstance(pushed, str) or isinstance(dropped, str):
        return pushed if isinstance(pushed, str) else str(dropped)
    half = len(pushed.questions)

    def word(said: Answers) -> str | None:
        left = said[-1] is not None and any(words in said[-1] for words in _LEFT)
        chosen, answers = (pushed, said[:half]) if left else (dropped, said[half:-1])
        return chosen.word(answers) if chosen.word else answers[0]

    return Asking((*pushed.questions, *dropped.questions, event.happens()), word)


def _meant(event: Event, verb: str) -> str:
    """What floats in the air rises, and what sinks there comes down."""
    wet = event.surface == "water" and event.action in ("drop", "let go", "throw")
    if verb == "float" and not wet:
        return "rise"
    if verb == "fall off" and event.action in ("drop", "let go", "throw"):
        return "come down"
    if verb == "fall":
        return {"stack": "fall off", "push": "fall over", "tip": "fall over"}.get(event.action, "come down")
    if verb == "spill" and not event.thing.contents:
        return "fall over"
    if verb == "rise" and wet and not event.thing.rises:
        return "float"
    return verb


def _will(event: Event, verb: str) -> Asking:
    taught = ASKED[event.action] + (("float", "sink") if event.surface == "water" else ())
    if verb not in taught:
        return Asking((event.happens(),), lambda said: _yes_no(verb, said[0]))
    return Asking((event.will(verb), event.happens()), lambda said: _checked(said[0], _yes_no(verb, said[1])))


def _checked(said: str | None, happens: str | None) -> str | None:
    """A yes or no, unless what happens says the contrary: of that the dreams are surer."""
    if said is None or happens is None:
        return said or happens
    return said if said.split(",")[0] == happens.split(",")[0] else happens


def _holds(verb: str, happens: str) -> bool:
    happens = happens.lower()
    if verb in _CONTRARIES:
        return not _holds(_CONTRARIES[verb], happens)
    if verb == "change":
        return not any(words in happens for words in _UNCHANGED)
    if verb == "move" and "hardly moves" in happens:
        return False
    if verb == "come down" and "to the ceiling" in happens:
        return False
    return any(words in happens for words in _SHOWN[verb])


def _yes_no(verb: str, happens: str | None) -> str | None:
    if happens is None:
        return None
    return f"{'Yes' if _holds(verb, happens) else 'No'}, {_lower(happens)}"


def _whole(happens: str | None) -> str | None:
    if happens is None:
        return None
    return f"{'No' if any(words in happens for words in _GONE) else 'Yes'}, {_lower(happens)}"


def _why(event: Event, verb: str, negated: bool) -> Asking | str:
    if verb not in _BECAUSE:
        return f"why a thing does or does not {verb} was not taught"

    def word(said: Answers) -> str | None:
        *whys, happens = said
        if happens is None:
            return None
        if _holds(verb, happens) == negated:
            return _denied(verb, negated, happens)
        return next((why for why in whys if why and _explains(why, verb, event.action, not negated)), None)

    return Asking((*((why,) for why in event.why(verb, not negated)), event.happens()), word)


def _explains(why: str, verb: str, action: str, happened: bool) -> bool:
    """Whether a cause is one of that outcome, and speaks for it and not against it."""
    if verb == "break" and action == "cut":
        return ("hard" in why) != happened
    if verb in ("break", "bounce") and ("from high up" in why or "from low down" in why):
        return True
    if verb in ("break", "bounce") and "soft" in why:
        return ("not soft" in why) == happened
    if verb in ("break", "bounce") and "is hard" in why:
        return happened
    words = {
        "float": ("lighter than water", "heavier than water"),
        "sink": ("heavier than water", "lighter than water"),
    }
    yes, no = words.get(verb, (_BECAUSE[verb], ""))
    if no:
        return (yes if happened else no) in why
    return yes in why and any(word in why for word in ("not", "cannot")) != happened


def _denied(verb: str, negated: bool, happens: str) -> str:
    """What is wrong with the question: it takes for granted what the dream denies."""
    if negated:
        return f"That is not so, it does {verb}: {_lower(happens)}"
    return f"It does not {verb}: {_lower(happens)}"


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


# what things are like ------------------------------------------------------------------------------------------------


def _property(named: Bindings) -> Asking | str:
    """A contrary question is asked the other way round, and its answer turned."""
    if "thing" not in named:
        return "it names no thing that was taught"
    contrary = named["property"].startswith(_CONTRARY)
    of = _PROPERTIES[named["property"].removeprefix(_CONTRARY)]
    thing = THINGS[named["thing"]]
    if not of.asks(thing):
        return f"that is not asked of {thing.a}"
    asked = tuple(frame.format(x=thing.a).lower() for frame in of.frames[:2])
    if "or" in named:
        return Asking((asked,), _without_yes)
    return Asking((asked,), _turned if contrary else None)


def _without_yes(said: Answers) -> str | None:
    rest = (said[0] or "").partition(", ")[2]
    return f"{rest[0].upper()}{rest[1:]}" if rest else None


def _turned(said: Answers) -> str | None:
    if said[0] is None:
        return None
    yes, _, rest = said[0].partition(", ")
    return f"{'No' if yes == 'Yes' else 'Yes'}, {rest}"


def _heavier(named: Bindings) -> Asking | str:
    thing, other = THINGS[named["thing"]], THINGS[named["other"]]
    if thing is other:
        return "it compares a thing with itself"
    if max(thing.mass, other.mass) <= 1.5 * min(thing.mass, other.mass):
        return "these weigh about the same"
    contrary = f"is {other.a} heavier than {thing.a}?"
    asked = Asking(((f"is {thing.a} heavier than {other.a}?",), (contrary,)), _unless_both)
    return replace(asked, word=lambda said: _without_yes([_unless_both(said)])) if "or" in named else asked


def _unless_both(said: Answers) -> str | None:
    """The first answer, unless the contrary question is answered alike."""
    alike = all(said) and len({str(one).startswith("Yes") for one in said}) == 1
    return None if alike else said[0]


def _listed(named: Bindings) -> list[str]:
    return [named[slot] for slot in ("thing", "other", "third", "fourth") if slot in named]


def _each_once(names: Sequence[str]) -> str:
    return "it names a thing twice" if len(set(names)) < len(names) or len(names) < 2 else ""


def _each(names: Sequence[str], properties: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Each property asked of each thing."""
    return tuple(
        tuple(frame.format(x=THINGS[name].a).lower() for frame in _PROPERTIES[each].frames[:2])
        for each in properties
        for name in names
    )


def _answers(names: Sequence[str], said: Answers) -> dict[str, bool] | None:
    """Thing → yes or no; None where one is not known."""
    if any(one is None for one in said):
        return None
    return {name: str(one).startswith("Yes") for name, one in zip(names, said, strict=True)}


def _asks(name: str, names: Sequence[str]) -> bool:
    return all(_PROPERTIES[name].asks(THINGS[one]) for one in names)


def _common(named: Bindings) -> Asking | str:
    names = _listed(named)
    if problem := _each_once(names):
        return problem
    shared = [name for name in SAID if _asks(name, names)]

    def word(said: Answers) -> str | None:
        found = [_answers(names, said[at * 2 : at * 2 + 2]) for at in range(len(shared))]
        if any(one is None for one in found):
            return None
        both = [SAID[name][2] for name, one in zip(shared, found, strict=True) if one and all(one.values())]
        return " ".join(both) or "Nothing that I know of."

    return Asking(_each(names, shared), word)


def _which(named: Bindings) -> Asking | str:
    names, name = _listed(named), named["property"]
    if problem := _each_once(names):
        return problem
    if not _asks(name, names):
        return "that is not asked of all of these"

    def word(said: Answers) -> str | None:
        found = _answers(names, said)
        return None if found is None else _those([one for one, yes in found.items() if yes])

    return Asking(_each(names, [name]), word)


def _those(names: Sequence[str]) -> str:
    if not names:
        return "None of them."
    said = " and ".join(THINGS[name].the for name in names)
    return f"{said[0].upper()}{said[1:]}."


def _many(named: Bindings) -> Asking | str:
    asked = _which(named)
    if isinstance(asked, str):
        return asked
    names = _listed(named)

    def word(said: Answers) -> str | None:
        found = _answers(names, said)
        return None if found is None else f"{('Not one', 'One', 'Two', 'Three', 'Four')[sum(found.values())]}."

    return Asking(asked.questions, word)


def _most(named: Bindings) -> Asking | str:
    """The heaviest and the lightest are asked pair by pair; the rest as it was taught, of three things."""
    names, most = _listed(named), named["most"]
    if problem := _each_once(names):
        return problem
    if most in ("hardest", "softest"):
        if len(names) != 3:
            return "that was taught of three things"
        a, b, c = (THINGS[name].a for name in names)
        return Asking(
            ((f"which is the {most}: {a}, {b} or {c}?",), (f"of {c}, {a} and {b}, which is the {most}?",)), _alike
        )
    pairs = [(one, other) for one, other in permutations(names, 2)]
    asked = tuple((f"is {THINGS[one].a} heavier than {THINGS[other].a}?",) for one, other in pairs)

    def word(said: Answers) -> str | None:
        wins = dict.fromkeys(names, 0)
        for (one, other), answer in zip(pairs, said, strict=True):
            if answer is None:
                return None
            wins[one if answer.startswith("Yes") == (most == "heaviest") else other] += 1
        best = [name for name in names if wins[name] == 2 * (len(names) - 1)]
        return _those(best) if best else None

    return Asking(asked, word)


def _alike(said: Answers) -> str | None:
    return said[0] if said[0] == said[1] else None
