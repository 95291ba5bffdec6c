"""Questions that compare several things by their properties; the answers follow from the properties alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from reverie.worlds.contract import Question
from reverie.worlds.everyday.properties import PROPERTIES
from reverie.worlds.everyday.things import THINGS, Thing

__all__ = ["compare_question"]

# property → which one …, how many …, what two have in common
SAID = {
    "fragile": ("is fragile", "are fragile", "They are fragile."),
    "burns": ("can burn", "can burn", "They can burn."),
    "melts": ("melts in the heat", "melt in the heat", "They melt in the heat."),
    "floats": ("floats on water", "float on water", "They float on water."),
    "rolls": ("can roll", "can roll", "They can roll."),
    "light": ("is lighter than air", "are lighter than air", "They are lighter than air."),
    "liquid": ("holds a liquid", "hold a liquid", "They hold a liquid."),
}
# superlative → what it looks at, from the least to the most
_MOST: dict[str, Callable[[Thing], float]] = {
    "heaviest": lambda thing: thing.mass,
    "lightest": lambda thing: -thing.mass,
    "hardest": lambda thing: thing.hardness,
    "softest": lambda thing: -thing.hardness,
}
MOST = (
    "Which is the {most}: {things}?", "Which one is the {most}, {things}?", "What is the {most} of {these}?",
    "Of {these}, which is the {most}?", "Name the {most} one: {things}.", "{things}: which of them is the {most}?",
)  # fmt: skip
WHICH = (
    "Which of these {does}: {things}?", "Which one {does}, {things}?", "One of {these} {does}. Which one?",
    "Of {these}, which one {does}?", "Name the one that {does}: {things}.", "{things}: which of them {does}?",
)  # fmt: skip
MANY = (
    "How many of these {do}: {things}?", "How many of {these} {do}?", "Of {these}, how many {do}?",
    "Count the ones that {do}: {things}.", "{things}: how many of them {do}?", "How many {do}: {things}?",
)  # fmt: skip
COMMON = (
    "What do {x} and {y} have in common?", "What have {x} and {y} in common?", "How are {x} and {y} alike?",
    "What is the same about {x} and {y}?", "In what way is {x} like {y}?", "What is true of both {x} and {y}?",
)  # fmt: skip
_NUMBERS = ("Not one.", "One.", "Two.", "Three.")
TEST_SHARE = 0.15
_BY_NAME = {each.name: each for each in PROPERTIES}


def compare_question(rng: np.random.Generator, test: bool = False) -> Question:
    """A random comparison; with ``test`` of things that are never compared that way in training."""
    while True:
        kind = str(rng.choice(["most", "which", "many", "common"]))
        chosen = rng.permutation(sorted(THINGS))[: 2 if kind == "common" else 3]
        things = [THINGS[str(name)] for name in chosen]
        found = _FORMS[kind](things, rng)
        if found is not None and _for_testing(kind, found.meta["about"], things) == test:
            return found


def _most(things: Sequence[Thing], rng: np.random.Generator) -> Question | None:
    most = str(rng.choice(list(_MOST)))
    ranked = sorted(things, key=_MOST[most])
    best, second = (abs(_MOST[most](thing)) for thing in (ranked[-1], ranked[-2]))
    if max(best, second) < 1.5 * min(best, second):
        return None  # nobody could tell
    text = str(rng.choice(MOST)).format(most=most, things=_listed(things, "or"), these=_listed(things, "and"))
    return _question(text, _named(ranked[-1]), "most", ranked[-1].name, most, things)


def _which(things: Sequence[Thing], rng: np.random.Generator) -> Question | None:
    name = str(rng.choice(list(SAID)))
    having = [thing for thing in things if _BY_NAME[name].holds(thing)]
    if len(having) != 1 or not all(_BY_NAME[name].asks(thing) for thing in things):
        return None
    does = SAID[name][0]
    text = str(rng.choice(WHICH)).format(does=does, things=_listed(things, "or"), these=_listed(things, "and"))
    return _question(text, _named(having[0]), "which", having[0].name, name, things)


def _many(things: Sequence[Thing], rng: np.random.Generator) -> Question | None:
    name = str(rng.choice(list(SAID)))
    if not all(_BY_NAME[name].asks(thing) for thing in things):
        return None
    count = sum(_BY_NAME[name].holds(thing) for thing in things)
    text = str(rng.choice(MANY)).format(do=SAID[name][1], things=_listed(things, "and"), these=_listed(things, "and"))
    return _question(text, [_NUMBERS[count]], "many", str(count), name, things)


def _common(things: Sequence[Thing], rng: np.random.Generator) -> Question | None:
    shared = [name for name in SAID if all(_BY_NAME[name].asks(t) and _BY_NAME[name].holds(t) for t in things)]
    if not shared:
        return None
    said = [SAID[name][2] for name in shared]
    text = str(rng.choice(COMMON)).format(x=things[0].a, y=things[1].a)
    return _question(text, said, "common", shared[0], shared[0], things)


_FORMS: dict[str, Callable[[Sequence[Thing], np.random.Generator], Question | None]] = {
    "most": _most, "which": _which, "many": _many, "common": _common,
}  # fmt: skip


def _named(thing: Thing) -> tuple[str, ...]:
    """A thing as an answer, and other words for it."""
    return (f"{thing.the}.", *(f"{name}." for name in thing.indefinite))


def _question(text: str, answers: Sequence[str], form: str, kind: str, about: str, things: Sequence[Thing]) -> Question:
    """``answers``: the canonical one first."""
    meta = {"things": [thing.name for thing in things], "about": about}
    said = [answer[0].upper() + answer[1:] for answer in answers]
    return Question(text[0].upper() + text[1:], said[0], form, kind, tuple(said[1:]), meta)


def _listed(things: Sequence[Thing], word: str) -> str:
    return ", ".join(thing.a for thing in things[:-1]) + f" {word} {things[-1].a}"


def _for_testing(form: str, about: str, things: Sequence[Thing]) -> bool:
    key = "/".join([form, "" if form == "common" else about, *sorted(thing.name for thing in things)])
    return hashlib.sha256(key.encode()).digest()[0] < TEST_SHARE * 256
