"""What to ask the model about what things are like: one of them, two compared, or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

from reverie.worlds.everyday.compare import SAID
from reverie.worlds.everyday.properties import PROPERTIES
from reverie.worlds.everyday.things import THINGS
from reverie.worlds.phrasebook import Asking, Bindings, Refusal, ToAsk

__all__ = [
    "CONTRARY",
    "ask_both",
    "ask_common",
    "ask_heavier",
    "ask_many",
    "ask_most",
    "ask_property",
    "ask_which",
    "those_things",
]

Answers = Sequence[str | None]
CONTRARY = "-"  # before a property of which the contrary is asked
_PROPERTIES = {each.name: each for each in PROPERTIES}


def ask_property(named: Bindings) -> ToAsk:
    """A contrary question is asked the other way round, and its answer turned."""
    if "thing" not in named:
        return "it names no thing that was taught"
    name, contrary = _asked_property(named)
    of, thing = _PROPERTIES[name], THINGS[named["thing"]]
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


def ask_heavier(named: Bindings) -> ToAsk:
    thing, other = THINGS[named["thing"]], THINGS[named["other"]]
    if thing is other:
        return Refusal(f"it compares {thing.a} with itself", "compared")
    if max(thing.mass, other.mass) <= 1.5 * min(thing.mass, other.mass):
        return Refusal(f"{thing.a} and {other.a} weigh about the same", "compared")
    contrary = f"is {other.a} heavier than {thing.a}?"
    asked = Asking(((f"is {thing.a} heavier than {other.a}?",), (contrary,)), _unless_both)
    return replace(asked, word=lambda said: _without_yes([_unless_both(said)])) if "or" in named else asked


def _unless_both(said: Answers) -> str | None:
    """The first answer, unless the contrary question is answered alike."""
    alike = all(said) and len({str(one).startswith("Yes") for one in said}) == 1
    return None if alike else said[0]


def _beside(direct: str, asking: Asking) -> Asking:
    """Also asked in one, which its own expert answers: that answer stands where it is the same."""
    return Asking(((direct.lower(),), *asking.questions), lambda said: asking.worded(said[1:]))


def _and(names: Sequence[str], joined: str) -> str:
    """Things in a row: an egg, a ball or a stone."""
    said = [THINGS[name].a for name in names]
    return f"{', '.join(said[:-1])} {joined} {said[-1]}"


def _listed(named: Bindings) -> list[str]:
    return [named[slot] for slot in ("thing", "other", "third", "fourth") if slot in named]


def _each_once(names: Sequence[str]) -> Refusal | None:
    if len(set(names)) == len(names) > 1:
        return None
    return Refusal(f"it compares {THINGS[names[0]].a} with itself", "compared")


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


def ask_common(named: Bindings) -> ToAsk:
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

    direct = f"what do {_and(names, 'and')} have in common?"
    return _beside(direct, Asking(_each(names, shared), word))


def ask_which(named: Bindings) -> ToAsk:
    names, (name, contrary) = _listed(named), _asked_property(named)
    if problem := _each_once(names):
        return problem
    if not _asks(name, names):
        return "that is not asked of all of these"

    def word(said: Answers) -> str | None:
        having = _having(named, said)
        return None if having is None else those_things(having)

    asking = Asking(_each(names, [name]), word)
    if contrary or name not in SAID:
        return asking
    return _beside(f"which of these {SAID[name][0]}: {_and(names, 'or')}?", asking)


def _asked_property(named: Bindings) -> tuple[str, bool]:
    """The property, and whether its contrary is asked."""
    return named["property"].removeprefix(CONTRARY), named["property"].startswith(CONTRARY)


def _having(named: Bindings, said: Answers) -> list[str] | None:
    """The things that are as it is asked, by the last of these answers, one of each; None where one is not known."""
    names, (_, contrary) = _listed(named), _asked_property(named)
    found = _answers(names, said[-len(names) :])
    return None if found is None else [name for name, yes in found.items() if yes != contrary]


def those_things(names: Sequence[str]) -> str:
    """Things of which something is so, as an answer."""
    if not names:
        return "None of them."
    said = " and ".join(THINGS[name].the for name in names)
    return f"{said[0].upper()}{said[1:]}."


def ask_both(named: Bindings) -> ToAsk:
    """Whether something is so of all of several things."""
    asked, names = ask_which(named), _listed(named)
    if not isinstance(asked, Asking):
        return asked

    def word(said: Answers) -> str | None:
        of = _having(named, said)
        if of is None:
            return None
        if len(of) == len(names):
            return f"Yes, {'both' if len(names) == 2 else 'all'} of them."
        return f"No, {'only ' if of else ''}{lower_first(those_things(of))}"

    return Asking(asked.questions[-len(names) :], word)


def lower_first(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def ask_many(named: Bindings) -> ToAsk:
    asked, names, (name, contrary) = ask_which(named), _listed(named), _asked_property(named)
    if not isinstance(asked, Asking):
        return asked

    def word(said: Answers) -> str | None:
        having = _having(named, said)
        return None if having is None else f"{('Not one', 'One', 'Two', 'Three', 'Four')[len(having)]}."

    asking = Asking(asked.questions[-len(names) :], word)
    if contrary or name not in SAID:
        return asking
    return _beside(f"how many of these {SAID[name][1]}: {_and(names, 'and')}?", asking)


def ask_most(named: Bindings) -> ToAsk:
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
        return those_things(best) if best else None

    return _beside(f"which is the {most}: {_and(names, 'or')}?", Asking(asked, word))


def _alike(said: Answers) -> str | None:
    return said[0] if said[0] == said[1] else None
