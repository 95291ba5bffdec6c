"""The phrasebook of the everyday world: ``words.txt`` and ``phrases.txt`` with the words of its own questions; and for
its loose reading ``gist.txt``, ``aside.txt`` and ``lexicon.txt``."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from importlib import resources

from reverie.worlds.everyday.asking import ask
from reverie.worlds.everyday.gist import understand
from reverie.worlds.everyday.questions import ASKED, VERBS
from reverie.worlds.everyday.things import SURFACES, THINGS, Thing
from reverie.worlds.phrasebook import Loose, Phrasebook, read_phrasebook

__all__ = ["phrasebook"]


@cache
def phrasebook() -> Phrasebook:
    return replace(_book("words.txt", "phrases.txt"), loose=_loose)


@cache
def _loose() -> Loose:
    return Loose(_book("words.txt", "aside.txt", "lexicon.txt", "gist.txt"), understand)


def _book(*names: str) -> Phrasebook:
    folder = resources.files("reverie.worlds.everyday")
    text = "".join((folder / name).read_text(encoding="utf-8") for name in names)
    things = {name: _names(thing) for name, thing in THINGS.items()}
    said = [*(name for names in things.values() for name in names), *SURFACES]
    said += [words for wordings in VERBS.values() for words in wordings] + [
        verb for verbs in ASKED.values() for verb in verbs
    ]
    spelled = re.findall(r"\b[a-z]+\b", re.sub(r"\{\w+\}", "", " ".join(said)))
    return read_phrasebook(text, ask, {"thing": things}, spelled)


def _names(thing: Thing) -> list[str]:
    """Its names without their articles."""
    plain = (re.sub(r"^(an?|some) ", "", name) for name in thing.indefinite)
    return list(dict.fromkeys([*plain, thing.name, thing.short]))
