"""Questions about what is told: made-up facts and passages, with questions that they answer and as many that they do
not, in the forms in which a base reads its memory. Nobody can know the answers without them.

A question that nothing told answers is about the same thing as one that is answered, or about a thing with nearly the
same name: what a careless reader answers all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reverie.nouns import SAYS, Fact
from reverie.training.knowing.dreamed import ahead_questions, whether_questions
from reverie.training.knowing.questions import KeyedQuestion

__all__ = ["Told", "fact_questions", "passage_questions", "told_questions"]

_DREAMED, _READ = 260, 240  # questions of a form
_NAMES = (
    "ash bel cor dan el fir gal har in jor kel lor mir nor ol per quen ras sel tam ur ver wil yar zan".split(),
    "by den dale fell ford garth ham ing kirk land leigh ness over port ridge sby ton vale wold worth".split(),
)
_POOLS = {
    "person": "Adele Moss|Bruno Karr|Clara Winde|David Oake|Edith Sand|Felix Thorn|Greta Holm|Henry Pell|Iris Lang",
    "town": "Ostby|Marlen|Tarnow|Selwick|Dorn|Havel|Quistrup|Lindau|Perrin|Zell",
    "month": "January|March|April|June|August|October|November",
    "colour": "green|yellow|dark red|white|violet|silver",
    "job": "a baker|a nurse|a judge|a carpenter|a pilot|a gardener|a weaver",
    "food": "lentil soup|pancakes|smoked fish|apple pie|rye bread|goat cheese",
    "music": "the harp|the violin|the drums|the flute|the trumpet|the cello",
    "ware": "umbrellas|bicycle bells|garden chairs|rope|tea pots|chess boards|brushes",
    "tongue": "Danish|Greek|Latin|Polish|Welsh|Turkish",
    "use": "making dye|curing headaches|building boats|feeding bees|tanning leather",
}


@dataclass(frozen=True)
class Told:
    """A question, and what memory recalls for it, the best first."""

    asked: KeyedQuestion
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True)
class _Says:
    """What can be said of a kind of thing: as a relation, as a sentence after ``{x}`` (or its pronoun), and asked."""

    relation: str
    value: str
    sentence: str
    asked: tuple[str, ...]


_KINDS: dict[str, tuple[_Says, ...]] = {
    "{N} {S}": (
        _Says("BornIn", "{town}", "was born in {v}", ("Where was {x} born?", "In which town was {x} born?")),
        _Says("WorksAs", "{job}", "works as {v}", ("What does {x} do for a living?", "What is {x}'s job?")),
        _Says("MarriedTo", "{person}", "is married to {v}", ("Who is {x} married to?", "Whom did {x} marry?")),
        _Says("PlaysInstrument", "{music}", "plays {v} every evening", ("Which instrument does {x} play?",)),
        _Says("LikesToEat", "{food}", "likes {v} best of all food", ("What does {x} like to eat?",)),
        _Says("MovedAwayIn", "{year}", "moved away in {v}", ("When did {x} move away?", "In which year did {x} move?")),
    ),
    "the ship {N}": (
        _Says("CaptainedBy", "{person}", "sails under captain {v}", ("Who is the captain of {x}?",)),
        _Says("SailsTo", "{town}", "sails to {v} every week", ("Where does {x} sail?", "Which port does {x} visit?")),
        _Says("HasCrewOf", "{n2} sailors", "has a crew of {v}", ("How many sailors are on {x}?",)),
        _Says("PaintedIn", "{colour}", "is painted {v}", ("What colour is {x}?", "In which colour is {x} painted?")),
        _Says("LaunchedIn", "{year}", "was launched in {v}", ("When was {x} launched?",)),
        _Says("Carries", "{ware}", "carries {v}", ("What does {x} carry?", "What is the cargo of {x}?")),
    ),
    "{N} school": (
        _Says("HeadedBy", "{person}", "is headed by {v}", ("Who is the head of {x}?", "Who heads {x}?")),
        _Says("HasPupils", "{n3} pupils", "has {v}", ("How many pupils does {x} have?", "How many go to {x}?")),
        _Says("TeachesLanguage", "{tongue}", "teaches {v}", ("Which language does {x} teach?",)),
        _Says("OpensAt", "{hour} o'clock", "opens at {v}", ("When does {x} open?", "At what time does {x} open?")),
        _Says("ServesLunchOf", "{food}", "serves {v} for lunch", ("What is there for lunch at {x}?",)),
    ),
    "the {N} fair": (
        _Says("HeldIn", "{month}", "is held in {v}", ("In which month is {x} held?", "When is {x}?")),
        _Says("StartedBy", "{person}", "was started by {v}", ("Who started {x}?", "Who had the idea for {x}?")),
        _Says("LastsFor", "{n1} days", "lasts for {v}", ("How long does {x} last?", "How many days does {x} last?")),
        _Says("Sells", "{ware}", "is where {v} are sold", ("What is sold at {x}?", "What can you buy at {x}?")),
        _Says("EntryCosts", "{n1} crowns", "costs {v} to enter", ("What does it cost to enter {x}?",)),
    ),
    "{N} weed": (
        _Says("BloomsIn", "{month}", "blooms in {v}", ("When does {x} bloom?", "In which month does {x} flower?")),
        _Says("UsedFor", "{use}", "is used for {v}", ("What is {x} used for?", "What do people do with {x}?")),
        _Says("GrowsNear", "{town}", "grows only near {v}", ("Where does {x} grow?", "Where can you find {x}?")),
        _Says("HasLeavesOf", "{colour}", "has {v} leaves", ("What colour are the leaves of {x}?",)),
        _Says("FoundBy", "{person}", "was first described by {v}", ("Who first described {x}?",)),
    ),
    "the {N} company": (
        _Says("Produces", "{ware}", "produces {v}", ("What does {x} produce?", "What does {x} make?")),
        _Says("Employs", "{n3} people", "employs {v}", ("How many people work for {x}?",)),
        _Says("BasedIn", "{town}", "is based in {v}", ("Where is {x} based?", "In which town is {x}?")),
        _Says("SoldTo", "{person}", "was sold to {v} last year", ("Who bought {x}?", "To whom was {x} sold?")),
        _Says("FoundedAt", "{year}", "was founded in {v}", ("When was {x} founded?", "How long has {x} existed?")),
    ),
}  # fmt: skip
_FILLERS = (
    "The story is told in every house.", "Visitors come from far away.", "Nobody knows how that came about.",
    "There was a long article about it.", "It was not always so.",
)  # fmt: skip


def told_questions(seed: int) -> dict[str, list[Told]]:
    """What answers of every form but those at once are calibrated with; nobody grades reasons."""
    return {
        "dream": [Told(one) for one in ahead_questions(_DREAMED, seed)],
        "whether": [Told(one) for one in whether_questions(_DREAMED, seed)],
        "fact": fact_questions(_READ, seed),
        "passage": passage_questions(_READ, seed),
    }


def fact_questions(count: int, seed: int, absent: float = 0.5) -> list[Told]:
    """``count`` questions beside eight facts, a share ``absent`` of which none of them answers."""
    rng = np.random.default_rng([seed, 61])
    made: dict[str, Told] = {}
    while len(made) < count:
        thing, kind, said = _thing(rng)
        others = [_thing(rng, kind) for _ in range(2)]
        near = f"{thing} {rng.choice(['Cross', 'Minor', 'the Younger'])!s}", kind, _values(kind, rng)
        asks = kind[int(rng.integers(len(kind)))]
        known = rng.random() >= absent
        facts = [_fact(thing, one, said) for one in kind if known or one is not asks][:4]
        facts += [_fact(name, asks, values) for name, _, values in (near, *others)]
        if known and _fact(thing, asks, said) not in facts:
            facts[0] = _fact(thing, asks, said)
        question = str(rng.choice(asks.asked)).format(x=thing)
        answers = (said[asks.relation],) if known else ()
        shown = tuple(facts[place] for place in rng.permutation(len(facts)))
        made[question] = Told(KeyedQuestion(question, answers, kind="fact" if known else "no fact"), shown)
    return list(made.values())


def passage_questions(count: int, seed: int, absent: float = 0.5) -> list[Told]:
    """``count`` questions beside a passage of two to five sentences, a share ``absent`` of which it does not answer."""
    rng = np.random.default_rng([seed, 62])
    made: dict[str, Told] = {}
    while len(made) < count:
        thing, kind, said = _thing(rng)
        order = [kind[place] for place in rng.permutation(len(kind))]
        told = order[: int(rng.integers(2, 5))]
        left = [one for one in order if one not in told]
        person = " " in thing and thing[0].isupper() and not thing.endswith(("school", "weed"))
        names = [thing, *["She" if person else "It"] * (len(told) - 1)]
        sentences = [f"{name} {_told(one, said)}." for name, one in zip(names, told, strict=True)]
        if rng.random() < 0.5:
            sentences.insert(int(rng.integers(1, len(sentences) + 1)), str(rng.choice(_FILLERS)))
        text = " ".join(one[0].upper() + one[1:] for one in sentences)
        known = rng.random() >= absent
        asks = told[int(rng.integers(len(told)))] if known else left[int(rng.integers(len(left)))]
        question = str(rng.choice(asks.asked)).format(x=thing)
        answers = (said[asks.relation],) if known else ()
        passage = Fact(thing.removeprefix("the "), SAYS, text, "a document")
        made[question] = Told(KeyedQuestion(question, answers, kind="passage" if known else "no passage"), (passage,))
    return list(made.values())


_Made = tuple[str, tuple[_Says, ...], dict[str, str]]  # a thing, what can be said of it, and what is: relation → value


def _thing(rng: np.random.Generator, kind: tuple[_Says, ...] | None = None) -> _Made:
    forms = [form for form, its in _KINDS.items() if kind is None or its is kind]
    form = forms[int(rng.integers(len(forms)))]
    names = ["".join(str(rng.choice(part)) for part in _NAMES).capitalize() for _ in range(2)]
    return form.format(N=names[0], S=names[1]), _KINDS[form], _values(_KINDS[form], rng)


def _values(kind: Sequence[_Says], rng: np.random.Generator) -> dict[str, str]:
    return {one.relation: _value(one.value, rng) for one in kind}


def _value(form: str, rng: np.random.Generator) -> str:
    drawn = {name: str(rng.choice(pool.split("|"))) for name, pool in _POOLS.items()}
    numbers = {"n1": (2, 10), "n2": (11, 90), "n3": (110, 900), "year": (1702, 1998), "hour": (6, 11)}
    drawn |= {name: str(rng.integers(*ends)) for name, ends in numbers.items()}
    return form.format(**drawn)


def _told(says: _Says, said: dict[str, str]) -> str:
    return says.sentence.format(v=said[says.relation])


def _fact(thing: str, says: _Says, said: dict[str, str]) -> Fact:
    return Fact(thing.removeprefix("the "), says.relation, said[says.relation], "a table")
