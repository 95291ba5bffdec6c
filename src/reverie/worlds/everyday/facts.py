"""The everyday world as facts: what things are like, by their properties, and what comes of actions, by episodes."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from reverie.data import FactRow
from reverie.nouns import CAUSES, situation
from reverie.worlds.contract import World
from reverie.worlds.everyday.properties import properties_of
from reverie.worlds.everyday.things import ACTIONS, LAST_COLUMN, SUPPORTS, SURFACES, THINGS, Scene, heights_over
from reverie.worlds.registry import record_episode

__all__ = ["SOURCE", "all_scenes", "outcome_facts", "property_facts", "told_property"]

SOURCE = "the everyday world"
# property → (relation, object); where it does not hold, the relation with "Not" before it
_RELATIONS = {
    "fragile": ("HasProperty", "fragile"),
    "burns": ("CapableOf", "burn"),
    "melts": ("CapableOf", "melt"),
    "cut": ("ReceivesAction", "cut with a knife"),
    "floats": ("CapableOf", "float on water"),
    "rolls": ("CapableOf", "roll"),
    "light": ("HasProperty", "lighter than air"),
    "liquid": ("HasA", "liquid"),
}


def property_facts() -> list[FactRow]:
    """What each thing is like."""
    rows = []
    for thing in THINGS.values():
        for each in properties_of(thing):
            relation, said = _RELATIONS[each.name]
            rows.append(FactRow(thing.name, relation if each.holds(thing) else f"Not{relation}", said, source=SOURCE))
    return rows


def told_property(rng: np.random.Generator) -> tuple[str, str, FactRow]:
    """A question about a property, a fact that answers it, true or not, and the answer that follows from the fact."""
    names = sorted(THINGS)
    thing = THINGS[names[int(rng.integers(len(names)))]]
    asked = properties_of(thing)
    each = asked[int(rng.integers(len(asked)))]
    relation, said = _RELATIONS[each.name]
    holds = bool(rng.random() < 0.5)
    answer = f"Yes, {each.yes.format(x=thing.a)}." if holds else f"No, {each.no.format(x=thing.a)}."
    fact = FactRow(thing.name, relation if holds else f"Not{relation}", said, source="told")
    return str(rng.choice(each.frames)).format(x=thing.a), answer, fact


def all_scenes() -> Iterator[Scene]:
    """Every scene there is, in a fixed order."""
    for thing, action, surface, column in itertools.product(THINGS, ACTIONS, SURFACES, range(LAST_COLUMN + 1)):
        for height in heights_over(surface, action):
            for support in SUPPORTS if action == "stack" else ("",):
                yield Scene(thing, action, surface, column, height, support)


def outcome_facts(world: World, fits: Callable[[Mapping[str, Any]], bool], scenes: int = 3) -> list[FactRow]:
    """What comes of each action in each situation that can be told apart in words.

    Of every such situation the first ``scenes`` that ``fits`` lets through are played. The confidence of a fact is the
    share of them that come to it.
    """
    seen: dict[tuple[str, str], Counter[str]] = {}
    played: Counter[tuple[str, str, str, str, str]] = Counter()
    for scene in all_scenes():
        kind = (scene.thing, scene.action, scene.surface, scene.height, scene.support)
        if played[kind] >= scenes or not fits(scene.options()):
            continue
        played[kind] += 1
        steps = record_episode(world, scene.options()).transitions
        about = situation(steps[0].what_text, steps[0].action_text), THINGS[scene.thing].name
        seen.setdefault(about, Counter())[steps[-1].result_text] += 1
    rows = []
    for (subject, thing), outcomes in seen.items():
        rows.append(FactRow(subject, "About", thing, "action", source=SOURCE))
        for outcome, count in outcomes.items():
            share = round(count / outcomes.total(), 3)
            rows.append(FactRow(subject, CAUSES, outcome, "action", "outcome", SOURCE, share, time=0.0))
    return rows
