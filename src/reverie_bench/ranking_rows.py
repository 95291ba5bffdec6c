"""Made-up things, what a memory says of them, and questions that it answers or does not: rows for ``bench ranking``.

Two families of kinds with other relations, wordings and everyday facts, so that what is fitted on one is measured on
the other. Neither shares a kind with ``grounded.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reverie.data import FactRow

__all__ = ["FAMILIES", "Question", "Told", "make_rows"]

_Relation = tuple[str, tuple[str, ...], tuple[str, ...], str]  # name, questions, sentences, object


@dataclass(frozen=True)
class Question:
    """``answer`` is "" where nothing in the memory holds one; ``gold`` names the thing whose fact or page does."""

    text: str
    kind: str
    answer: str = ""
    gold: str = ""


@dataclass(frozen=True)
class Told:
    """What the memory is told: facts, and pages (thing → Markdown)."""

    facts: list[FactRow]
    pages: dict[str, str]
    questions: list[Question]


@dataclass(frozen=True)
class Family:
    kinds: dict[str, tuple[_Relation, ...]]
    everyday: tuple[tuple[str, str, str], ...]
    asked: dict[str, str]  # relation of everyday facts → question
    general: tuple[str, ...]  # questions about what no memory of these holds


def _families() -> dict[str, Family]:
    read = json.loads(Path(__file__).with_name("ranking-families.json").read_text(encoding="utf-8"))
    return {name: Family(**one) for name, one in read.items()}


FAMILIES = _families()
_PARTS = (
    "Al Bran Cor Dre El Fal Gri Hol Il Jas Kel Lor Mor Nes Or Pra Quin Rav Sil Tor Ul Ves Wil Yar Zan",
    "a e i o u ae ie",
    "bach dale fert gund horn kirk land mond nar pont quist ret sund tane vik wold",
)
_SIDES = "Old New Upper Lower Great Little Red White Saint Far".split()
_POOLS = {
    "first": "Anna Bruno Clara David Edda Franz Greta Henrik Irma Jonas Karla Leo Mona Nils Olga Paul",
    "trade": "baker carpenter cooper dyer glazier hatter locksmith mason miller printer saddler tailor weaver",
    "cargo": "salt,dried fish,old maps,stuffed birds,apples,painted tiles,oats,silver spoons,tea,lamp oil",
}
_FILLER = (
    "Nobody has counted the visitors.",
    "Much of this was told by neighbours.",
    "The winters are long there.",
    "A painter came once and left again.",
    "More could be said, but the rest is rumour.",
    "Children know a song about it.",
    "In 1720 a fire spared it.",
    "Karl Oden mentions it in a letter.",
    "It is 12 miles from the next station.",
)


def make_rows(family: Family, things: int, others: int, rng: np.random.Generator) -> Told:
    """A memory of ``things`` that are asked about, ``others`` like them and everyday facts, and the questions."""
    told = Told([], {}, [])
    known: dict[str, str] = {}
    while len(known) < things:
        kind = str(rng.choice(list(family.kinds)))
        known.setdefault(_name(kind, rng), kind)
    for subject, kind in known.items():
        _tell(told, family, subject, kind, rng)
    for _ in range(others):
        kind = str(rng.choice(list(family.kinds)))
        subject = _name(kind, rng)
        if rng.random() < 0.3:
            subject = f"{rng.choice(_SIDES)} {subject}"
        if subject not in known:
            relation = family.kinds[kind][rng.integers(len(family.kinds[kind]))]
            told.facts.append(FactRow(subject, relation[0], _object(relation[3], rng), source="others"))
    subjects = {row.subject for row in told.facts} | set(known)
    for kind in family.kinds:
        for _ in range(max(2, things // 20)):
            told.questions.append(_unheard(family, kind, subjects, rng))
    for subject in list(known)[::6]:
        told.questions.extend(_near_name(family, subject, known[subject], subjects, rng))
    told.questions.extend(Question(one, "general") for one in family.general)
    _tell_everyday(told, family, rng)
    told.questions.extend(_two_steps(told, rng, max(4, things // 10)))
    told.questions[:] = [_blurred(one, rng) for one in told.questions]
    return told


def _tell(told: Told, family: Family, subject: str, kind: str, rng: np.random.Generator) -> None:
    """Some relations of a thing as facts or on a page, others not at all; a question about one of each."""
    relations = family.kinds[kind]
    order = rng.permutation(len(relations))
    count = int(rng.integers(1, len(relations)))
    known, missing = [relations[at] for at in order[:count]], [relations[at] for at in order[count:]]
    answers = {relation[0]: _object(relation[3], rng) for relation in known}
    where = "page" if rng.random() < 0.5 else "fact"
    if where == "fact":
        told.facts.extend(FactRow(subject, name, answer, source="told") for name, answer in answers.items())
    else:
        told.pages[subject] = _page(subject, known, answers, rng)
    for relation in known[:2]:
        told.questions.append(Question(_ask(relation, subject, kind, rng), where, answers[relation[0]], subject))
    told.questions.append(Question(_ask(missing[0], subject, kind, rng), f"missing on a {where}"))


def _page(subject: str, known: Sequence[_Relation], answers: dict[str, str], rng: np.random.Generator) -> str:
    fill = [str(_FILLER[at]) for at in rng.permutation(len(_FILLER))]
    parts = [f"# {subject}", fill.pop() if rng.random() < 0.5 else ""]
    for relation in known:
        said = str(relation[2][rng.integers(len(relation[2]))]).format(o=answers[relation[0]])
        said = " ".join([said[0].upper() + said[1:], *fill[: int(rng.integers(3))]])
        heading = rng.choice(["More", "Notes", "Further", "And then"])
        parts.append(f"## {heading}\n\n{said}" if rng.random() < 0.7 else said)
    return "\n\n".join(filter(None, parts)) + "\n"


def _unheard(family: Family, kind: str, subjects: set[str], rng: np.random.Generator) -> Question:
    while (name := _name(kind, rng)) in subjects:
        pass
    relation = family.kinds[kind][rng.integers(len(family.kinds[kind]))]
    return Question(_ask(relation, name, kind, rng), "unheard")


def _near_name(
    family: Family, subject: str, kind: str, subjects: set[str], rng: np.random.Generator
) -> Iterator[Question]:
    name = f"{rng.choice(_SIDES)} {subject}"
    if name not in subjects:
        yield Question(_ask(family.kinds[kind][rng.integers(len(family.kinds[kind]))], name, kind, rng), "near name")


def _tell_everyday(told: Told, family: Family, rng: np.random.Generator) -> None:
    """Two of three everyday facts are there; the others are asked for in vain, as is what is like them."""
    for place, (subject, relation, object_) in enumerate(family.everyday):
        if place % 3 < 2:
            told.facts.append(FactRow(subject, relation, object_, source="everyday"))
            told.questions.append(Question(family.asked[relation].format(subject), "everyday", object_, subject))
            others = [name for name in family.asked if name != relation]
            other = others[int(rng.integers(len(others)))]
            told.questions.append(Question(family.asked[other].format(subject), "missing everyday"))
        else:
            told.questions.append(Question(family.asked[relation].format(subject), "unheard everyday"))


def _two_steps(told: Told, rng: np.random.Generator, most: int) -> Iterator[Question]:
    """Over a person: who captains the ship lives somewhere."""
    people = {row.subject: row for row in told.facts if row.relation in ("LivesIn", "BornIn")}
    by = [row for row in told.facts if row.relation.endswith(("By", "edBy")) and row.source == "told"][:most]
    for row in by:
        home = people.get(row.object) or FactRow(row.object, "LivesIn", _object("{place}", rng), source="told")
        told.facts.append(home)
        people[row.object] = home
        role = row.relation[:-2].lower()
        where = "live" if home.relation == "LivesIn" else "come into the world"
        asked = f"Where does the person who {role} the {row.subject} {where}?"
        yield Question(asked, "two steps", home.object, home.subject)


def _blurred(one: Question, rng: np.random.Generator) -> Question:
    """Some questions without capitals, some with a letter swapped."""
    text, drawn = one.text, rng.random()
    if drawn < 0.15:
        text = text.lower()
    elif drawn < 0.22:
        at = int(rng.integers(len(text) // 2, len(text) - 3))
        if text[at].isalpha() and text[at + 1].isalpha():
            text = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return Question(text, one.kind, one.answer, one.gold)


def _ask(relation: _Relation, subject: str, kind: str, rng: np.random.Generator) -> str:
    return str(relation[1][rng.integers(len(relation[1]))]).format(f"the {subject}" if kind else subject)


def _name(kind: str, rng: np.random.Generator) -> str:
    word = _word(rng)
    if not kind:
        return f"{rng.choice(_POOLS['first'].split())} {word}"
    return f"{word} {kind}" if rng.random() < 0.8 else f"{word} {_name('', rng).split()[1]} {kind}"


def _word(rng: np.random.Generator) -> str:
    return "".join(str(rng.choice(part.split())) for part in _PARTS)


def _object(made: str, rng: np.random.Generator) -> str:
    return made.format(
        person=_name("", rng),
        place=_word(rng),
        word=_word(rng),
        trade=str(rng.choice(_POOLS["trade"].split())),
        cargo=str(rng.choice(_POOLS["cargo"].split(","))),
        year=int(rng.integers(1400, 2020)),
        few=int(rng.integers(2, 40)),
        some=int(rng.integers(41, 9000)),
    )
